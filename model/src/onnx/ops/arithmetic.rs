//! Arithmetic, comparison, logic and conversion, elementwise with broadcasting.

use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};
use crate::onnx::tensor;
use crate::scalar::{Expr, Primitive};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let operands = c.all()?;
    c.ensure(!operands.is_empty(), "it has no operands")?;
    c.broadcast(&operands)?;
    let a = operands[0];
    let second = |c: &Context<'_>| c.input(1);
    let result = match operator {
        "Add" => {
            let b = second(c)?;
            c.g.add(a, b)
        }
        "Sub" => {
            let b = second(c)?;
            c.g.sub(a, b)
        }
        "Mul" => {
            let b = second(c)?;
            c.g.mul(a, b)
        }
        "Div" => divide(c, a)?,
        "Mod" => modulo(c, a)?,
        "Sum" | "Mean" => {
            let scale = if operator == "Mean" { 1.0 / operands.len() as f64 } else { 1.0 };
            let terms: Vec<(f64, [Value; 1])> = operands.iter().map(|&v| (scale, [v])).collect();
            let terms: Vec<(f64, &[Value])> = terms.iter().map(|(s, v)| (*s, v.as_slice())).collect();
            c.g.linear(&terms)
        }
        "Min" | "Max" => {
            let mut best = a;
            for &b in &operands[1..] {
                best = if operator == "Max" { c.g.maximum(best, b) } else { c.g.minimum(best, b) };
            }
            best
        }
        "Neg" => c.g.scale(a, -1.0, 0.0),
        "Abs" => absolute(c, a),
        "Sign" => {
            let negated = c.g.scale(a, -1.0, 0.0);
            let (above, below) = (c.g.positive(a), c.g.positive(negated));
            let sign = c.g.sub(above, below);
            let kind = c.g.kind(a);
            c.g.with_kind(sign, kind)
        }
        "Pow" => power(c, a)?,
        "Less" => {
            let b = second(c)?;
            greater(c, b, a)
        }
        "Greater" => {
            let b = second(c)?;
            greater(c, a, b)
        }
        "LessOrEqual" => {
            let b = second(c)?;
            let greater = greater(c, a, b);
            c.g.not(greater)
        }
        "GreaterOrEqual" => {
            let b = second(c)?;
            let less = greater(c, b, a);
            c.g.not(less)
        }
        "Equal" => {
            let b = second(c)?;
            let differs = differs(c, a, b);
            c.g.not(differs)
        }
        "Not" => c.g.not(a),
        "And" => {
            let b = second(c)?;
            let both = c.g.mul(a, b);
            c.g.as_bool(both)
        }
        "Or" | "Xor" => {
            let b = second(c)?;
            let overlap = if operator == "Or" { -1.0 } else { -2.0 };
            let either = c.g.linear(&[(1.0, &[a]), (1.0, &[b]), (overlap, &[a, b])]);
            c.g.as_bool(either)
        }
        "Where" => {
            let (yes, no) = (c.input(1)?, c.input(2)?);
            c.g.select(a, yes, no)
        }
        "Cast" => {
            let to = c.int("to").unwrap_or(0);
            c.flag("saturate", true);
            let kind = i32::try_from(to).ok().and_then(tensor::kind);
            let kind = kind.ok_or_else(|| c.unsupported(format!("conversion to element type {to}")))?;
            cast(c, a, kind)
        }
        "Floor" => {
            let kind = c.g.kind(a);
            c.g.floor(a, kind)
        }
        "Ceil" => {
            let kind = c.g.kind(a);
            let negated = c.g.scale(a, -1.0, 0.0);
            let floor = c.g.floor(negated, kind);
            c.g.scale(floor, -1.0, 0.0)
        }
        "Round" => c.g.map(a, Expr::of(Primitive::RoundHalfEven)),
        _ => return Err(c.unsupported("the operator is not supported")),
    };
    Ok(vec![result])
}

/// `|x| = 2 max(x, 0) - x`.
pub fn absolute(c: &mut Context<'_>, x: Value) -> Value {
    let relu = c.g.relu(x);
    c.g.linear(&[(2.0, &[relu]), (-1.0, &[x])])
}

fn greater(c: &mut Context<'_>, a: Value, b: Value) -> Value {
    let difference = c.g.sub(a, b);
    c.g.positive(difference)
}

fn differs(c: &mut Context<'_>, a: Value, b: Value) -> Value {
    let (above, below) = (greater(c, a, b), greater(c, b, a));
    let either = c.g.add(above, below);
    c.g.as_bool(either)
}

