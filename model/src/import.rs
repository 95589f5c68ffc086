//! A model file in, an integer model and its accuracy report out.

use crate::float::{Graph as FloatGraph, Kind, Op, fuse};
use crate::lower::builder::Overflow;
use crate::lower::{Lowered, Quantised, resolution};
use crate::report::AccuracyReport;
use crate::{ExecuteError, InputError, onnx, quantise};
use kernels::Ints;
use std::collections::BTreeMap;
use thiserror::Error;
use verifier::graph::{Graph, GraphError, TensorId};

/// A quantised model, ready to be set up.
#[derive(Clone, Debug)]
pub struct Model {
    /// The relation.
    pub graph: Graph,
    /// Values of its constants.
    pub weights: BTreeMap<TensorId, Ints>,
    /// How close it is to the model in floating point, and warnings for the user.
    pub report: AccuracyReport,
}

/// How a model is quantised.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Inputs to calibrate on: for each sample, the row-major elements of every input in order. Empty: generated ones,
    /// with a warning in the report.
    pub samples: Vec<Vec<Vec<f32>>>,
    /// Lengths of symbolic axes, such as `batch_size`; 1 for those that are not named.
    pub axes: BTreeMap<String, usize>,
    /// Bits of an activation, 8 to 16.
    pub activation_bits: u32,
    /// Bits of a weight, 4 to 16.
    pub weight_bits: u32,
    /// Bits of the domain of a function's table, 8 to 16.
    pub table_bits: u32,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { samples: Vec::new(), axes: BTreeMap::new(), activation_bits: 16, weight_bits: 16, table_bits: 14 }
    }
}

