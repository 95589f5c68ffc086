//! Maxima over the last axis.
//!
//! Short rows are a tournament of `max(a, b) = a + max(b - a, 0)`. For long ones `M` is advice with `M - x_j >= 0` for
//! all `j`, and `M = x_j` for some: the number of `j` with `M - x_j != 0` is below the row's length.

use super::builder::{Domain, LIMIT, Overflow, bits_for};
use super::{Lowering, Quantised};
use crate::float::Value;
use crate::float::moves::affine;
use verifier::graph::{AdviceRule, AxisGroup, Bound, Operand, TensorId, Term};

/// Longest row that is a tournament.
const TOURNAMENT: usize = 4;
/// Longest axis along which an index is one digit.
const DIGIT: usize = 256;

/// Along an axis, an index's own place and those before it.
struct Places {
    at: TensorId,
    before: TensorId,
}

fn term(coefficient: i64, operands: &[(TensorId, &[u8])]) -> Term {
    let operands = operands.iter().map(|&(tensor, labels)| Operand { tensor, labels: labels.to_vec() });
    Term { coefficient, operands: operands.collect() }
}

/// The axis as it is.
fn keep(axis: usize) -> AxisGroup {
    AxisGroup { input_axes: vec![axis], output_axes: vec![axis], map: affine(0, &[1]) }
}

