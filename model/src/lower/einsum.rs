//! Contractions: operands narrow, constants merged and quantised, all terms at one exponent.

use super::builder::{LIMIT, Overflow, SHARED, bits_for};
use super::resolution::lacking;
use super::{Lowering, Quantised, quantise, quantise_constant};
use crate::float::{Kind, Op, Term, Value};
use crate::scalar::table::exponent_for;
use kernels::dense::{self, Factor};
use std::borrow::Cow;
use verifier::graph::{Operand, Term as IntegerTerm};

/// How finely the parts of a contraction are represented.
#[derive(Clone, Copy)]
struct Plan {
    activation_bits: u32,
    weight_bits: u32,
    coefficient_bits: u32,
    /// Terms that only add a value take it as it was computed.
    wide_summands: bool,
    /// Activations of which a few are far larger than most have more bits.
    outliers: bool,
    /// Constant summands keep all their digits, however large the sum.
    fine_constants: bool,
    /// Terms far finer than the sum needs are rounded first.
    coarsen: bool,
}

/// Factors of a product this narrow need no rounding.
const FACTOR_BITS: u32 = 22;
/// By how many bits the mean magnitude of an activation may fall short of the largest before it counts as one with outliers.
const MEAN_BITS: u32 = 8;
/// Bits of a factor that there is one of for each row.
const ROW_BITS: u32 = 22;
/// Digits of a term beyond those of a rounded sum that coarsening keeps.
const SPARE_DIGITS: i32 = 12;
/// A sum that a lookup is to round stays below this.
const LOOKED_UP: i128 = 1 << 56;
/// Coarsest plan.
const MIN_BITS: u32 = 8;

/// A term with its constants merged.
struct Prepared<'a> {
    coefficient: f64,
    dynamic: Vec<(Value, Vec<u8>)>,
    constants: Vec<Factor<'a, f64>>,
}

impl<'a> Lowering<'a> {
    pub(super) fn einsum(
        &mut self,
        value: Value,
        dims: &[usize],
        out: &[u8],
        terms: &[Term],
    ) -> Result<Quantised, Overflow> {
        if let [Term { coefficient: 1.0, operands }] = terms
            && let [(x, labels)] = &operands[..]
            && labels == out
        {
            return self.raw(*x);
        }
        if let Some(below) = self.below_maximum(dims, out, terms)? {
            return Ok(below);
        }
        let (summands, constant) = self.prepare(dims, out, terms);
        let (a, w) = (self.options.activation_bits, self.options.weight_bits);
        let full = Plan {
            activation_bits: a,
            weight_bits: w,
            coefficient_bits: 20,
            wide_summands: true,
            outliers: true,
            fine_constants: true,
            coarsen: false,
        };
        let rounded = Plan { fine_constants: false, ..full };
        let even = Plan { outliers: false, ..rounded };
        let narrow = Plan { wide_summands: false, ..even };
        let coarse = Plan { coarsen: true, ..narrow };
        let mut plans = vec![full, Plan { coefficient_bits: 14, ..full }, rounded, even, narrow, coarse];
        if let Some(extra) = self.extra.get(&value) {
            plans.insert(0, Plan { weight_bits: w + extra, ..full });
        }
        let weights = summands.iter().flat_map(|s| &s.constants);
        let digits = weights.map(|w| lacking(dims, out, &w.labels, &w.data)).max().unwrap_or(0);
        self.lacking.extend((digits > 0).then_some((value, digits)));
        for bits in (MIN_BITS..a.max(w)).rev().step_by(2) {
            let (activation_bits, weight_bits) = (a.min(bits), w.min(bits));
            plans.push(Plan { activation_bits, weight_bits, coefficient_bits: bits, ..coarse });
        }
        for plan in plans {
            if let Some(quantised) = self.attempt(value, dims, out, &summands, constant.as_ref(), plan)? {
                return Ok(quantised);
            }
        }
        Err(Overflow { layer: self.builder.layer.clone(), what: "sum".into(), lo: -LIMIT, hi: LIMIT })
    }

