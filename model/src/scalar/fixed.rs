//! Fixed-point arithmetic on integers alone, so that every machine makes the same tables.
//!
//! A number is an `i128` with [`FRACTION`] binary digits after the point, clamped to [`LIMIT`] in magnitude; every
//! operation rounds towards minus infinity. Errors stay below `2^-30` in the range that tables use.

use super::{Expr, Primitive};

/// A fixed-point number.
pub type Fixed = i128;
/// Binary digits after the point.
pub const FRACTION: u32 = 48;
/// One.
pub const ONE: Fixed = 1 << FRACTION;
/// Largest magnitude: `2^30`.
pub const LIMIT: Fixed = 1 << (FRACTION + 30);

/// `floor(2^48 * c)` of four constants.
const LN_2: Fixed = 195_103_586_505_167;
const PI: Fixed = 884_279_719_003_555;
const TWO_OVER_SQRT_PI: Fixed = 317_610_499_778_998;
const LOG2_E: Fixed = 406_082_553_034_799;

fn clamp(x: Fixed) -> Fixed {
    x.clamp(-LIMIT, LIMIT)
}

/// The nearest number to a float; a float is a dyadic rational, so this is exact up to one rounding. NaN is 0.
pub fn from_f64(x: f64) -> Fixed {
    clamp((x * ONE as f64).round() as Fixed)
}

/// The nearest float.
pub fn to_f64(x: Fixed) -> f64 {
    x as f64 / ONE as f64
}

/// `integer * 2^-exponent`.
pub fn from_scaled(integer: i64, exponent: i32) -> Fixed {
    let shift = FRACTION as i32 - exponent;
    let x = Fixed::from(integer);
    match shift {
        0..=62 => clamp(x << shift),
        63.. => x.signum() * LIMIT,
        _ => x >> (-shift).min(127),
    }
}

