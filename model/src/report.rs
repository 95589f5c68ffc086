//! The accuracy report: the integer model beside the float model, on the calibration samples.

use crate::float::{ABSENT, Graph as FloatGraph, Op, execute};
use crate::lower::Quantised;
use crate::{ImportError, Values, dequantise, executor, quantise_input};
use kernels::Ints;
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

#[derive(Clone, Default)]
struct Errors {
    count: usize,
    max: f64,
    sum: f64,
    dot: f64,
    squares: (f64, f64),
}

impl Errors {
    fn add(&mut self, expected: &[f64], found: &[f64]) {
        for (&a, &b) in expected.iter().zip(found).filter(|(a, _)| **a > ABSENT / 2.0) {
            let error = (a - b).abs();
            self.count += 1;
            self.max = self.max.max(error);
            self.sum += error;
            self.dot += a * b;
            self.squares = (self.squares.0 + a * a, self.squares.1 + b * b);
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

/// Runs both models on the samples.
pub fn measure(
    float: &FloatGraph,
    graph: &Graph,
    weights: &BTreeMap<TensorId, Ints>,
    quantised: &[Option<Quantised>],
    samples: &[Vec<Vec<f64>>],
    warnings: Vec<String>,
) -> Result<AccuracyReport, ImportError> {
    let mut layers = vec![Errors::default(); float.nodes.len()];
    let mut outputs = vec![Errors::default(); float.outputs.len()];
    for sample in samples {
        let mut values: Values = vec![None; graph.tensors.len()];
        for (&id, weight) in weights {
            values[id.index()] = Some(weight.clone());
        }
        for (index, input) in sample.iter().enumerate() {
            let input: Vec<f32> = input.iter().map(|&x| x as f32).collect();
            values[graph.inputs[index].tensor.index()] = Some(quantise_input(graph, index, &input)?);
        }
        executor::execute(graph, 0..graph.nodes.len() as u32, &mut values)?;
        let found = |tensor: TensorId, exponent| values[tensor.index()].as_ref().map(|v| dequantise(exponent, v));
        execute::run(float, sample, &mut |value, expected| {
            if let (Some(q), None) = (quantised[value.0], float.as_constant(value))
                && let Some(found) = found(q.tensor, q.exponent)
            {
                layers[value.0].add(expected, &found);
            }
            for ((errors, port), (_, output)) in outputs.iter_mut().zip(&graph.outputs).zip(&float.outputs) {
                if *output == value
                    && let Some(found) = found(port.tensor, port.exponent)
                {
                    errors.add(expected, &found);
                }
            }
        });
    }
    let computed =
        float.nodes.iter().zip(quantised).zip(&layers).filter(|((n, _), _)| !matches!(n.op, Op::Constant(_)));
    let layers = computed.filter_map(|((node, quantised), errors)| {
        Some(LayerAccuracy {
            layer: node.layer.clone(),
            shape: node.shape.clone(),
            exponent: (*quantised)?.exponent,
            cosine: errors.cosine(),
            max_error: errors.max,
            mean_error: errors.mean(),
        })
    });
    let layers = layers.collect();
    let outputs = float.outputs.iter().zip(&outputs).map(|((name, _), errors)| OutputAccuracy {
        name: name.clone(),
        max_error: errors.max,
        mean_error: errors.mean(),
    });
    Ok(AccuracyReport { warnings, layers, outputs: outputs.collect() })
}
