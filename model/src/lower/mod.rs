//! From the model in reals to the model in integers.
//!
//! Every value gets an integer tensor and an exponent, `real = integer * 2^-exponent`. A contraction stays a wide
//! accumulator until somebody needs it narrow: then one lookup rounds and saturates it, or applies the next function.

pub mod builder;
pub mod choice;
mod divide;
mod einsum;
mod function;
mod interval;
mod mask;
mod maximum;
mod noise;
pub mod prune;
pub mod resolution;

use crate::float::{Graph as FloatGraph, Kind, Op, Value};
use crate::quantise::Range;
use crate::scalar::table::exponent_for;
use crate::{ImportError, ImportOptions};
use builder::{Builder, Overflow, bits_for};
use resolution::{Extra, Short};
use std::collections::HashMap;
use verifier::graph::{Port, TensorId};

/// The integers that stand for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantised {
    /// The tensor.
    pub tensor: TensorId,
    /// Binary digits after the point.
    pub exponent: i32,
}

/// The integer graph of a float graph.
pub struct Lowered {
    /// Graph and constants.
    pub builder: Builder,
    /// The tensor of every float value that has one.
    pub values: Vec<Option<Quantised>>,
    /// Contractions whose weights leave a channel short of digits.
    pub short: Vec<Short>,
}

/// Lowers a float graph whose values were calibrated to `ranges`; the weights of some contractions have `extra` bits.
///
/// # Errors
/// The layer whose integers could leave 62 bits, or that has no exact integer form.
pub fn lower(
    float: &FloatGraph,
    ranges: &[Range],
    options: &ImportOptions,
    extra: &Extra,
) -> Result<Lowered, ImportError> {
    let mut lowering = Lowering {
        float,
        ranges,
        options,
        extra,
        builder: Builder::default(),
        raw: vec![None; float.nodes.len()],
        narrowed: HashMap::new(),
        lacking: Vec::new(),
    };
    for index in 0..float.nodes.len() {
        lowering.node(Value(index))?;
    }
    lowering.outputs()?;
    let mut values = lowering.raw;
    let mut accumulators: Vec<Option<Quantised>> = lowering.lacking.iter().map(|(value, _)| values[value.0]).collect();
    for ((value, bits), narrowed) in lowering.narrowed {
        // The report reads a value as its consumers do.
        if bits == options.activation_bits && !float.outputs.iter().any(|o| o.1 == value) {
            values[value.0] = Some(narrowed);
        }
    }
    let mut builder = lowering.builder;
    let renumbered = prune::prune(&mut builder);
    for value in values.iter_mut().chain(&mut accumulators) {
        *value = value.and_then(|q| Some(Quantised { tensor: renumbered[q.tensor.index()]?, ..q }));
    }
    let short = lowering.lacking.into_iter().zip(accumulators);
    let short = short.filter_map(|((value, lacking), q)| Some(Short { value, tensor: q?.tensor, lacking }));
    Ok(Lowered { builder, values, short: short.collect() })
}

struct Lowering<'a> {
    float: &'a FloatGraph,
    ranges: &'a [Range],
    options: &'a ImportOptions,
    extra: &'a Extra,
    builder: Builder,
    raw: Vec<Option<Quantised>>,
    narrowed: HashMap<(Value, u32), Quantised>,
    /// Digits that the shortest channel of a contraction lacks.
    lacking: Vec<(Value, u32)>,
}

