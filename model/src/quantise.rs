//! Scales: what calibration learns about each value, and the way from real inputs to integers and back.

use crate::float::{ABSENT, Graph as FloatGraph, Kind, Node, Op, Value, execute};
use kernels::Ints;
use rayon::prelude::*;
use thiserror::Error;
use verifier::graph::Graph;

/// `exp(-MASK_DEPTH)` is far below the last digit of any table entry.
pub const MASK_DEPTH: f64 = 14.0;

/// Values that one core looks at in one go.
const CHUNK: usize = 1 << 16;

/// The values seen at calibration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// Sum of the absolute values.
    sum: f64,
    /// How many there were.
    count: f64,
}

impl Range {
    /// Nothing seen yet.
    const EMPTY: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, count: 0.0 };

    /// Binary digits by which the mean magnitude falls short of the largest.
    pub fn outlying(&self) -> f64 {
        if self.sum > 0.0 { (self.magnitude() * self.count / self.sum).log2() } else { 0.0 }
    }

    /// Largest absolute value; 0 if nothing was seen.
    pub fn magnitude(&self) -> f64 {
        if self.min > self.max { 0.0 } else { self.min.abs().max(self.max.abs()) }
    }

    /// Whole powers of two around an integer input.
    pub fn integers(&self) -> (i64, i64) {
        let bound = |x: f64| (x.max(0.0) as i64 + 1).clamp(1, 1 << 40) as u64;
        let hi = bound(self.max).next_power_of_two().max(1 << 15) as i64 - 1;
        let lo = if self.min < 0.0 { -(bound(-self.min).next_power_of_two().max(1 << 15) as i64) } else { 0 };
        (lo, hi)
    }

    fn including(self, x: f64) -> Self {
        if x > ABSENT / 2.0 && x.is_finite() {
            self.and(Self { min: x, max: x, sum: x.abs(), count: 1.0 })
        } else {
            self
        }
    }

    fn and(self, other: Self) -> Self {
        let (sum, count) = (self.sum + other.sum, self.count + other.count);
        Self { min: self.min.min(other.min), max: self.max.max(other.max), sum, count }
    }

    fn widened(self, headroom: f64) -> Self {
        let grow = |x: f64| x * headroom;
        Self {
            min: if self.min < 0.0 { grow(self.min) } else { self.min },
            max: if self.max > 0.0 { grow(self.max) } else { self.max },
            ..self
        }
    }
}

/// Runs the float model on samples; the range of every value, reals widened by `headroom`.
fn calibrate(graph: &FloatGraph, samples: &[Vec<Vec<f64>>], headroom: f64) -> Vec<Range> {
    let mut ranges = vec![Range::EMPTY; graph.nodes.len()];
    for sample in samples {
        execute::run(graph, sample, &mut |value, data| {
            if graph.as_constant(value).is_none() {
                let seen = data.par_chunks(CHUNK).map(|chunk| chunk.iter().fold(Range::EMPTY, |r, &x| r.including(x)));
                // In order, so that the sums are the same on every machine.
                ranges[value.0] = seen.collect::<Vec<_>>().into_iter().fold(ranges[value.0], Range::and);
            }
        });
    }
    let widen = |(range, node): (Range, &Node)| match node.kind {
        Kind::Real => range.widened(headroom),
        Kind::Int | Kind::Bool => range,
    };
    ranges.into_iter().zip(&graph.nodes).map(widen).collect()
}

/// The range of every value, and masks of finite size: calibration, twice where that takes two runs, as what is masked has no
/// size in the first.
pub fn calibrate_masked(graph: &mut FloatGraph, samples: &[Vec<Vec<f64>>], headroom: f64) -> Vec<Range> {
    let seen = calibrate(graph, samples, headroom);
    let absent =
        |&(value, _): &(Value, _)| graph.as_constant(value).is_some_and(|data| data.iter().any(|&x| x <= ABSENT / 2.0));
    let added = |node: &Node| match &node.op {
        Op::Einsum { terms, .. } => terms.iter().flat_map(|t| &t.operands).any(absent),
        _ => false,
    };
    let added = graph.nodes.iter().any(added);
    let masks: Vec<Value> =
        graph.nodes.iter().filter_map(|n| if let Op::Mask { seen, .. } = n.op { Some(seen) } else { None }).collect();
    if !added && masks.is_empty() {
        return seen;
    }
    settle_masks(graph, &seen);
    // What a node masks is the same number everywhere, so one sample shows what becomes of it, if all samples are masked alike.
    let alike = !added && masks.iter().all(|&seen| graph.as_constant(seen).is_some());
    let again = calibrate(graph, if alike { &samples[..samples.len().min(1)] } else { samples }, headroom);
    if added { again } else { seen.into_iter().zip(again).map(|(a, b)| a.and(b)).collect() }
}