/// A model that cannot be imported.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ImportError {
    /// The bytes are not an ONNX model.
    #[error("not an ONNX model: {0}")]
    NotOnnx(String),
    /// Something breaks the rules of ONNX.
    #[error("{place}: {reason}")]
    Invalid {
        /// Node, constant, input or output.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// Valid ONNX that has no exact integer form here.
    #[error("node '{node}' ({operator}) is not supported: {reason}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// Its operator.
        operator: String,
        /// Why.
        reason: String,
    },
    /// An option out of range.
    #[error("option '{option}' is {value}; it must be from {lo} to {hi}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// Its value.
        value: u32,
        /// Least value.
        lo: u32,
        /// Greatest value.
        hi: u32,
    },
    /// A calibration sample that does not fit.
    #[error("calibration sample {sample}: {reason}")]
    Sample {
        /// Position of the sample.
        sample: usize,
        /// What is wrong.
        reason: String,
    },
    /// Integers beyond 62 bits.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// The graph breaks a structural rule.
    #[error("the integer graph is not well formed: {0}")]
    Graph(#[from] GraphError),
    /// A calibration sample does not run on the integer graph.
    #[error("the integer graph rejects a calibration sample: {0}")]
    Execute(#[from] ExecuteError),
    /// A calibration sample does not quantise.
    #[error("a calibration sample does not quantise: {0}")]
    Input(#[from] InputError),
}

impl ImportError {
    /// [`ImportError::Unsupported`].
    pub(crate) fn unsupported(node: &str, operator: &str, reason: String) -> Self {
        Self::Unsupported { node: node.into(), operator: operator.into(), reason }
    }
}

/// Headroom above calibrated ranges: samples that the user gave, and generated ones.
const HEADROOM: (f64, f64) = (1.125, 2.0);
/// A model of more weights is compared with its float form on one sample only.
const LARGE: usize = 1 << 24;
/// Number of samples that are generated when none are given.
const GENERATED: usize = 4;

/// Imports an ONNX model: parses, simplifies, calibrates, quantises, checks, and measures the accuracy.
///
/// # Errors
/// What is wrong with the file, or what in it is not supported, by node and operator; see [`ImportError`].
pub fn import_onnx(bytes: &[u8], options: &ImportOptions) -> Result<Model, ImportError> {
    check_options(options)?;
    Ok(quantised(onnx::read(bytes, options)?, options)?.model)
}

/// An integer model beside what it was made of.
pub(crate) struct Imported {
    pub model: Model,
    /// The model in floating point, simplified.
    pub float: FloatGraph,
    /// The tensor of every value of it that has one.
    pub values: Vec<Option<Quantised>>,
}

/// The integer model of a float graph: simplifies, calibrates, quantises, checks, and measures the accuracy.
pub(crate) fn quantised(float: FloatGraph, options: &ImportOptions) -> Result<Imported, ImportError> {
    check_options(options)?;
    let mut float = fuse::fuse(float);
    let mut warnings = Vec::new();
    let (samples, headroom) = if options.samples.is_empty() {
        warnings.push(
            "no calibration samples were given: scales come from generated inputs; give real ones for accuracy".into(),
        );
        (generate(&float), HEADROOM.1)
    } else {
        (check_samples(&float, &options.samples)?, HEADROOM.0)
    };
    let ranges = quantise::calibrate_masked(&mut float, &samples, headroom);
    let compared = if constants(&float) > LARGE { &samples[..1] } else { &samples[..] };
    let (Lowered { builder, values, .. }, report) = resolution::choose(&float, &ranges, options, compared, warnings)?;
    Ok(Imported { model: Model { graph: builder.graph, weights: builder.weights, report }, float, values })
}

/// Elements of all constants.
fn constants(float: &FloatGraph) -> usize {
    float.nodes.iter().map(|node| if let Op::Constant(data) = &node.op { data.len() } else { 0 }).sum()
}

fn check_options(options: &ImportOptions) -> Result<(), ImportError> {
    let bounds = [
        ("activation_bits", options.activation_bits, 8, 16),
        ("weight_bits", options.weight_bits, 4, 16),
        ("table_bits", options.table_bits, 8, 16),
    ];
    match bounds.into_iter().find(|(_, value, lo, hi)| !(lo..=hi).contains(&value)) {
        Some((option, value, lo, hi)) => Err(ImportError::Option { option, value, lo, hi }),
        None => Ok(()),
    }
}

/// Shapes and kinds of the inputs, in order.
fn inputs(float: &FloatGraph) -> Vec<(usize, Kind, Option<usize>)> {
    let nodes = float.nodes.iter();
    let input = |node: &crate::float::Node| match node.op {
        Op::Input(position) => Some((node.shape.iter().product(), node.kind, float.classes.get(&position).copied())),
        _ => None,
    };
    nodes.filter_map(input).collect()
}

fn check_samples(float: &FloatGraph, samples: &[Vec<Vec<f32>>]) -> Result<Vec<Vec<Vec<f64>>>, ImportError> {
    let inputs = inputs(float);
    let mut checked = Vec::with_capacity(samples.len());
    for (index, sample) in samples.iter().enumerate() {
        let fail = |reason: String| ImportError::Sample { sample: index, reason };
        if sample.len() != inputs.len() {
            return Err(fail(format!("it has {} inputs; the model takes {}", sample.len(), inputs.len())));
        }
        for (position, (values, &(length, kind, _))) in sample.iter().zip(&inputs).enumerate() {
            if values.len() != length {
                return Err(fail(format!("input {position} has {} elements instead of {length}", values.len())));
            }
            let whole =
                |x: f32| kind == Kind::Real || (x.fract() == 0.0 && (kind == Kind::Int || x == 0.0 || x == 1.0));
            if let Some(x) = values.iter().find(|x| !x.is_finite() || !whole(**x)) {
                return Err(fail(format!("input {position} holds {x}, which is not a value of its type")));
            }
        }
        checked.push(sample.iter().map(|v| v.iter().map(|&x| x.into()).collect()).collect());
    }
    Ok(checked)
}

/// Samples from a fixed pseudo-random sequence: reals in -1..1, integers in range, booleans.
fn generate(float: &FloatGraph) -> Vec<Vec<Vec<f64>>> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut value = move |kind: Kind, classes: Option<usize>| match kind {
        Kind::Real => 2.0 * next() - 1.0,
        Kind::Int => (next() * classes.unwrap_or(16) as f64).floor(),
        Kind::Bool => (next() * 2.0).floor(),
    };
    let inputs = inputs(float);
    let mut sample = || inputs.iter().map(|&(n, kind, c)| (0..n).map(|_| value(kind, c)).collect()).collect();
    (0..GENERATED).map(|_| sample()).collect()
}
