//! Masked scores: the rounded score, less what puts it below every score that counts, whatever it is.

use super::builder::Overflow;
use super::{Lowering, Quantised};
use crate::float::Value;
use crate::quantise::MASK_DEPTH;
use verifier::graph::{Operand, Term};

impl Lowering<'_> {
    /// With `lo..=hi` the interval of the rounded score, a hidden one is lowered by `hi - lo` and the depth at which the
    /// exponential ends. So the value needs no other rounding, and a softmax gives it the weight 0.
    pub(super) fn mask(&mut self, value: Value, input: Value, seen: Value) -> Result<Quantised, Overflow> {
        let bits = self.options.activation_bits;
        let narrow = self.narrow(input, bits)?;
        let (lo, hi) = self.builder.interval(narrow.tensor);
        let depth = hi - lo + (MASK_DEPTH * 2f64.powi(narrow.exponent)).ceil() as i64;
        let dims = self.builder.shape(narrow.tensor);
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let last = labels[labels.len() - self.float.shape(seen).len()..].to_vec();
        let term = |coefficient, tensor, labels| Term { coefficient, operands: vec![Operand { tensor, labels }] };
        let mut terms = vec![term(1, narrow.tensor, labels.clone())];
        match self.float.as_constant(seen) {
            Some(seen_here) => {
                let lowered = seen_here.iter().map(|&seen| if seen == 0.0 { -depth } else { 0 }).collect();
                let lowered = self.builder.constant("hidden", self.float.shape(seen).to_vec(), lowered)?;
                terms.push(term(1, lowered, last));
            }
            None => {
                terms.push(term(depth, self.raw(seen)?.tensor, last));
                terms.push(Term { coefficient: -depth, operands: Vec::new() });
            }
        }
        let tensor = self.builder.einsum("masked", dims, labels, terms)?;
        let masked = Quantised { tensor, ..narrow };
        self.narrowed.insert((value, bits), masked);
        Ok(masked)
    }
}
