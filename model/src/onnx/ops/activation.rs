//! Functions of one element. All but the piecewise linear ones become one lookup table each.

use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};
use crate::scalar::Primitive::{Atan, Cos, Erf, Exp, Ln, Reciprocal, Sigmoid, Sin, Sqrt, Tanh};
use crate::scalar::{Expr, Primitive};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let x = c.input(0)?;
    let result = match operator {
        "Relu" => c.g.relu(x),
        "LeakyRelu" => {
            let alpha = c.float("alpha", 0.01);
            let relu = c.g.relu(x);
            c.g.linear(&[(alpha, &[x]), (1.0 - alpha, &[relu])])
        }
        "PRelu" => {
            let slope = c.input(1)?;
            c.broadcast(&[x, slope])?;
            let relu = c.g.relu(x);
            c.g.linear(&[(1.0, &[relu]), (1.0, &[slope, x]), (-1.0, &[slope, relu])])
        }
        "ThresholdedRelu" => {
            let alpha = c.float("alpha", 1.0);
            let shifted = c.g.scale(x, 1.0, -alpha);
            let (above, gate) = (c.g.relu(shifted), c.g.positive(shifted));
            c.g.linear(&[(1.0, &[above]), (alpha, &[gate])])
        }
        "Clip" => return clip(c, x).map(|y| vec![y]),
        "Reciprocal" => c.g.reciprocal(x),
        _ => {
            let function = function(c, operator)?;
            let real = c.g.with_kind(x, Kind::Real);
            c.g.map(real, function)
        }
    };
    Ok(vec![result])
}

/// The operator as a function of its operand.
pub fn function(c: &Context<'_>, operator: &str) -> Imported<Expr> {
    let x = || Expr::X;
    let constant = Expr::Constant;
    let of = Expr::of;
    let one_plus = |e: Expr| e.plus(constant(1.0));
    let minus = |a: Expr, b: Expr| a.plus(b.scaled(-1.0));
    // max(0, x) + scale * (exp(min(0, x) / width) - 1)
    let elu = |gain: f64, scale: f64, width: f64| {
        let bend = Expr::X.min(constant(0.0)).scaled(1.0 / width).apply(Exp).plus(constant(-1.0));
        Expr::relu().scaled(gain).plus(bend.scaled(scale))
    };
    let arc_sine = || x().times(one_plus(x().times(x()).scaled(-1.0)).apply(Sqrt).apply(Reciprocal)).apply(Atan);
    Ok(match operator {
        "Sigmoid" => of(Sigmoid),
        "Tanh" => of(Tanh),
        "Erf" => of(Erf),
        "Exp" => of(Exp),
        "Log" => of(Ln),
        "Sqrt" => of(Sqrt),
        "Sin" => of(Sin),
        "Cos" => of(Cos),
        "Tan" => of(Sin).times(of(Cos).apply(Reciprocal)),
        "Atan" => of(Atan),
        "Asin" => arc_sine(),
        "Acos" => minus(constant(std::f64::consts::FRAC_PI_2), arc_sine()),
        "Sinh" => minus(of(Exp), x().scaled(-1.0).apply(Exp)).scaled(0.5),
        "Cosh" => of(Exp).plus(x().scaled(-1.0).apply(Exp)).scaled(0.5),
        "Gelu" => match c.string("approximate", "none").as_str() {
            "none" => Expr::gelu(),
            "tanh" => Expr::gelu_tanh(),
            other => return Err(c.unsupported(format!("approximation '{other}'"))),
        },
        "Elu" => elu(1.0, c.float("alpha", 1.0), 1.0),
        "Celu" => {
            let alpha = c.float("alpha", 1.0);
            elu(1.0, alpha, alpha)
        }
        "Selu" => {
            let gamma = c.float("gamma", 1.050_700_987_355_480_5);
            elu(gamma, gamma * c.float("alpha", 1.673_263_242_354_377_2), 1.0)
        }
        "HardSigmoid" => hard_sigmoid(c.float("alpha", 0.2), c.float("beta", 0.5)),
        "HardSwish" => x().times(hard_sigmoid(1.0 / 6.0, 0.5)),
        "Swish" => x().times(x().scaled(c.float("alpha", 1.0)).apply(Sigmoid)),
        "Softplus" => softplus(),
        "Softsign" => {
            let absolute = x().max(x().scaled(-1.0));
            x().times(one_plus(absolute).apply(Reciprocal))
        }
        "Mish" => x().times(softplus().apply(Tanh)),
        _ => return Err(c.unsupported("the function is not supported")),
    })
}

fn hard_sigmoid(alpha: f64, beta: f64) -> Expr {
    let line = Expr::X.scaled(alpha).plus(Expr::Constant(beta));
    line.max(Expr::Constant(0.0)).min(Expr::Constant(1.0))
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`.
fn softplus() -> Expr {
    let tail = Expr::X.min(Expr::X.scaled(-1.0)).apply(Primitive::Exp).plus(Expr::Constant(1.0)).apply(Ln);
    Expr::relu().plus(tail)
}

/// `lo + c - max(c - (hi - lo), 0)` with `c = max(x - lo, 0)`.
fn clip(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    let bound = |c: &Context<'_>, name: &str, index: usize, default: f64| -> Imported<f64> {
        let attribute = c.float(name, default);
        match c.optional(index) {
            Some(value) => {
                let data = c.constant(value, "a bound")?;
                let [bound] = data[..] else { return Err(c.invalid("a bound is not a scalar")) };
                Ok(bound)
            }
            None => Ok(attribute),
        }
    };
    let lo = bound(c, "min", 1, f64::NEG_INFINITY)?;
    let hi = bound(c, "max", 2, f64::INFINITY)?;
    c.ensure(lo <= hi, "the lower bound is above the upper bound")?;
    let (bounded_below, bounded_above) = (lo > crate::float::ABSENT, hi < 1e30);
    Ok(match (bounded_below, bounded_above) {
        (false, false) => x,
        (true, _) => {
            let above = c.g.scale(x, 1.0, -lo);
            let above = c.g.relu(above);
            if bounded_above {
                let beyond = c.g.scale(above, 1.0, lo - hi);
                let beyond = c.g.relu(beyond);
                let scalar = c.g.scalar(c.g.kind(x), lo);
                c.g.linear(&[(1.0, &[above]), (-1.0, &[beyond]), (1.0, &[scalar])])
            } else {
                c.g.scale(above, 1.0, lo)
            }
        }
        (false, true) => {
            let below = c.g.scale(x, -1.0, hi);
            let below = c.g.relu(below);
            c.g.scale(below, -1.0, hi)
        }
    })
}
