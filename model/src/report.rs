//! The accuracy report: the integer model beside the float model, on the calibration samples.

use crate::executor::Lazy;
use crate::float::{ABSENT, Graph as FloatGraph, Op, Value, execute};
use crate::lower::Quantised;
use crate::{ExecuteError, ImportError, InputError, quantise_input};
use kernels::{Ints, with_ints};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use verifier::graph::{Graph, TensorId};

/// How close the integer model is to the float model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccuracyReport {
    /// What the user should know about the import.
    pub warnings: Vec<String>,
    /// Every value of the model, in order.
    pub layers: Vec<LayerAccuracy>,
    /// The model's outputs, in order.
    pub outputs: Vec<OutputAccuracy>,
}

/// Errors of one value, over all samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerAccuracy {
    /// Layer of the source model.
    pub layer: String,
    /// Shape of the value.
    pub shape: Vec<usize>,
    /// Binary digits after the point.
    pub exponent: i32,
    /// Cosine of the angle between the float and the integer value; 1 if both are zero.
    pub cosine: f64,
    /// Largest absolute error.
    pub max_error: f64,
    /// Mean absolute error.
    pub mean_error: f64,
}

/// Errors of one output, over all samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputAccuracy {
    /// Name of the output.
    pub name: String,
    /// Largest absolute error.
    pub max_error: f64,
    /// Mean absolute error.
    pub mean_error: f64,
}

/// Elements whose errors are added up in one go; so the sums do not depend on the number of cores.
const CHUNK: usize = 1 << 16;

#[derive(Clone, Default)]
struct Errors {
    count: usize,
    max: f64,
    sum: f64,
    dot: f64,
    squares: (f64, f64),
}

impl Errors {
    fn of(expected: &[f64], found: &Ints, exponent: i32) -> Self {
        let scale = 2f64.powi(-exponent);
        let chunks: Vec<Self> = with_ints!(found, v => {
            let chunks = expected.par_chunks(CHUNK).zip(v.par_chunks(CHUNK));
            chunks.map(|(a, b)| Self::of_pairs(a.iter().zip(b).map(|(&a, &b)| (a, b as f64 * scale)))).collect()
        });
        chunks.into_iter().fold(Self::default(), Self::and)
    }

    fn of_pairs(pairs: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut errors = Self::default();
        for (a, b) in pairs.filter(|(a, _)| *a > ABSENT / 2.0) {
            let error = (a - b).abs();
            errors.count += 1;
            errors.max = errors.max.max(error);
            errors.sum += error;
            errors.dot += a * b;
            errors.squares = (errors.squares.0 + a * a, errors.squares.1 + b * b);
        }
        errors
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            max: self.max.max(other.max),
            sum: self.sum + other.sum,
            dot: self.dot + other.dot,
            squares: (self.squares.0 + other.squares.0, self.squares.1 + other.squares.1),
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    fn cosine(&self) -> f64 {
        let norms = (self.squares.0 * self.squares.1).sqrt();
        if norms == 0.0 { f64::from(self.squares.0 == self.squares.1) } else { self.dot / norms }
    }
}

/// A float graph and its integer form, run side by side: of neither are more values kept than the other's, and the rest of
/// the run, need.
pub struct Comparison<'a> {
    float: &'a FloatGraph,
    graph: &'a Graph,
    weights: &'a BTreeMap<TensorId, Ints>,
    quantised: &'a [Option<Quantised>],
}

/// Errors of every value, and of every output.
pub struct Tally {
    layers: Vec<Errors>,
    outputs: Vec<Errors>,
}

impl<'a> Comparison<'a> {
    /// Of two forms of one model; `quantised` says which tensor a value is.
    pub fn new(
        float: &'a FloatGraph,
        graph: &'a Graph,
        weights: &'a BTreeMap<TensorId, Ints>,
        quantised: &'a [Option<Quantised>],
    ) -> Self {
        Self { float, graph, weights, quantised }
    }

    /// No errors yet.
    pub fn tally(&self) -> Tally {
        Tally {
            layers: vec![Errors::default(); self.float.nodes.len()],
            outputs: vec![Errors::default(); self.float.outputs.len()],
        }
    }

