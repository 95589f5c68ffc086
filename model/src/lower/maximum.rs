//! Maxima over the last axis.
//!
//! Short rows are a tournament of `max(a, b) = a + max(b - a, 0)`. For long ones, and where no axis of positions is to be cut, `M` is
//! advice with `M - x_j >= 0` for all `j`, and `M = x_j` for some: the number of `j` with `M - x_j != 0` is below the row's length.

use super::builder::{Domain, Overflow, bits_for};
use super::choice::keep;
use super::{Lowering, Quantised};
use crate::float::Value;
use crate::float::moves::affine;
use verifier::graph::{AdviceRule, AxisGroup, Bound, Operand, TensorId, Term};

/// Longest row that is a tournament.
const TOURNAMENT: usize = 4;

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

    fn row_max(&mut self, mut x: TensorId) -> Result<TensorId, Overflow> {
        let range = self.builder.interval(x);
        loop {
            let shape = self.builder.shape(x);
            let axis = shape.len() - 1;
            match shape[axis] {
                _ if self.float.by_position => return self.advised_max(x, shape, range),
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
        let others = (n > 1).then(|| Term { coefficient: n - 1, operands: Vec::new() });
        let terms = others.into_iter().chain([one(-1, differs, &labels)]).collect();
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