/// `floor(x * 2^exponent + 1/2)`: the rounding rule of the relation.
pub fn to_scaled(x: Fixed, exponent: i32) -> i64 {
    let shift = FRACTION as i32 - exponent;
    let value = match shift {
        1..=126 => (x + (1 << (shift - 1))) >> shift,
        127.. => 0,
        _ => x << (-shift).min(48),
    };
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// `a * b`.
pub fn mul(a: Fixed, b: Fixed) -> Fixed {
    let (high, low) = (a >> FRACTION, a & (ONE - 1));
    clamp(high * b + ((low * b) >> FRACTION))
}

/// `a / b`; by zero, the limit with the sign of `a`.
pub fn div(a: Fixed, b: Fixed) -> Fixed {
    if b == 0 { a.signum() * LIMIT } else { clamp((a << FRACTION).div_euclid(b)) }
}

/// The square root; of a negative number, 0.
pub fn sqrt(x: Fixed) -> Fixed {
    if x <= 0 { 0 } else { ((x as u128) << FRACTION).isqrt() as Fixed }
}

/// `e^x`: `2^k * e^f` with `|f| <= ln 2`, and the Taylor series of `e^f`.
pub fn exp(x: Fixed) -> Fixed {
    let k = mul(x, LOG2_E) >> FRACTION;
    if k >= 30 {
        return LIMIT;
    }
    if k < -50 {
        return 0;
    }
    let f = x - k * LN_2;
    let (mut term, mut sum) = (ONE, ONE);
    for n in 1..=24 {
        term = mul(term, f) / n;
        sum += term;
    }
    if k >= 0 { clamp(sum << k) } else { sum >> -k }
}

/// `ln x`: `k ln 2 + 2 artanh((m-1)/(m+1))` for `x = 2^k m`, `1 <= m < 2`; of a number that is not positive, `-LIMIT`.
pub fn ln(x: Fixed) -> Fixed {
    if x <= 0 {
        return -LIMIT;
    }
    let k = x.ilog2() as i32 - FRACTION as i32;
    let m = if k >= 0 { x >> k } else { x << -k };
    let z = div(m - ONE, m + ONE);
    let square = mul(z, z);
    let (mut power, mut sum) = (z, 0);
    for n in 0..24 {
        sum += power / (2 * n + 1);
        power = mul(power, square);
    }
    Fixed::from(k) * LN_2 + 2 * sum
}

/// The error function: a series of positive terms below 3, the continued fraction of its complement above.
pub fn erf(x: Fixed) -> Fixed {
    let z = x.abs();
    let square = mul(z, z);
    let value = if z >= 8 * ONE {
        ONE
    } else if z < 3 * ONE {
        let mut term = mul(mul(TWO_OVER_SQRT_PI, z), exp(-square));
        let mut sum = term;
        for n in 1..64 {
            term = mul(term, 2 * square) / (2 * n + 1);
            sum += term;
        }
        sum.min(ONE)
    } else {
        let fraction = (1..=40).rev().fold(z, |tail, n| z + div(n * ONE / 2, tail));
        ONE - div(mul(exp(-square), TWO_OVER_SQRT_PI / 2), fraction)
    };
    if x < 0 { -value } else { value }
}

/// The logistic function.
pub fn sigmoid(x: Fixed) -> Fixed {
    let tail = exp(-x.abs());
    if x >= 0 { div(ONE, ONE + tail) } else { div(tail, ONE + tail) }
}

/// The hyperbolic tangent, `2 sigmoid(2x) - 1`.
pub fn tanh(x: Fixed) -> Fixed {
    2 * sigmoid(clamp(2 * x)) - ONE
}

/// The sine: the Taylor series after reduction to `-pi..=pi`.
pub fn sin(x: Fixed) -> Fixed {
    let mut z = x.rem_euclid(2 * PI);
    if z > PI {
        z -= 2 * PI;
    }
    let square = mul(z, z);
    let (mut term, mut sum) = (z, z);
    for n in 1..16 {
        term = -mul(term, square) / (2 * n * (2 * n + 1));
        sum += term;
    }
    sum
}

/// The cosine.
pub fn cos(x: Fixed) -> Fixed {
    sin(x + PI / 2)
}

/// The arc tangent: two halvings of the angle, then the series.
pub fn atan(x: Fixed) -> Fixed {
    let halve = |t: Fixed| div(t, ONE + sqrt(ONE + mul(t, t)));
    let (large, z) = if x.abs() > ONE { (true, div(ONE, x)) } else { (false, x) };
    let t = halve(halve(z));
    let square = mul(t, t);
    let (mut power, mut sum) = (t, 0);
    for n in 0..28 {
        sum += if n % 2 == 0 { power } else { -power } / (2 * n + 1);
        power = mul(power, square);
    }
    let angle = 4 * sum;
    if large { x.signum() * PI / 2 - angle } else { angle }
}

fn round_half_even(x: Fixed) -> Fixed {
    let floor = x >> FRACTION;
    let rest = x & (ONE - 1);
    let up = rest > ONE / 2 || (rest == ONE / 2 && floor & 1 == 1);
    (floor + Fixed::from(up)) << FRACTION
}

/// The expression at `x`.
pub fn eval(expr: &Expr, x: Fixed) -> Fixed {
    match expr {
        Expr::X => x,
        Expr::Constant(c) => from_f64(*c),
        Expr::Add(a, b) => clamp(eval(a, x) + eval(b, x)),
        Expr::Mul(a, b) => mul(eval(a, x), eval(b, x)),
        Expr::Max(a, b) => eval(a, x).max(eval(b, x)),
        Expr::Min(a, b) => eval(a, x).min(eval(b, x)),
        Expr::Apply(p, a) => {
            let x = eval(a, x);
            match p {
                Primitive::Exp => exp(x),
                Primitive::Ln => ln(x),
                Primitive::Sqrt => sqrt(x),
                Primitive::Reciprocal => div(ONE, x),
                Primitive::Erf => erf(x),
                Primitive::Tanh => tanh(x),
                Primitive::Sigmoid => sigmoid(x),
                Primitive::Sin => sin(x),
                Primitive::Cos => cos(x),
                Primitive::Atan => atan(x),
                Primitive::RoundHalfEven => round_half_even(x),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(expr: Expr, from: f64, to: f64, tolerance: f64) {
        for step in 0..=4000 {
            let x = from + (to - from) * f64::from(step) / 4000.0;
            let exact = to_f64(from_f64(x));
            let (got, want) = (to_f64(eval(&expr, from_f64(x))), expr.eval(exact));
            assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{expr:?} at {x}: {got}, not {want}");
        }
    }

    #[test]
    fn agrees_with_floating_point() {
        close(Expr::of(Primitive::Exp), -30.0, 15.0, 1e-10);
        close(Expr::of(Primitive::Ln), 1e-3, 1000.0, 1e-10);
        close(Expr::of(Primitive::Sqrt), 0.0, 1000.0, 1e-10);
        close(Expr::of(Primitive::Reciprocal), 0.01, 100.0, 1e-10);
        close(Expr::of(Primitive::Tanh), -20.0, 20.0, 1e-10);
        close(Expr::of(Primitive::Sigmoid), -40.0, 40.0, 1e-10);
        close(Expr::of(Primitive::Sin), -50.0, 50.0, 1e-10);
        close(Expr::of(Primitive::Cos), -50.0, 50.0, 1e-10);
        close(Expr::of(Primitive::Atan), -50.0, 50.0, 1e-10);
        close(Expr::of(Primitive::RoundHalfEven), -5.0, 5.0, 0.0);
    }

    #[test]
    fn erf_has_known_values() {
        for (x, want) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.5, 0.999_593_047_982_555),
            (2.999_999, 0.999_977_909_364_247_2),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
        ] {
            assert!((to_f64(erf(from_f64(x))) - want).abs() < 1e-10, "erf({x})");
            assert_eq!(erf(from_f64(-x)), -erf(from_f64(x)));
        }
    }

    #[test]
    fn extreme_arguments_saturate() {
        assert_eq!(exp(LIMIT), LIMIT);
        assert_eq!(exp(-LIMIT), 0);
        assert_eq!(ln(0), -LIMIT);
        assert_eq!(div(-ONE, 0), -LIMIT);
        assert_eq!(sqrt(-ONE), 0);
        assert_eq!(mul(LIMIT, -LIMIT), -LIMIT);
        assert_eq!(from_scaled(i64::MAX, -10), LIMIT);
    }

    #[test]
    fn halves_round_up() {
        assert_eq!([-3, -1, 1, 3].map(|n| to_scaled(n * ONE / 2, 0)), [-1, 0, 1, 2]);
    }
}