    /// Runs both on a sample and adds their differences up; `output` sees every output, by its position, in floating point
    /// and in integers.
    ///
    /// # Errors
    /// An input that the integer model does not take, or a value that it forbids.
    pub fn run<E: From<InputError> + From<ExecuteError>>(
        &self,
        sample: &[Vec<f64>],
        tally: &mut Tally,
        output: &mut dyn FnMut(usize, &[f64], &Ints),
    ) -> Result<(), E> {
        let inputs = sample.iter().enumerate().map(|(index, input)| {
            let input: Vec<f32> = input.iter().map(|&x| x as f32).collect();
            quantise_input(self.graph, index, &input)
        });
        let mut inputs = inputs.collect::<Result<Vec<_>, InputError>>()?;
        // Noise is an input that samples lack: the model in floating point has none.
        let noise = self.graph.inputs.iter().skip(inputs.len());
        inputs.extend(noise.map(|port| Ints::from(vec![0; self.graph.tensor(port.tensor).len()])));
        let compared = |value: usize| self.quantised[value].filter(|_| self.float.as_constant(Value(value)).is_none());
        let taken = (0..self.float.nodes.len()).filter_map(compared).map(|q| q.tensor);
        let taken = taken.chain(self.graph.outputs.iter().map(|port| port.tensor));
        let mut integers = Lazy::new(self.graph, self.weights, inputs, taken)?;
        let mut compare = |value: Value, expected: &[f64]| -> Result<(), ExecuteError> {
            if let Some(q) = compared(value.0) {
                let errors = integers.take(q.tensor, |found| Errors::of(expected, found, q.exponent))?;
                let sum = &mut tally.layers[value.0];
                *sum = std::mem::take(sum).and(errors);
            }
            for (place, port) in self.graph.outputs.iter().enumerate() {
                if self.float.outputs[place].1 == value {
                    let errors = integers.take(port.tensor, |found| {
                        output(place, expected, found);
                        Errors::of(expected, found, port.exponent)
                    })?;
                    let sum = &mut tally.outputs[place];
                    *sum = std::mem::take(sum).and(errors);
                }
            }
            Ok(())
        };
        let mut result = Ok(());
        execute::run(self.float, sample, &mut |value, expected| {
            if result.is_ok() {
                result = compare(value, expected);
            }
        });
        result?;
        Ok(integers.finish()?)
    }

    /// What the errors come to.
    pub fn report(&self, tally: &Tally, warnings: Vec<String>) -> AccuracyReport {
        let nodes = self.float.nodes.iter().zip(self.quantised).zip(&tally.layers);
        let layers = nodes.filter(|((node, _), _)| !matches!(node.op, Op::Constant(_)));
        let layers = layers.filter_map(|((node, quantised), errors)| {
            Some(LayerAccuracy {
                layer: node.layer.clone(),
                shape: node.shape.clone(),
                exponent: (*quantised)?.exponent,
                cosine: errors.cosine(),
                max_error: errors.max,
                mean_error: errors.mean(),
            })
        });
        let outputs = self.float.outputs.iter().zip(&tally.outputs).map(|((name, _), errors)| OutputAccuracy {
            name: name.clone(),
            max_error: errors.max,
            mean_error: errors.mean(),
        });
        AccuracyReport { warnings, layers: layers.collect(), outputs: outputs.collect() }
    }
}

/// Runs both models on the samples.
pub fn measure(
    float: &FloatGraph,
    graph: &Graph,
    weights: &BTreeMap<TensorId, Ints>,
    quantised: &[Option<Quantised>],
    samples: &[Vec<Vec<f64>>],
    warnings: Vec<String>,
) -> Result<AccuracyReport, ImportError> {
    let comparison = Comparison::new(float, graph, weights, quantised);
    let mut tally = comparison.tally();
    for sample in samples {
        comparison.run::<ImportError>(sample, &mut tally, &mut |_, _, _| {})?;
    }
    Ok(comparison.report(&tally, warnings))
}
