//! What many networks share: norms, masks, the usual functions.

use super::{Graph, Op, Value};
use crate::scalar::{Expr, Primitive};

/// Largest odd part of a length that coefficients are multiplied with.
const LARGEST_ODD: usize = 255;

impl Graph {
    /// What brings `x` to mean 0 (if it is to be `centred`) and deviation 1 over some axes of `n` elements.
    ///
    /// With `n = odd * 2^k`, sums are divided by `2^k` only, which is exact in integers: `c = odd x - sum x / 2^k` and
    /// `r = 1 / sqrt(sum c^2 / 2^k + odd^3 epsilon)`, and `c r sqrt(odd)` is the result. Large odd parts are divided by.
    pub fn standardise(&mut self, x: Value, axes: &[usize], epsilon: f64, centred: bool) -> Standardised {
        let count: usize = axes.iter().map(|&a| self.shape(x)[a]).product();
        let odd = count >> count.trailing_zeros();
        let odd = if odd <= LARGEST_ODD { odd as f64 } else { 1.0 };
        let scale = odd / count as f64;
        let total = centred.then(|| self.reduce_sum(x, axes, true, scale));
        let scaled = total.map_or(x, |total| self.linear(&[(odd, &[x]), (-1.0, &[total])]));
        let own = if centred { odd } else { 1.0 };
        let square = self.mul(scaled, scaled);
        let squares = self.reduce_sum(square, axes, true, scale);
        let squares = self.scale(squares, 1.0, odd * own * own * epsilon);
        Standardised {
            scaled,
            inverse: self.rsqrt(squares),
            factor: odd.sqrt(),
            mean: total.map(|total| (total, 1.0 / odd)),
            deviation: odd.sqrt() * own,
        }
    }

    /// `x` where `seen`, whose axes are the last of `x`, is 1; elsewhere less than anything that counts.
    pub fn mask(&mut self, x: Value, seen: Value) -> Value {
        let (shape, kind) = (self.shape(x).to_vec(), self.kind(x));
        self.push(shape, kind, Op::Mask { input: x, seen, floor: super::ABSENT })
    }
}

/// See [`Graph::standardise`].
#[derive(Clone, Copy, Debug)]
pub struct Standardised {
    /// A multiple of the value without its mean.
    pub scaled: Value,
    /// A multiple of one over the deviation; its axes have length 1.
    pub inverse: Value,
    /// What the product of both is to be multiplied by.
    pub factor: f64,
    /// A value that is the mean when multiplied by the number.
    pub mean: Option<(Value, f64)>,
    /// What `inverse` is to be multiplied by to be one over the deviation.
    pub deviation: f64,
}

impl Expr {
    /// `x Phi(x)`.
    pub fn gelu() -> Self {
        let erf = Self::X.scaled(std::f64::consts::FRAC_1_SQRT_2).apply(Primitive::Erf);
        Self::X.times(erf.plus(Self::Constant(1.0))).scaled(0.5)
    }

    /// The approximation of [`Expr::gelu`] by a hyperbolic tangent.
    pub fn gelu_tanh() -> Self {
        let cubic = Self::X.times(Self::X.times(Self::X).scaled(0.044_715).plus(Self::Constant(1.0)));
        let tanh = cubic.scaled((2.0 / std::f64::consts::PI).sqrt()).apply(Primitive::Tanh);
        Self::X.times(tanh.plus(Self::Constant(1.0))).scaled(0.5)
    }

    /// `x sigmoid(x)`.
    pub fn silu() -> Self {
        Self::X.times(Self::of(Primitive::Sigmoid))
    }
}
