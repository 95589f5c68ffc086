//! The place of a maximum over the last axis, ties to the first or the last.

use super::builder::{Builder, Domain, LIMIT, Overflow, bits_for};
use super::{Lowering, Quantised};
use crate::float::Value;
use crate::float::moves::affine;
use verifier::graph::{AdviceRule, AxisGroup, Operand, TensorId, Term};

/// Longest axis along which an index is one digit.
const DIGIT: usize = 256;

/// Along an axis, an index's own place and those before it.
struct Places {
    at: TensorId,
    before: TensorId,
}

/// The largest element of every row.
pub struct Choice {
    /// Its place.
    pub index: TensorId,
    /// The element.
    pub maximum: TensorId,
    /// 1 at its place, 0 elsewhere, in the shape of what was chosen from.
    pub at: TensorId,
}

pub fn term(coefficient: i64, operands: &[(TensorId, &[u8])]) -> Term {
    let operands = operands.iter().map(|&(tensor, labels)| Operand { tensor, labels: labels.to_vec() });
    Term { coefficient, operands: operands.collect() }
}

/// The axis as it is.
pub fn keep(axis: usize) -> AxisGroup {
    AxisGroup { input_axes: vec![axis], output_axes: vec![axis], map: affine(0, &[1]) }
}

impl Lowering<'_> {
    /// The index of the maximum, exact unless its keys would not fit.
    pub(super) fn arg_max(&mut self, x: Value, last: bool) -> Result<Quantised, Overflow> {
        let raw = self.raw(x)?;
        let n = self.builder.shape(raw.tensor).last().copied().unwrap_or(1);
        let (lo, hi) = self.builder.interval(raw.tensor);
        let room = LIMIT >> (bits_for(n as i128) + 1);
        let fits = i128::from(lo) > -room && i128::from(hi) < room;
        let x = if fits { raw.tensor } else { self.narrow(x, self.options.activation_bits)?.tensor };
        Ok(Quantised { tensor: self.builder.choose(x, last)?.index, exponent: 0 })
    }
}

impl Builder {
    /// The index `t` of the maximum, the first or the last. The advice behind it is the maximal key, `K_j = 2^k x_j - j` or `+ j`; with
    /// `t` and `y` the index and the element that it names, what is asserted is that `x_t = y`, that `t` is an index, and
    /// that no other element comes before `x_t`: `y - x_j >= 0`, or 1 where `j` wins a tie against `t`.
    pub fn choose(&mut self, x: TensorId, last: bool) -> Result<Choice, Overflow> {
        let shape = self.shape(x);
        let n = shape.last().copied().unwrap_or(1);
        let k = bits_for(n as i128);
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let (row, own) = (&labels[..labels.len() - 1], labels.len() as u8 - 1);
        let rows = &shape[..row.len()];
        let (lo, hi) = self.interval(x);

        let indices = self.constant("indices", vec![n], (0..n as i64).collect())?;
        let terms = vec![term(1 << k, &[(x, &labels)]), term(if last { 1 } else { -1 }, &[(indices, &[own])])];
        let keys = self.einsum("keys", shape.clone(), labels.clone(), terms)?;
        let range = self.interval(keys);
        let key = self.advice("key", rows.to_vec(), range, AdviceRule::Max { input: keys })?;
        let add = if last { 0 } else { (1 << k) - 1 };
        let bits = bits_for(i128::from(hi) - i128::from(lo) + 1).max(1);
        let maximum = self.lookup("maximum", key, Domain { add, ..Domain::saturating(k, lo, bits) }, None)?;
        let terms = if last { [(1, key), (-(1 << k), maximum)] } else { [(1 << k, maximum), (-1, key)] };
        let index = self.linear_within("index", 0, &terms, Some((0, n as i128 - 1)))?;
        self.assert_range(index, 0, k);
        let left = self.linear("left", n as i64 - 1, &[(-1, index)])?;
        self.assert_range(left, 0, k);

        let Places { at, before } = self.places(index, n)?;
        // A sum that has one summand other than 0.
        let chosen = vec![term(1, &[(x, &labels), (at, &labels)])];
        let range = (i128::from(lo), i128::from(hi));
        let chosen = self.einsum_within("chosen", shape.clone(), row.to_vec(), chosen, range)?;
        for sides in [[(1, chosen), (-1, maximum)], [(-1, chosen), (1, maximum)]] {
            let difference = self.linear("difference", 0, &sides)?;
            self.assert_range(difference, 0, 1);
        }
        let mut terms = vec![term(1, &[(maximum, row)]), term(-1, &[(x, &labels)])];
        if last {
            // After it are all that are neither before it nor it.
            terms.extend([term(-1, &[]), term(1, &[(before, &labels)]), term(1, &[(at, &labels)])]);
        } else {
            terms.push(term(-1, &[(before, &labels)]));
        }
        let gap = self.einsum("gap", shape, labels.clone(), terms)?;
        self.assert_range(gap, 0, bits);
        Ok(Choice { index, maximum, at })
    }