    /// `x - max x`, of the rounded `x` that the maximum is of: it is never positive.
    fn below_maximum(&mut self, dims: &[usize], out: &[u8], terms: &[Term]) -> Result<Option<Quantised>, Overflow> {
        let [Term { coefficient: 1.0, operands: x }, Term { coefficient: -1.0, operands: max }] = terms else {
            return Ok(None);
        };
        let ([(x, x_labels)], [(max, max_labels)]) = (&x[..], &max[..]) else { return Ok(None) };
        let Op::Max { input, present: None } = self.float.node(*max).op else { return Ok(None) };
        if input != *x || x_labels != out || x_labels[..x_labels.len() - 1] != max_labels[..] {
            return Ok(None);
        }
        let (x, max) = (self.narrow(*x, self.options.activation_bits)?, self.raw(*max)?);
        let term = |coefficient, tensor, labels: &[u8]| IntegerTerm {
            coefficient,
            operands: vec![Operand { tensor, labels: labels.to_vec() }],
        };
        let terms = vec![term(1, x.tensor, x_labels), term(-1, max.tensor, max_labels)];
        let (lo, hi) = self.builder.interval(x.tensor);
        let range = (i128::from(lo) - i128::from(hi), 0);
        let tensor = self.builder.einsum_within("", dims.to_vec(), out.to_vec(), terms, range)?;
        Ok(Some(Quantised { tensor, ..x }))
    }