impl Lowering<'_> {
    pub(super) fn max(&mut self, x: Value, present: Option<Value>) -> Result<Quantised, Overflow> {
        let narrow = self.narrow(x, self.options.activation_bits)?;
        let tensor = match present.and_then(|p| self.float.as_constant(p).map(|data| (self.float.shape(p), data))) {
            Some((shape, present)) => self.absent_lowest(narrow.tensor, shape, present)?,
            None => narrow.tensor,
        };
        Ok(Quantised { tensor: self.row_max(tensor)?, ..narrow })
    }

    /// Elements that do not count, which are 0, become the lowest value of the tensor.
    fn absent_lowest(&mut self, x: TensorId, shape: &[usize], present: &[f64]) -> Result<TensorId, Overflow> {
        let range = self.builder.interval(x);
        if range.0 >= 0 {
            return Ok(x);
        }
        let lowest = present.iter().map(|&p| if p == 0.0 { range.0 } else { 0 }).collect();
        let lowest = self.builder.constant("absent", shape.to_vec(), lowest)?;
        let dims = self.builder.shape(x);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let last = labels[labels.len() - shape.len()..].to_vec();
        let term = |tensor, labels| Term { coefficient: 1, operands: vec![Operand { tensor, labels }] };
        let terms = vec![term(x, labels.clone()), term(lowest, last)];
        self.builder.einsum_within("counted", dims, labels, terms, (range.0.into(), range.1.into()))
    }

    /// The index `t` of the maximum, the first or the last. The advice behind it is the maximal key, `K_j = 2^k x_j - j` or `+ j`; with
    /// `t` and `y` the index and the element that it names, what is asserted is that `x_t = y`, that `t` is an index, and
    /// that no other element comes before `x_t`: `y - x_j >= 0`, or 1 where `j` wins a tie against `t`.
    pub(super) fn arg_max(&mut self, x: Value, last: bool) -> Result<Quantised, Overflow> {
        let raw = self.raw(x)?;
        let n = self.builder.shape(raw.tensor).last().copied().unwrap_or(1);
        let k = bits_for(n as i128);
        let (lo, hi) = self.builder.interval(raw.tensor);
        let room = LIMIT >> (k + 1);
        let fits = i128::from(lo) > -room && i128::from(hi) < room;
        let x = if fits { raw.tensor } else { self.narrow(x, self.options.activation_bits)?.tensor };
        let shape = self.builder.shape(x);
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let (row, own) = (&labels[..labels.len() - 1], labels.len() as u8 - 1);
        let rows = &shape[..row.len()];
        let (lo, hi) = self.builder.interval(x);

        let indices = self.builder.constant("indices", vec![n], (0..n as i64).collect())?;
        let terms = vec![term(1 << k, &[(x, &labels)]), term(if last { 1 } else { -1 }, &[(indices, &[own])])];
        let keys = self.builder.einsum("keys", shape.clone(), labels.clone(), terms)?;
        let range = self.builder.interval(keys);
        let key = self.builder.advice("key", rows.to_vec(), range, AdviceRule::Max { input: keys })?;
        let add = if last { 0 } else { (1 << k) - 1 };
        let bits = bits_for(i128::from(hi) - i128::from(lo) + 1).max(1);
        let maximum = self.builder.lookup("maximum", key, Domain { add, ..Domain::saturating(k, lo, bits) }, None)?;
        let terms = if last { [(1, key), (-(1 << k), maximum)] } else { [(1 << k, maximum), (-1, key)] };
        let index = self.builder.linear_within("index", 0, &terms, Some((0, n as i128 - 1)))?;
        self.builder.assert_range(index, 0, k);
        let left = self.builder.linear("left", n as i64 - 1, &[(-1, index)])?;
        self.builder.assert_range(left, 0, k);

        let Places { at, before } = self.places(index, n)?;
        // A sum that has one summand other than 0.
        let chosen = vec![term(1, &[(x, &labels), (at, &labels)])];
        let range = (i128::from(lo), i128::from(hi));
        let chosen = self.builder.einsum_within("chosen", shape.clone(), row.to_vec(), chosen, range)?;
        for sides in [[(1, chosen), (-1, maximum)], [(-1, chosen), (1, maximum)]] {
            let difference = self.builder.linear("difference", 0, &sides)?;
            self.builder.assert_range(difference, 0, 1);
        }
        let mut terms = vec![term(1, &[(maximum, row)]), term(-1, &[(x, &labels)])];
        if last {
            // After it are all that are neither before it nor it.
            terms.extend([term(-1, &[]), term(1, &[(before, &labels)]), term(1, &[(at, &labels)])]);
        } else {
            terms.push(term(-1, &[(before, &labels)]));
        }
        let gap = self.builder.einsum("gap", shape, labels.clone(), terms)?;
        self.builder.assert_range(gap, 0, bits);
        Ok(Quantised { tensor: index, exponent: 0 })
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
        let first = self.builder.lookup("digit", index, domain, None)?;
        let second = [(1, index), (-(low as i64), first)];
        let second = self.builder.linear_within("digit", 0, &second, Some((0, low as i128 - 1)))?;
        let (first, second) = (self.digit_places(first, high)?, self.digit_places(second, low)?);
        let mut dims = self.builder.shape(index);
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
            let digits = self.builder.einsum_within(what, dims.clone(), labels.clone(), terms, (0, 1))?;
            let mut groups: Vec<AxisGroup> = (0..rows.len()).map(keep).collect();
            let axes = vec![rows.len(), rows.len() + 1];
            groups.push(AxisGroup { input_axes: axes, output_axes: vec![rows.len()], map: affine(0, &[1]) });
            self.builder.view(digits, rows.iter().copied().chain([n]).collect(), groups)
        };
        Ok(Places { at: flat("at", at)?, before: flat("before", before)? })
    }

    fn digit_places(&mut self, digit: TensorId, n: usize) -> Result<Places, Overflow> {
        let mut shape = self.builder.shape(digit);
        let row: Vec<u8> = (0..shape.len() as u8).collect();
        shape.push(n);
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let own = [row.len() as u8];
        let indices = self.builder.constant("indices", vec![n], (0..n as i64).collect())?;
        let terms = vec![term(1, &[(digit, &row)]), term(-1, &[(indices, &own)])];
        let excess = self.builder.einsum("excess", shape.clone(), labels.clone(), terms)?;
        let before = self.builder.lookup("before", excess, Domain::saturating(0, 0, 1), None)?;
        // [j <= t] is [j - 1 < t]; for j = 0 it is 1.
        let mut groups: Vec<AxisGroup> = (0..row.len()).map(keep).collect();
        groups.push(AxisGroup { input_axes: vec![row.len()], output_axes: vec![row.len()], map: affine(-1, &[1]) });
        let shifted = self.builder.view(before, shape.clone(), groups)?;
        let origin = self.builder.constant("origin", vec![n], (0..n).map(|j| i64::from(j == 0)).collect())?;
        let terms = vec![term(1, &[(shifted, &labels)]), term(1, &[(origin, &own)]), term(-1, &[(before, &labels)])];
        let at = self.builder.einsum_within("at", shape, labels.clone(), terms, (0, 1))?;
        Ok(Places { at, before })
    }

    fn row_max(&mut self, mut x: TensorId) -> Result<TensorId, Overflow> {
        let range = self.builder.interval(x);
        loop {
            let shape = self.builder.shape(x);
            let axis = shape.len() - 1;
            match shape[axis] {
                1 => return self.last_axis(x, 0, None),
                n if n <= TOURNAMENT => {
                    let half = n.div_ceil(2);
                    let a = self.last_axis(x, 0, Some(half))?;
                    let b = self.last_axis(x, (n - half) as i64, Some(half))?;
                    let difference = self.builder.linear("difference", 0, &[(1, b), (-1, a)])?;
                    let top = self.builder.interval(difference).1.max(1);
                    let domain = Domain::saturating(0, 0, bits_for(i128::from(top) + 1));
                    let excess = self.builder.lookup("excess", difference, domain, None)?;
                    let range = Some((range.0.into(), range.1.into()));
                    x = self.builder.linear_within("maximum", 0, &[(1, a), (1, excess)], range)?;
                }
                _ => return self.advised_max(x, shape, range),
            }
        }
    }

    fn advised_max(&mut self, x: TensorId, shape: Vec<usize>, range: (i64, i64)) -> Result<TensorId, Overflow> {
        let axis = shape.len() - 1;
        let n = shape[axis] as i64;
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let row = &labels[..axis];
        let max = self.builder.advice("maximum", shape[..axis].to_vec(), range, AdviceRule::Max { input: x })?;
        let one = |coefficient, tensor, labels: &[u8]| Term {
            coefficient,
            operands: vec![Operand { tensor, labels: labels.to_vec() }],
        };
        let terms = vec![one(1, max, row), one(-1, x, &labels)];
        let gap = self.builder.einsum("gap", shape.clone(), labels.clone(), terms)?;
        let domain = Domain { below: Bound::Forbid, ..Domain::saturating(0, 0, 1) };
        let differs = self.builder.lookup("differs", gap, domain, None)?;
        let constant = Term { coefficient: n - 1, operands: Vec::new() };
        let terms = vec![constant, one(-1, differs, &labels)];
        let attained = self.builder.einsum("attained", shape, row.to_vec(), terms)?;
        self.builder.assert_range(attained, 0, bits_for(i128::from(n)).max(1));
        Ok(max)
    }

    /// Some elements of the last axis, or one without the axis.
    fn last_axis(&mut self, x: TensorId, start: i64, length: Option<usize>) -> Result<TensorId, Overflow> {
        let mut shape = self.builder.shape(x);
        let axis = shape.len() - 1;
        let mut groups: Vec<AxisGroup> = (0..axis).map(keep).collect();
        shape.pop();
        match length {
            Some(n) => {
                shape.push(n);
                groups.push(AxisGroup { input_axes: vec![axis], output_axes: vec![axis], map: affine(start, &[1]) });
            }
            None => groups.push(AxisGroup { input_axes: vec![axis], output_axes: vec![], map: affine(start, &[]) }),
        }
        self.builder.view(x, shape, groups)
    }
}