    /// For an index `t` of `0..n`: `[j = t]` and `[j < t]` along a new last axis. A long axis is two digits, each with a comparison for
    /// every value.
    fn places(&mut self, index: TensorId, n: usize) -> Result<Places, Overflow> {
        if n <= DIGIT {
            return self.digit_places(index, n);
        }
        let low = n.isqrt().next_power_of_two();
        let high = n.div_ceil(low);
        let bits = low.ilog2();
        let domain = Domain { add: 0, ..Domain::saturating(bits, 0, bits_for(high as i128).max(1)) };
        let first = self.lookup("digit", index, domain, None)?;
        let second = [(1, index), (-(low as i64), first)];
        let second = self.linear_within("digit", 0, &second, Some((0, low as i128 - 1)))?;
        let (first, second) = (self.digit_places(first, high)?, self.digit_places(second, low)?);
        let mut dims = self.shape(index);
        let row: Vec<u8> = (0..dims.len() as u8).collect();
        let rows = dims.clone();
        dims.extend([high, low]);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let (upper, lower) = (labels[row.len()], labels[row.len() + 1]);
        let with = |label: u8| -> Vec<u8> { row.iter().copied().chain([label]).collect() };
        let (upper, lower) = (with(upper), with(lower));
        let at = vec![term(1, &[(first.at, &upper), (second.at, &lower)])];
        let before = vec![term(1, &[(first.before, &upper)]), term(1, &[(first.at, &upper), (second.before, &lower)])];
        let mut flat = |what, terms| -> Result<TensorId, Overflow> {
            let digits = self.einsum_within(what, dims.clone(), labels.clone(), terms, (0, 1))?;
            let mut groups: Vec<AxisGroup> = (0..rows.len()).map(keep).collect();
            let axes = vec![rows.len(), rows.len() + 1];
            groups.push(AxisGroup { input_axes: axes, output_axes: vec![rows.len()], map: affine(0, &[1]) });
            self.view(digits, rows.iter().copied().chain([n]).collect(), groups)
        };
        Ok(Places { at: flat("at", at)?, before: flat("before", before)? })
    }

    fn digit_places(&mut self, digit: TensorId, n: usize) -> Result<Places, Overflow> {
        let mut shape = self.shape(digit);
        let row: Vec<u8> = (0..shape.len() as u8).collect();
        shape.push(n);
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let own = [row.len() as u8];
        let indices = self.constant("indices", vec![n], (0..n as i64).collect())?;
        let terms = vec![term(1, &[(digit, &row)]), term(-1, &[(indices, &own)])];
        let excess = self.einsum("excess", shape.clone(), labels.clone(), terms)?;
        let before = self.lookup("before", excess, Domain::saturating(0, 0, 1), None)?;
        // [j <= t] is [j - 1 < t]; for j = 0 it is 1.
        let mut groups: Vec<AxisGroup> = (0..row.len()).map(keep).collect();
        groups.push(AxisGroup { input_axes: vec![row.len()], output_axes: vec![row.len()], map: affine(-1, &[1]) });
        let shifted = self.view(before, shape.clone(), groups)?;
        let origin = self.constant("origin", vec![n], (0..n).map(|j| i64::from(j == 0)).collect())?;
        let terms = vec![term(1, &[(shifted, &labels)]), term(1, &[(origin, &own)]), term(-1, &[(before, &labels)])];
        let at = self.einsum_within("at", shape, labels.clone(), terms, (0, 1))?;
        Ok(Places { at, before })
    }
}