    /// The terms with an operand that is not constant, and the sum of the others.
    fn prepare(&self, dims: &[usize], out: &[u8], terms: &[Term]) -> (Vec<Prepared<'a>>, Option<Factor<'a, f64>>) {
        let float = self.float;
        let mut summands = Vec::new();
        let mut constant: Vec<(f64, Vec<Factor<'a, f64>>)> = Vec::new();
        for term in terms {
            let mut dynamic = Vec::new();
            let mut constants: Vec<Factor<'a, f64>> = Vec::new();
            for (value, labels) in &term.operands {
                match float.as_constant(*value) {
                    Some(data) => constants.push(Factor::borrowed(data, labels)),
                    None => dynamic.push((*value, labels.clone())),
                }
            }
            if dynamic.is_empty() {
                constant.push((term.coefficient, constants));
            } else {
                let constants = merge(dims, constants);
                summands.push(Prepared { coefficient: term.coefficient, dynamic, constants });
            }
        }
        if constant.is_empty() {
            return (summands, None);
        }
        let used = |l: &u8| constant.iter().any(|(_, factors)| factors.iter().any(|f| f.labels.contains(l)));
        let labels: Vec<u8> = out.iter().copied().filter(used).collect();
        (summands, Some(Factor { data: dense::einsum(dims, &labels, constant).into(), labels }))
    }

    fn attempt(
        &mut self,
        value: Value,
        dims: &[usize],
        out: &[u8],
        summands: &[Prepared<'_>],
        constant: Option<&Factor<'_, f64>>,
        plan: Plan,
    ) -> Result<Option<Quantised>, Overflow> {
        let mut terms: Vec<(i32, IntegerTerm)> = Vec::new();
        for summand in summands {
            let term = self.term(dims, summand, plan)?;
            terms.push(if plan.coarsen { self.coarsened(value, dims, out, term)? } else { term });
        }
        let exact = self.float.kind(value) != Kind::Real;
        let finest = terms.iter().map(|t| t.0).chain(exact.then_some(0)).max();
        let constant_exponent = constant.map(|c| quantise_constant(&c.data, plan.weight_bits).0);
        let constant_exponent = constant_exponent.map(|e| match finest {
            Some(finest) if !plan.fine_constants && !exact => e.min(finest.max(self.warranted(value))),
            _ => e,
        });
        let finest = finest.into_iter().chain(constant_exponent).max().unwrap_or(0);
        let mut aligned = Vec::new();
        for (exponent, mut term) in terms {
            let coefficient = i128::from(term.coefficient) << (finest - exponent).min(63);
            if coefficient.abs() >= LIMIT {
                return Ok(None);
            }
            term.coefficient = coefficient as i64;
            aligned.push(term);
        }
        if let Some(constant) = constant {
            if constant.data.iter().any(|x| (x * 2f64.powi(finest)).abs() >= LIMIT as f64) {
                return Ok(None);
            }
            let integers = quantise(&constant.data, finest);
            match (&constant.labels[..], &integers[..]) {
                ([], [0]) if !aligned.is_empty() => {}
                ([], &[c]) if c != 0 => aligned.push(IntegerTerm { coefficient: c, operands: Vec::new() }),
                (labels, _) => {
                    let shape = labels.iter().map(|&l| dims[l as usize]).collect();
                    let tensor = self.builder.constant("bias", shape, integers)?;
                    aligned.push(IntegerTerm {
                        coefficient: 1,
                        operands: vec![Operand { tensor, labels: labels.to_vec() }],
                    });
                }
            }
        }
        let range = self.builder.contraction(dims, out, &aligned);
        let Some(range) = range.filter(|&(lo, hi)| lo > -LOOKED_UP && hi < LOOKED_UP) else { return Ok(None) };
        let tensor = self.builder.einsum_within("", dims.to_vec(), out.to_vec(), aligned, range)?;
        Ok(Some(Quantised { tensor, exponent: finest }))
    }

    /// A term in integers, and its exponent.
    fn term(&mut self, dims: &[usize], summand: &Prepared<'_>, plan: Plan) -> Result<(i32, IntegerTerm), Overflow> {
        let sign = |x: &f64| [-1.0, 0.0, 1.0].contains(x);
        let masks = summand.constants.iter().all(|c| c.data.iter().all(sign));
        let alone = summand.dynamic.len() == 1 && masks;
        let mut exponent = 0;
        let mut operands = Vec::new();
        for (value, labels) in &summand.dynamic {
            let quantised = if plan.wide_summands && (alone || self.is_factor(*value)?) {
                self.raw(*value)?
            } else if plan.wide_summands && matches!(self.float.node(*value).op, Op::Reciprocal(_) | Op::Rsqrt(_)) {
                self.row_factor(*value)?
            } else {
                self.narrow(*value, plan.activation_bits + if plan.outliers { self.outlying(*value) } else { 0 })?
            };
            exponent += quantised.exponent;
            operands.push(Operand { tensor: quantised.tensor, labels: labels.clone() });
        }
        let mut coefficient = summand.coefficient;
        for factor in &summand.constants {
            // A large constant may be shared with another contraction, which has another coefficient.
            let own = masks || factor.data.len() > SHARED;
            let scale = if own { 1.0 } else { std::mem::replace(&mut coefficient, 1.0) };
            let scaled: Cow<'_, [f64]> = if scale == 1.0 {
                Cow::Borrowed(&factor.data)
            } else {
                factor.data.iter().map(|x| x * scale).collect()
            };
            let (finest, integers) = quantise_constant(&scaled, plan.weight_bits);
            let shape = factor.labels.iter().map(|&l| dims[l as usize]).collect();
            let tensor = self.builder.constant("weight", shape, integers)?;
            exponent += finest;
            operands.push(Operand { tensor, labels: factor.labels.clone() });
        }
        let (mantissa, digits) = dyadic(coefficient, plan.coefficient_bits);
        Ok((exponent + digits, IntegerTerm { coefficient: mantissa, operands }))
    }

    /// The term with no more digits than the sum's range warrants.
    fn coarsened(
        &mut self,
        value: Value,
        dims: &[usize],
        out: &[u8],
        (exponent, term): (i32, IntegerTerm),
    ) -> Result<(i32, IntegerTerm), Overflow> {
        let most = self.warranted(value);
        if exponent <= most || self.float.kind(value) != Kind::Real {
            return Ok((exponent, term));
        }
        let named = |l: &u8| term.operands.iter().any(|o| o.labels.contains(l));
        let labels: Vec<u8> = out.iter().copied().filter(named).collect();
        let fine = self.builder.einsum("fine", dims.to_vec(), labels.clone(), vec![term])?;
        let shift = (exponent - most).min(60);
        let (lo, hi) = self.builder.interval(fine);
        let (lo, hi) = (lo >> shift, (hi >> shift) + 1);
        let bits = bits_for(i128::from(hi) - i128::from(lo) + 1).max(1);
        let coarse = self.clamped(Quantised { tensor: fine, exponent }, most, lo, bits)?;
        let operands = vec![Operand { tensor: coarse.tensor, labels }];
        Ok((coarse.exponent, IntegerTerm { coefficient: 1, operands }))
    }

    /// Bits that a value has beyond those of an activation, because of its outliers.
    fn outlying(&self, value: Value) -> u32 {
        let short = self.ranges[value.0].outlying().ceil() as u32;
        let most = FACTOR_BITS.saturating_sub(self.options.activation_bits);
        short.saturating_sub(MEAN_BITS).min(most)
    }

    /// More digits than this after the point say nothing about a value of this range.
    fn warranted(&self, value: Value) -> i32 {
        exponent_for(self.ranges[value.0].magnitude(), self.options.activation_bits, false) + SPARE_DIGITS
    }

    /// Whether a value can be multiplied as it was computed.
    fn is_factor(&mut self, value: Value) -> Result<bool, Overflow> {
        let raw = self.raw(value)?;
        Ok(self.fits(raw.tensor, FACTOR_BITS))
    }

    /// A reciprocal, of which there is one for a row: it keeps more bits than an activation, and never saturates.
    fn row_factor(&mut self, value: Value) -> Result<Quantised, Overflow> {
        if let Some(&rounded) = self.narrowed.get(&(value, ROW_BITS)) {
            return Ok(rounded);
        }
        let raw = self.raw(value)?;
        let (lo, hi) = self.builder.interval(raw.tensor);
        let shift = bits_for(i128::from(hi) - i128::from(lo) + 1).saturating_sub(ROW_BITS);
        let exponent = raw.exponent - shift as i32;
        let rounded = self.clamped(raw, exponent, lo >> shift, ROW_BITS + 1)?;
        self.narrowed.insert((value, ROW_BITS), rounded);
        Ok(rounded)
    }
}

/// Multiplies constants together where the product is no larger than its largest factor.
fn merge<'a>(dims: &[usize], mut constants: Vec<Factor<'a, f64>>) -> Vec<Factor<'a, f64>> {
    constants.sort_by_key(|f| std::cmp::Reverse(f.data.len()));
    let mut merged: Vec<Factor<'a, f64>> = Vec::new();
    for constant in constants {
        match merged.iter_mut().find(|f| constant.labels.iter().all(|l| f.labels.contains(l))) {
            Some(factor) => {
                let labels = factor.labels.clone();
                factor.data = dense::einsum(dims, &labels, vec![(1.0, vec![factor.clone(), constant])]).into();
            }
            None => merged.push(constant),
        }
    }
    merged
}

/// `(m, k)` with `c` close to `m * 2^-k`, `m` odd and of at most `bits` bits.
fn dyadic(c: f64, bits: u32) -> (i64, i32) {
    let mut k = bits as i32 - 1 - c.abs().log2().floor() as i32;
    let mut m = (c * 2f64.powi(k)).round() as i64;
    while m != 0 && m % 2 == 0 {
        m /= 2;
        k -= 1;
    }
    (m, k)
}

#[cfg(test)]
mod tests {
    use super::dyadic;

    #[test]
    fn dyadic_fractions_are_exact() {
        assert_eq!(dyadic(0.375, 12), (3, 3));
        assert_eq!(dyadic(-8.0, 12), (-1, -3));
        let (m, k) = dyadic(1.0 / 49.0, 20);
        assert!((m as f64 * 2f64.powi(-k) * 49.0 - 1.0).abs() < 2e-6);
    }
}
