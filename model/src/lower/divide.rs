//! Divisions and square roots: advice, and assertions that leave one value.
//!
//! `q = floor(a / b)`: `0 <= a - q b` and `0 <= b - 1 - (a - q b)`.
//! `r = floor(2^28 / sqrt(W))`: `0 <= 2^56 - r^2 W` and `0 <= (r + 1)^2 W - 2^56 - 1`.

use super::builder::{Domain, Overflow, bits_for};
use super::{Lowering, Quantised};
use crate::ImportError;
use crate::float::Value;
use crate::scalar::table::exponent_for;
use verifier::graph::{AdviceRule, Operand, TensorId, Term};

/// Bits of a divisor.
const DIVISOR_BITS: u32 = 20;
/// Bits of a quotient at the smallest divisor.
const QUOTIENT_BITS: u32 = 30;
/// Bits of the argument of a root, and of its significant part `W`: `2^18 <= W < 2^22`.
const ROOT_BITS: u32 = 22;
const ROOT_STEP: u32 = 4;
/// `r = floor(2^ROOT / sqrt(W))`.
const ROOT: u32 = 28;

impl Lowering<'_> {
    /// `1 / x = floor(2^t / d) * 2^(e - t)` for `x = d * 2^-e`. So that the quotient has a bound, the divisor saturates at
    /// a quarter of the least calibrated magnitude, or at 1 (which the sum of a softmax never goes below).
    pub(super) fn reciprocal(&mut self, x: Value) -> Result<Quantised, ImportError> {
        let range = self.ranges[x.0];
        if range.min <= 0.0 && range.max >= 0.0 {
            return Err(ImportError::unsupported(
                &self.builder.layer,
                "division",
                format!("the divisor spans {} to {} in the samples, so it may be zero", range.min, range.max),
            ));
        }
        let mut raw = self.raw(x)?;
        let negative = range.max < 0.0;
        let (least, greatest) = if negative { (-range.max, -range.min) } else { (range.min, range.max) };
        if negative {
            raw.tensor = self.builder.linear("negated", 0, &[(-1, raw.tensor)])?;
        }
        let exponent = exponent_for(greatest, DIVISOR_BITS, true).min(raw.exponent);
        let lo = (((least / 4.0).min(1.0) * 2f64.powi(exponent)).floor() as i64).max(1);
        let divisor = self.clamped(raw, exponent, lo, DIVISOR_BITS)?;
        let t = QUOTIENT_BITS + bits_for(i128::from(lo));
        let numerator = Term { coefficient: 1 << t, operands: Vec::new() };
        let numerator = self.builder.einsum("numerator", vec![], vec![], vec![numerator])?;
        let mut tensor = self.divide(numerator, divisor.tensor)?;
        if negative {
            tensor = self.builder.linear("negated", 0, &[(-1, tensor)])?;
        }
        Ok(Quantised { tensor, exponent: t as i32 - divisor.exponent })
    }

    pub(super) fn quotient(&mut self, a: Value, b: Value) -> Result<Quantised, ImportError> {
        let (numerator, mut divisor) = (self.raw(a)?, self.raw(b)?);
        let (least, greatest) = self.builder.interval(divisor.tensor);
        if self.ranges[b.0].min < 1.0 {
            let reason = "the divisor must be positive".into();
            return Err(ImportError::unsupported(&self.builder.layer, "integer division", reason));
        }
        if least < 1 {
            // No proof exists for a divisor that is not positive.
            let domain = Domain::exact(1, bits_for(greatest.into()).max(1));
            divisor.tensor = self.builder.lookup("divisor", divisor.tensor, domain, None)?;
        }
        Ok(Quantised { tensor: self.divide(numerator.tensor, divisor.tensor)?, exponent: 0 })
    }

    /// `floor(numerator / divisor)`: the numerator, a scalar or of the divisor's shape, is not negative; the divisor is
    /// positive.
    fn divide(&mut self, numerator: TensorId, divisor: TensorId) -> Result<TensorId, Overflow> {
        let dims = self.builder.shape(divisor);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let (least, greatest) = self.builder.interval(divisor);
        let top = self.builder.interval(numerator).1 / least;
        let rule = AdviceRule::FloorDiv { numerator, denominator: divisor };
        let bits = bits_for(i128::from(top) + 1).max(1);
        let quotient = self.builder.advice("quotient", dims.clone(), (0, (1 << bits) - 1), rule)?;
        self.builder.assert_range(quotient, 0, bits);
        let operand = |tensor| Operand { tensor, labels: labels.clone() };
        let scalar = self.builder.shape(numerator).is_empty();
        let numerator = Operand { tensor: numerator, labels: if scalar { vec![] } else { labels.clone() } };
        let terms = vec![
            Term { coefficient: 1, operands: vec![numerator] },
            Term { coefficient: -1, operands: vec![operand(quotient), operand(divisor)] },
        ];
        let remainder = self.builder.einsum("remainder", dims, labels.clone(), terms)?;
        let rest = self.builder.linear("rest", -1, &[(1, divisor), (-1, remainder)])?;
        let bits = bits_for(greatest.into()).max(1);
        self.builder.assert_range(remainder, 0, bits);
        self.builder.assert_range(rest, 0, bits);
        Ok(quotient)
    }

    /// `1 / sqrt(x)`. With `x = v * 2^-e`, `e` even, `v` is brought to `W = 16^i v` in `2^18..2^22` by comparisons, and
    /// `1 / sqrt(v) = 4^i r * 2^-28`.
    pub(super) fn rsqrt(&mut self, x: Value) -> Result<Quantised, ImportError> {
        let range = self.ranges[x.0];
        if range.max <= 0.0 {
            let reason = format!("the argument is at most {} in the samples", range.max);
            return Err(ImportError::unsupported(&self.builder.layer, "1/sqrt", reason));
        }
        let mut raw = self.raw(x)?;
        let mut exponent = exponent_for(range.max, ROOT_BITS, true).min(raw.exponent);
        if exponent % 2 != 0 && exponent == raw.exponent {
            raw = Quantised { tensor: self.builder.linear("doubled", 0, &[(2, raw.tensor)])?, exponent: exponent + 1 };
        }
        exponent -= exponent.rem_euclid(2);
        let least = (range.min.max(0.0) * 2f64.powi(exponent)).max(1.0) / 16.0;
        let steps = (0..ROOT_BITS / ROOT_STEP)
            .find(|i| 2f64.powi((ROOT_BITS - ROOT_STEP * (i + 1)) as i32) <= least)
            .unwrap_or(ROOT_BITS / ROOT_STEP);
        let lo = if steps == ROOT_BITS / ROOT_STEP { 1 } else { threshold(steps + 1) };
        let argument = self.clamped(raw, exponent, lo, ROOT_BITS)?;
        let Some((scale, root_scale)) = self.scales(argument.tensor, steps)? else {
            let root = self.root(argument.tensor)?;
            return Ok(Quantised { tensor: root, exponent: ROOT as i32 - argument.exponent / 2 });
        };
        let significant = (i128::from(1i64 << (ROOT_BITS - ROOT_STEP)), (1 << ROOT_BITS) + i128::from(lo) - 1);
        let significant = self.product("significant", argument.tensor, scale, Some(significant))?;
        let root = self.root(significant)?;
        let tensor = self.product("root", root, root_scale, None)?;
        Ok(Quantised { tensor, exponent: ROOT as i32 - argument.exponent / 2 })
    }

    /// `16^i` and `4^i` for the number `i` of thresholds `2^(22 - 4 i)`, of `count`, that `v` is below; `None` without any.
    fn scales(&mut self, v: TensorId, count: u32) -> Result<Option<(TensorId, TensorId)>, Overflow> {
        let mut below = Vec::new();
        for i in 1..=count {
            let gap = self.builder.linear("gap", threshold(i), &[(-1, v)])?;
            below.push(self.builder.lookup("below", gap, Domain::saturating(0, 0, 1), None)?);
        }
        if below.is_empty() {
            return Ok(None);
        }
        let mut power = |name, base: i64| {
            let step = |(i, &b): (usize, &TensorId)| (base.pow(i as u32 + 1) - base.pow(i as u32), b);
            let terms: Vec<(i64, TensorId)> = below.iter().enumerate().map(step).collect();
            self.builder.linear(name, 1, &terms)
        };
        Ok(Some((power("scale", 1 << ROOT_STEP)?, power("root scale", 1 << (ROOT_STEP / 2))?)))
    }

    /// `r = floor(2^28 / sqrt(w))` for `2^18 <= w < 2^22 + 2^18`.
    fn root(&mut self, w: TensorId) -> Result<TensorId, Overflow> {
        // The bounds of r, and of both differences: each is below (2 r + 1) w <= 2^29 sqrt(w) + w < 2^41.
        const LEAST: i64 = 127_100;
        const RANGE_BITS: u32 = 19;
        const DIFFERENCE_BITS: u32 = 41;
        let dims = self.builder.shape(w);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let rule = AdviceRule::Rsqrt { input: w, exponent: 2 * ROOT };
        let r = self.builder.advice("root", dims.clone(), (LEAST, LEAST + (1 << RANGE_BITS) - 1), rule)?;
        self.builder.assert_range(r, LEAST, RANGE_BITS);
        let term = |coefficient, factors: &[TensorId]| Term {
            coefficient,
            operands: factors.iter().map(|&tensor| Operand { tensor, labels: labels.clone() }).collect(),
        };
        let one = 1i64 << (2 * ROOT);
        let under = vec![term(one, &[]), term(-1, &[r, r, w])];
        let over = vec![term(-one - 1, &[]), term(1, &[r, r, w]), term(2, &[r, w]), term(1, &[w])];
        for (name, terms) in [("under", under), ("over", over)] {
            let difference = self.builder.einsum(name, dims.clone(), labels.clone(), terms)?;
            self.builder.assert_range(difference, 0, DIFFERENCE_BITS);
        }
        Ok(r)
    }

    fn product(
        &mut self,
        what: &str,
        a: TensorId,
        b: TensorId,
        range: Option<(i128, i128)>,
    ) -> Result<TensorId, Overflow> {
        let dims = self.builder.shape(a);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let operand = |tensor| Operand { tensor, labels: labels.clone() };
        let terms = vec![Term { coefficient: 1, operands: vec![operand(a), operand(b)] }];
        match range {
            Some(range) => self.builder.einsum_within(what, dims, labels, terms, range),
            None => self.builder.einsum(what, dims, labels, terms),
        }
    }
}

/// The bound below which the argument of a root is scaled `i` times.
fn threshold(i: u32) -> i64 {
    1 << (ROOT_BITS - ROOT_STEP * i)
}