impl Lowering<'_> {
    fn node(&mut self, value: Value) -> Result<(), ImportError> {
        let node = self.float.node(value);
        self.builder.layer.clone_from(&node.layer);
        let quantised = match &node.op {
            Op::Constant(_) => return Ok(()),
            Op::Input(position) => self.input(value, *position)?,
            Op::Einsum { dims, out, terms } => self.einsum(value, dims, out, terms)?,
            Op::View { input, groups } => {
                // Elements that a view repeats are rounded before, not after.
                let grows = node.shape.iter().product::<usize>() > self.float.shape(*input).iter().product();
                let source = if grows { self.narrow(*input, self.options.activation_bits)? } else { self.raw(*input)? };
                let tensor = self.builder.view(source.tensor, node.shape.clone(), groups.clone())?;
                Quantised { tensor, ..source }
            }
            Op::Map { input, function } => self.map(value, *input, function)?,
            Op::Positive(x) => self.positive(*x)?,
            Op::Floor(x) => self.floor(*x)?,
            Op::Max { input, present } => self.max(*input, *present)?,
            Op::Mask { input, seen, .. } => self.mask(value, *input, *seen)?,
            Op::Noisy(x) => self.noisy(*x)?,
            Op::ArgMax { input, last } => self.arg_max(*input, *last)?,
            Op::Reciprocal(x) => self.reciprocal(*x)?,
            Op::Rsqrt(x) => self.rsqrt(*x)?,
            Op::Quotient(a, b) => self.quotient(*a, *b)?,
        };
        self.raw[value.0] = Some(quantised);
        Ok(())
    }

    fn input(&mut self, value: Value, position: usize) -> Result<Quantised, Overflow> {
        let node = self.float.node(value);
        let bits = self.options.activation_bits;
        let half = 1i64 << (bits - 1);
        let (exponent, range) = match node.kind {
            Kind::Real => (exponent_for(self.ranges[value.0].magnitude(), bits, false), (-half, half - 1)),
            Kind::Int => (
                0,
                self.float
                    .classes
                    .get(&position)
                    .map_or_else(|| self.ranges[value.0].integers(), |&n| (0, n as i64 - 1)),
            ),
            Kind::Bool => (0, (0, 1)),
        };
        let tensor = self.builder.input(&node.layer, node.shape.clone(), range)?;
        self.builder.graph.inputs.push(Port { tensor, exponent });
        Ok(Quantised { tensor, exponent })
    }

    /// The value as it was computed, however wide; a constant becomes a tensor of the model.
    fn raw(&mut self, value: Value) -> Result<Quantised, Overflow> {
        match self.raw[value.0] {
            Some(quantised) => Ok(quantised),
            None => self.constant(value, self.options.weight_bits),
        }
    }

    fn constant(&mut self, value: Value, bits: u32) -> Result<Quantised, Overflow> {
        let data = self.float.as_constant(value).unwrap_or_default();
        let (exponent, integers) = quantise_constant(data, bits);
        let tensor = self.builder.constant("constant", self.float.shape(value).to_vec(), integers)?;
        Ok(Quantised { tensor, exponent })
    }

    /// The value in about `bits` bits: itself if it is narrow, else rounded by one lookup. Integers stay exact.
    fn narrow(&mut self, value: Value, bits: u32) -> Result<Quantised, Overflow> {
        let raw = self.raw(value)?;
        if self.float.kind(value) != Kind::Real || self.fits(raw.tensor, bits) {
            return Ok(raw);
        }
        if let Some(&narrowed) = self.narrowed.get(&(value, bits)) {
            return Ok(narrowed);
        }
        if let Op::View { input, groups } = &self.float.node(value).op
            && self.float.node(*input).shape.iter().product::<usize>()
                == self.float.shape(value).iter().product::<usize>()
        {
            // The same elements in another order: whoever reads them in the first order shares the lookup.
            let source = self.narrow(*input, bits)?;
            let tensor = self.builder.view(source.tensor, self.float.shape(value).to_vec(), groups.clone())?;
            let narrowed = Quantised { tensor, ..source };
            self.narrowed.insert((value, bits), narrowed);
            return Ok(narrowed);
        }
        let narrowed = self.round(raw, self.ranges[value.0], bits)?;
        self.narrowed.insert((value, bits), narrowed);
        Ok(narrowed)
    }

    /// Rounds to the finest exponent at which the range, and 0, fit `bits`; saturates beyond.
    fn round(&mut self, raw: Quantised, range: Range, bits: u32) -> Result<Quantised, Overflow> {
        let unsigned = self.builder.interval(raw.tensor).0 >= 0;
        let (min, max) = (if unsigned { 0.0 } else { range.min.min(0.0) }, range.max.max(0.0));
        let exponent = exponent_for(max - min, bits, true).min(raw.exponent);
        let scale = 2f64.powi(exponent);
        let (least, greatest) = ((min * scale).floor() as i64, (max * scale).ceil() as i64);
        // Room that is left goes to both sides.
        let room = ((1i64 << bits) - 1 - (greatest - least)).max(0);
        let lo = if unsigned { 0 } else { least - room / 2 };
        self.clamped(raw, exponent, lo, bits)
    }

    fn fits(&self, tensor: TensorId, bits: u32) -> bool {
        let (lo, hi) = self.builder.interval(tensor);
        bits_for(i128::from(hi) - i128::from(lo) + 1) <= bits
    }

    fn outputs(&mut self) -> Result<(), ImportError> {
        for (name, value) in &self.float.outputs {
            self.builder.layer.clone_from(name);
            let quantised = self.raw(*value)?;
            let computed =
                matches!(self.builder.graph.tensor(quantised.tensor).source, verifier::graph::Source::Node(_));
            let taken = self.builder.graph.outputs.iter().any(|p| p.tensor == quantised.tensor);
            let tensor = if computed && !taken {
                quantised.tensor
            } else {
                self.builder.linear("output", 0, &[(1, quantised.tensor)])?
            };
            self.builder.graph.outputs.push(Port { tensor, exponent: quantised.exponent });
        }
        Ok(())
    }
}

/// The coarsest exponent at which the constants are integers, or the finest at which they fit `bits` (rounded halves up).
pub fn quantise_constant(data: &[f64], bits: u32) -> (i32, Vec<i64>) {
    let magnitude = data.iter().fold(0f64, |m, x| m.max(x.abs()));
    let finest = exponent_for(magnitude, bits, false);
    let integral = |e: i32| {
        let scale = 2f64.powi(e);
        data.iter().all(|x| (x * scale).fract() == 0.0)
    };
    let exponent = (0..finest).find(|&e| integral(e)).unwrap_or(if integral(0) { 0 } else { finest });
    (exponent, quantise(data, exponent))
}

/// `floor(x * 2^exponent + 1/2)`.
pub fn quantise(data: &[f64], exponent: i32) -> Vec<i64> {
    let scale = 2f64.powi(exponent);
    data.iter().map(|x| (x * scale + 0.5).floor() as i64).collect()
}