/// Undoes [`settle_masks`] where a node masks: what is hidden is absent again, as in the model itself.
pub fn unsettle_masks(graph: &mut FloatGraph) {
    for node in &mut graph.nodes {
        if let Op::Mask { floor, .. } = &mut node.op {
            *floor = ABSENT;
        }
    }
}

/// Brings the masks of a graph to finite size. A masked sum is `x + mask`, and any value that is [`MASK_DEPTH`] below
/// the least `x` gets weight 0 in a softmax; so the mask's [`ABSENT`] becomes just that, and costs no precision.
fn settle_masks(graph: &mut FloatGraph, ranges: &[Range]) {
    let mut floors: Vec<(usize, f64)> = Vec::new();
    for (node, range) in graph.nodes.iter_mut().zip(ranges) {
        if let Op::Mask { floor, .. } = &mut node.op {
            *floor = range.min.min(0.0) - MASK_DEPTH;
        }
    }
    for (node, range) in graph.nodes.iter().zip(ranges) {
        let Op::Einsum { terms, .. } = &node.op else { continue };
        for term in terms {
            for (value, _) in &term.operands {
                let masks = graph.as_constant(*value).is_some_and(|data| data.iter().any(|&x| x <= ABSENT / 2.0));
                if masks && term.coefficient > 0.0 {
                    floors.push((value.0, (range.min.min(0.0) - range.max.max(0.0) - MASK_DEPTH) / term.coefficient));
                }
            }
        }
    }
    for (index, floor) in floors {
        if let Op::Constant(data) = &mut graph.nodes[index].op {
            data.iter_mut().filter(|x| **x <= ABSENT / 2.0).for_each(|x| *x = floor);
        }
    }
}

/// An input that the model cannot take.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum InputError {
    /// There is no such input.
    #[error("input {index} does not exist: the model has {count}")]
    Position {
        /// Position asked for.
        index: usize,
        /// Number of inputs.
        count: usize,
    },
    /// The wrong number of elements.
    #[error("input {index} '{name}' has {found} elements; shape {shape:?} needs {}", shape.iter().product::<usize>())]
    Length {
        /// Position of the input.
        index: usize,
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Elements given.
        found: usize,
    },
    /// An element outside the calibrated range, or not a number.
    #[error(
        "input {index} '{name}': element {element} is {value}; the model takes {lo} to {hi} (calibrate it on wider samples)"
    )]
    Value {
        /// Position of the input.
        index: usize,
        /// Its name.
        name: String,
        /// Position of the element.
        element: usize,
        /// The element.
        value: f32,
        /// Least value taken.
        lo: f64,
        /// Greatest value taken.
        hi: f64,
    },
}

/// The integers of a public input: `floor(x * 2^exponent + 1/2)`, which must lie in the input's interval.
///
/// `values` is row-major, of the shape of input number `index`.
///
/// # Errors
/// A wrong length, a value that is not a number, or one beyond the calibrated range.
pub fn quantise_input(graph: &Graph, index: usize, values: &[f32]) -> Result<Ints, InputError> {
    let port = graph.inputs.get(index).ok_or(InputError::Position { index, count: graph.inputs.len() })?;
    let tensor = graph.tensor(port.tensor);
    if values.len() != tensor.len() {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        return Err(InputError::Length { index, name, shape, found: values.len() });
    }
    let scale = 2f64.powi(port.exponent);
    let integers = values.iter().enumerate().map(|(element, &value)| {
        let integer = (f64::from(value) * scale + 0.5).floor();
        if integer >= tensor.lo as f64 && integer <= tensor.hi as f64 {
            return Ok(integer as i64);
        }
        let (lo, hi) = (tensor.lo as f64 / scale, tensor.hi as f64 / scale);
        Err(InputError::Value { index, name: tensor.name.clone(), element, value, lo, hi })
    });
    integers.collect::<Result<Vec<i64>, _>>().map(Ints::from)
}

/// The reals that integers stand for: `x * 2^-exponent`.
pub fn dequantise(exponent: i32, values: &Ints) -> Vec<f64> {
    let scale = 2f64.powi(-exponent);
    values.to_vec().into_iter().map(|x| x as f64 * scale).collect()
}