/// Conversion; a real becomes an integer by dropping the digits after the point.
pub fn cast(c: &mut Context<'_>, x: Value, kind: Kind) -> Value {
    match (c.g.kind(x), kind) {
        (Kind::Real, Kind::Int) => truncate(c, x),
        (Kind::Real | Kind::Int, Kind::Bool) => {
            let zero = c.g.scalar(Kind::Int, 0.0);
            differs(c, x, zero)
        }
        _ => c.g.with_kind(x, kind),
    }
}

fn truncate(c: &mut Context<'_>, x: Value) -> Value {
    let negated = c.g.scale(x, -1.0, 0.0);
    let (above, below) = (c.g.relu(x), c.g.relu(negated));
    let (above, below) = (c.g.floor(above, Kind::Int), c.g.floor(below, Kind::Int));
    c.g.sub(above, below)
}

fn divide(c: &mut Context<'_>, a: Value) -> Imported<Value> {
    let b = c.input(1)?;
    if c.g.as_constant(b).is_some_and(|b| b.contains(&0.0)) {
        return Err(c.invalid("divides by zero"));
    }
    if c.g.join([a, b]) == Kind::Real { Ok(c.g.div(a, b)) } else { truncated_quotient(c, a, b) }
}

/// Integer division rounds towards zero: `q(max(a, 0)) - q(max(-a, 0))` for a positive divisor.
fn truncated_quotient(c: &mut Context<'_>, a: Value, b: Value) -> Imported<Value> {
    let shape = c.broadcast(&[a, b])?;
    let (a, b) = (c.g.expand(a, &shape), c.g.expand(b, &shape));
    if let (Some(a), Some(b)) = (c.g.as_constant(a), c.g.as_constant(b)) {
        let quotients = a.iter().zip(b).map(|(a, b)| (a / b).trunc()).collect();
        return Ok(c.g.constant(&shape, Kind::Int, quotients));
    }
    let negated = c.g.scale(a, -1.0, 0.0);
    let (above, below) = (c.g.relu(a), c.g.relu(negated));
    let (above, below) = (c.g.quotient(above, b), c.g.quotient(below, b));
    Ok(c.g.sub(above, below))
}

/// `a mod b` with the sign of `a` (`fmod`), of integers and a positive constant divisor; without `fmod`, `a` must be constant.
fn modulo(c: &mut Context<'_>, a: Value) -> Imported<Value> {
    let b = c.input(1)?;
    let fmod = c.flag("fmod", false);
    if c.g.join([a, b]) == Kind::Real {
        return Err(c.unsupported("the operands must be integers"));
    }
    if !c.g.as_constant(b).is_some_and(|b| b.iter().all(|&b| b > 0.0)) {
        return Err(c.unsupported("the divisor must be a positive constant"));
    }
    if !fmod {
        return Err(c.unsupported(
            "the remainder with the sign of the divisor; set fmod = 1 for numerators that are not negative",
        ));
    }
    let quotient = truncated_quotient(c, a, b)?;
    Ok(c.g.linear(&[(1.0, &[a]), (-1.0, &[quotient, b])]))
}

fn power(c: &mut Context<'_>, base: Value) -> Imported<Value> {
    let exponent = c.input(1)?;
    if let Some(bases) = c.g.as_constant(base) {
        let base = uniform(bases).ok_or_else(|| c.unsupported("a constant base must be one number"))?;
        c.ensure(base > 0.0, "a constant base must be positive")?;
        let shape = c.broadcast(&[c.input(0)?, exponent])?;
        let exponent = c.g.expand(exponent, &shape);
        return Ok(c.g.map(exponent, Expr::X.scaled(base.ln()).apply(Primitive::Exp)));
    }
    let exponents = c.constant(exponent, "the exponent")?;
    let p = uniform(&exponents).ok_or_else(|| c.unsupported("a constant exponent must be one number"))?;
    let shape = c.broadcast(&[base, exponent])?;
    let base = c.g.expand(base, &shape);
    Ok(match p {
        1.0 => base,
        2.0 => c.g.mul(base, base),
        0.5 => c.g.map(base, Expr::of(Primitive::Sqrt)),
        -0.5 => c.g.rsqrt(base),
        -1.0 => c.g.reciprocal(base),
        _ if c.g.kind(base) == Kind::Int && p.fract() == 0.0 && (1.0..=8.0).contains(&p) => {
            let factors = vec![base; p as usize];
            c.g.linear(&[(1.0, &factors)])
        }
        _ if p.fract() == 0.0 && (1.0..=16.0).contains(&p) => {
            let product = (1..p as usize).fold(Expr::X, |product, _| product.times(Expr::X));
            c.g.map(base, product)
        }
        _ => c.g.map(base, Expr::of(Primitive::Ln).scaled(p).apply(Primitive::Exp)),
    })
}

fn uniform(data: &[f64]) -> Option<f64> {
    let (&first, rest) = data.split_first()?;
    rest.iter().all(|&x| x == first).then_some(first)
}
