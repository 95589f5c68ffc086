//! Lookup tables: `y = floor(f(c * 2^-input) * 2^output + 1/2)` for every `c` of a domain of `2^bits` integers.
//!
//! The domain and the scales are chosen from calibrated ranges; the entries come from [`super::fixed`] alone.

use super::{Expr, fixed};

/// A tabulated function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Lowest value of the domain.
    pub lo: i64,
    /// The domain has `2^bits` values.
    pub bits: u32,
    /// Binary digits after the point of an argument.
    pub input_exponent: i32,
    /// Binary digits after the point of an entry.
    pub output_exponent: i32,
    /// The entries.
    pub values: Vec<i64>,
}

/// What a table may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Largest domain, in bits.
    pub domain_bits: u32,
    /// Widest entry, in bits.
    pub value_bits: u32,
}

/// Points at which the range is examined.
const GRID: usize = 2048;
/// Finest scale of an entry.
const MAX_EXPONENT: i32 = 40;

/// Largest exponent at which every magnitude up to `max` fits `bits` (one of them a sign unless `unsigned`).
pub fn exponent_for(max: f64, bits: u32, unsigned: bool) -> i32 {
    let limit = ((1i64 << (bits - u32::from(!unsigned))) - 1) as f64;
    if max <= 0.0 {
        return MAX_EXPONENT;
    }
    let mut exponent = (limit / max).log2().floor().clamp(-60.0, f64::from(MAX_EXPONENT)) as i32;
    // The logarithm rounds: settle the last step by comparison.
    while max * 2f64.powi(exponent) > limit {
        exponent -= 1;
    }
    exponent
}

/// Tabulates `f` over `min..=max`; arguments beyond take the value at the end. `finest` is the exponent of the tensor
/// that is looked up: a finer domain would be empty in between. Where it costs no precision the range is widened to
/// powers of two, so that layers with similar ranges share a table.
pub fn build(f: &Expr, min: f64, max: f64, finest: i32, budget: Budget) -> Table {
    let exact = tabulate(f, trim(f, min, max, budget.value_bits), finest, budget);
    let power = |x: f64, up: bool| {
        let log = x.abs().log2();
        x.signum() * 2f64.powi(if up { log.ceil() } else { log.floor() } as i32)
    };
    let step = 2f64.powi(-exact.input_exponent);
    let wide =
        (if min == 0.0 { 0.0 } else { power(min, min < 0.0) }, if max == 0.0 { 0.0 } else { power(max, max > 0.0) });
    let shared = tabulate(f, trim(f, wide.0, (wide.1 - step).max(max.min(0.0)), budget.value_bits), finest, budget);
    let as_fine = shared.input_exponent == exact.input_exponent && shared.output_exponent == exact.output_exponent;
    if as_fine && shared.bits == exact.bits { shared } else { exact }
}

fn tabulate(f: &Expr, (min, max): (f64, f64), finest: i32, budget: Budget) -> Table {
    let size = (1i64 << budget.domain_bits) as f64;
    let mut input_exponent = finest.min(MAX_EXPONENT);
    let ends = |exponent: i32| {
        let scale = 2f64.powi(exponent);
        ((min * scale).floor(), (max * scale).ceil())
    };
    while ends(input_exponent).1 - ends(input_exponent).0 + 1.0 > size {
        input_exponent -= 1;
    }
    let (lo, hi) = (ends(input_exponent).0 as i64, ends(input_exponent).1 as i64);
    let bits = (hi.abs_diff(lo) + 1).max(2).next_power_of_two().trailing_zeros();
    let reals: Vec<fixed::Fixed> =
        (0..1i64 << bits).map(|i| fixed::eval(f, fixed::from_scaled((lo + i).min(hi), input_exponent))).collect();
    let largest = reals.iter().map(|y| y.abs()).max().unwrap_or(0);
    let unsigned = reals.iter().all(|&y| y >= 0);
    let output_exponent = exponent_for(fixed::to_f64(largest), budget.value_bits, unsigned);
    let values = reals.iter().map(|&y| fixed::to_scaled(y, output_exponent)).collect();
    Table { lo, bits, input_exponent, output_exponent, values }
}

/// Cuts the flat ends of the function off: beyond them it stays within a quarter of an entry's last digit.
fn trim(f: &Expr, mut min: f64, mut max: f64, value_bits: u32) -> (f64, f64) {
    let sample = |min: f64, max: f64| -> Vec<(f64, f64)> {
        (0..=GRID).map(|i| min + (max - min) * i as f64 / GRID as f64).map(|x| (x, f.eval(x))).collect()
    };
    let points = sample(min, max);
    if points.iter().any(|(_, y)| !y.is_finite()) {
        return (min, max);
    }
    let largest = points.iter().fold(0f64, |m, (_, y)| m.max(y.abs()));
    let unsigned = points.iter().all(|&(_, y)| y >= 0.0);
    let tolerance = 2f64.powi(-exponent_for(largest, value_bits, unsigned) - 2);
    let (left, right) = (points[0].1, points[GRID].1);
    loop {
        let points = sample(min, max);
        let first = points.iter().take_while(|(_, y)| (y - left).abs() <= tolerance).last();
        let last = points.iter().rev().take_while(|(_, y)| (y - right).abs() <= tolerance).last();
        let (Some(&(first, _)), Some(&(last, _))) = (first, last) else { return (min, max) };
        if first >= last || (last - first) > 0.9 * (max - min) {
            return (min, max);
        }
        (min, max) = (first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Primitive;
    use super::*;

    const BUDGET: Budget = Budget { domain_bits: 14, value_bits: 16 };

    #[test]
    fn entries_are_within_half_a_digit_at_their_arguments() {
        for f in [Expr::of(Primitive::Tanh), Expr::of(Primitive::Sigmoid), Expr::of(Primitive::Erf)] {
            let table = build(&f, -9.0, 7.0, 30, BUDGET);
            assert_eq!(table.values.len(), 1 << table.bits);
            let scale = 2f64.powi(table.output_exponent);
            for (i, &y) in table.values.iter().enumerate() {
                let x = (table.lo + i as i64) as f64 * 2f64.powi(-table.input_exponent);
                assert!((f.eval(x) * scale - y as f64).abs() <= 0.5 + 1e-3 || x > 7.0, "{f:?} at {x}");
            }
        }
    }

    #[test]
    fn an_exponential_ends_in_zero() {
        let table = build(&Expr::of(Primitive::Exp), -1e6, 0.0, 12, BUDGET);
        assert_eq!(table.values[0], 0);
        assert_eq!(table.output_exponent, 15);
        assert!(table.lo > -20 << table.input_exponent);
    }

    #[test]
    fn exponents_are_the_largest_that_fit() {
        assert_eq!(exponent_for(1.0, 16, true), 15);
        assert_eq!(exponent_for(1.0, 16, false), 14);
        assert_eq!(exponent_for(0.99, 16, false), 15);
        assert_eq!(exponent_for(40_000.0, 16, false), -1);
        assert_eq!(exponent_for(0.0, 16, false), MAX_EXPONENT);
    }
}
