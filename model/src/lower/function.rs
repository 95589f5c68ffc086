//! Functions of one element: one lookup each, straight from the accumulator.

use super::builder::{Domain, Overflow, bits_for, rounding};
use super::{Lowering, Quantised};
use crate::float::{Kind, Op, Value};
use crate::scalar::Expr;
use crate::scalar::table::{Budget, build, exponent_for};
use verifier::graph::Bound;

impl Lowering<'_> {
    pub(super) fn map(&mut self, value: Value, input: Value, function: &Expr) -> Result<Quantised, Overflow> {
        if function.is_relu() { self.relu(value, input) } else { self.table(input, function) }
    }

    /// `max(x, 0)` is saturation from below.
    fn relu(&mut self, value: Value, input: Value) -> Result<Quantised, Overflow> {
        let raw = self.raw(input)?;
        let top = self.builder.interval(raw.tensor).1.max(1);
        let full = bits_for(i128::from(top) + 1);
        let bits = self.options.activation_bits;
        let exact = self.float.kind(input) != Kind::Real || full <= bits;
        let exponent = exponent_for(self.ranges[value.0].magnitude(), bits, true);
        let shift = if exact { 0 } else { (raw.exponent - exponent).clamp(0, 60) };
        let domain = Domain::saturating(shift as u32, 0, if exact { full } else { bits });
        let tensor = self.builder.lookup("relu", raw.tensor, domain, None)?;
        Ok(Quantised { tensor, exponent: raw.exponent - shift })
    }

    fn table(&mut self, input: Value, function: &Expr) -> Result<Quantised, Overflow> {
        let raw = self.raw(input)?;
        let scale = 2f64.powi(-raw.exponent);
        let (lo, hi) = self.builder.interval(raw.tensor);
        let (lo, hi) = (lo as f64 * scale, hi as f64 * scale);
        let range = self.ranges[input.0];
        let (min, max) = if range.min > range.max { (lo, hi) } else { (range.min.max(lo), range.max.min(hi)) };
        let budget = Budget { domain_bits: self.options.table_bits, value_bits: self.options.activation_bits };
        let table = build(function, min.min(max), max, raw.exponent, budget);
        let shift = (raw.exponent - table.input_exponent) as u32;
        let values = self.builder.constant("table", vec![table.values.len()], table.values)?;
        let domain = Domain::saturating(shift.min(60), table.lo, table.bits);
        let tensor = self.builder.lookup("function", raw.tensor, domain, Some(values))?;
        Ok(Quantised { tensor, exponent: table.output_exponent })
    }

    /// `[x > 0]`: an integer clamped to 0 and 1.
    pub(super) fn positive(&mut self, x: Value) -> Result<Quantised, Overflow> {
        let raw = self.raw(x)?;
        let tensor = self.builder.lookup("positive", raw.tensor, Domain::saturating(0, 0, 1), None)?;
        Ok(Quantised { tensor, exponent: 0 })
    }

    /// The floor drops the digits after the point; of `max(x, 0)`, in the same lookup.
    pub(super) fn floor(&mut self, x: Value) -> Result<Quantised, Overflow> {
        let (source, non_negative) = match &self.float.node(x).op {
            Op::Map { input, function } if function.is_relu() => (*input, true),
            _ => (x, false),
        };
        let mut raw = self.raw(source)?;
        if raw.exponent < 0 {
            let factor = 1i64 << (-raw.exponent).min(61);
            raw = Quantised { tensor: self.builder.linear("integer", 0, &[(factor, raw.tensor)])?, exponent: 0 };
        }
        let shift = raw.exponent.min(60) as u32;
        let (lo, hi) = self.builder.interval(raw.tensor);
        let (lo, hi) = (if non_negative { 0 } else { lo >> shift }, (hi >> shift).max(0));
        let bits = bits_for(i128::from(hi) - i128::from(lo) + 1).max(1);
        let domain = Domain { add: 0, ..Domain::saturating(shift, lo, bits) };
        let tensor = self.builder.lookup("floor", raw.tensor, domain, None)?;
        Ok(Quantised { tensor, exponent: 0 })
    }

    /// The value, rounded and kept within `lo..lo + 2^bits` at the given exponent, or a little less of it.
    pub(super) fn clamped(&mut self, raw: Quantised, exponent: i32, lo: i64, bits: u32) -> Result<Quantised, Overflow> {
        let shift = (raw.exponent - exponent).clamp(0, 60) as u32;
        let domain = Domain { add: rounding(shift), shift, lo, bits, below: Bound::Saturate, above: Bound::Saturate };
        let tensor = self.builder.lookup("rounded", raw.tensor, domain, None)?;
        Ok(Quantised { tensor, exponent: raw.exponent - shift as i32 })
    }
}
