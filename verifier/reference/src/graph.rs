//! The relation as a key encodes it: a DAG of einsums, lookups, views and advice over integer tensors.
//!
//! The order of fields and variants is the encoding. The meaning of each node in integers: `docs/semantics.md`.

use crate::error::Error;
use crate::transcript::Digest;
use serde::{Deserialize, Serialize};

/// Index of a tensor.
pub type TensorId = u32;

/// Where a tensor's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Public input.
    Input,
    /// Constant of the model.
    Weight,
    /// Computed by this node.
    Node(u32),
}

/// A tensor: name, row-major shape, interval of its values, source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tensor {
    /// Unique.
    pub name: String,
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Lowest value.
    pub lo: i64,
    /// Highest value.
    pub hi: i64,
    /// Where the values come from.
    pub source: Source,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    /// For reports.
    pub name: String,
    /// What it computes.
    pub op: Op,
}

/// What a node computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Section 7.
    Einsum(Einsum),
    /// Section 6.
    Lookup(Lookup),
    /// Section 8.
    View(View),
    /// A committed tensor that other nodes pin down.
    Advice(Advice),
}

/// `output = sum_t coefficient_t * sum over labels that the output lacks of prod_k operand_k`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Einsum {
    /// Length of every label.
    pub dims: Vec<usize>,
    /// Labels of the output's axes.
    pub out_labels: Vec<u8>,
    /// The summands.
    pub terms: Vec<Term>,
    /// The tensor computed.
    pub output: TensorId,
}

/// A summand; without operands, a constant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Term {
    /// The factor.
    pub coefficient: i64,
    /// The tensors multiplied.
    pub operands: Vec<Operand>,
}

/// A tensor with a label for each of its axes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operand {
    /// The tensor.
    pub tensor: TensorId,
    /// Labels.
    pub labels: Vec<u8>,
}

/// `c = clamp(floor((x * multiplier + add) / 2^shift), lo, lo + 2^bits - 1)`; the output is `table[c - lo]` or `c`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lookup {
    /// `x`.
    pub input: TensorId,
    /// Positive.
    pub multiplier: i64,
    /// Added before the shift.
    pub add: i64,
    /// Bits dropped.
    pub shift: u32,
    /// Lowest value of the domain.
    pub lo: i64,
    /// Logarithm of the domain's size.
    pub bits: u32,
    /// What happens below the domain.
    pub below: Bound,
    /// What happens above it.
    pub above: Bound,
    /// Outputs of a function of one variable.
    pub table: Option<TensorId>,
    /// The tensor computed.
    pub output: Option<TensorId>,
}

/// What happens beyond an end of a lookup's domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// The value is clamped.
    Saturate,
    /// There is no proof.
    Forbid,
}

/// `output[o] = input[map(o)]`, 0 where the map leads nowhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct View {
    /// The tensor read.
    pub input: TensorId,
    /// The tensor computed.
    pub output: TensorId,
    /// Independent maps, which split the axes of both.
    pub groups: Vec<AxisGroup>,
}

/// A map from the indices of some output axes to the flat index of some input axes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AxisGroup {
    /// Axes of the input.
    pub input_axes: Vec<usize>,
    /// Axes of the output.
    pub output_axes: Vec<usize>,
    /// The map.
    pub map: IndexMap,
}

/// A group's map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IndexMap {
    /// `offset + sum_j strides_j o_j`.
    Affine {
        /// Index of the first element.
        offset: i64,
        /// One for each output axis.
        strides: Vec<i64>,
    },
    /// The input index of every flat output index.
    Table(Vec<i64>),
}

/// A tensor that only the prover computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Advice {
    /// How.
    pub rule: AdviceRule,
    /// The tensor.
    pub output: TensorId,
}

/// How advice is computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdviceRule {
    /// Maximum over the last axis.
    Max {
        /// Of this tensor.
        input: TensorId,
    },
    /// `floor(numerator / denominator)`.
    FloorDiv {
        /// Of the output's shape, or of its last axes, or a scalar.
        numerator: TensorId,
        /// Positive.
        denominator: TensorId,
    },
    /// The largest `r` with `r^2 * input <= 2^exponent`.
    Rsqrt {
        /// Positive.
        input: TensorId,
        /// At most 62.
        exponent: u32,
    },
}

/// A model in integers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// In an order in which a node's inputs precede it.
    pub nodes: Vec<Node>,
    /// Public inputs.
    pub inputs: Vec<Port>,
    /// Public outputs.
    pub outputs: Vec<Port>,
    /// How the public tensors are to be read.
    pub interface: Interface,
}

/// How the public tensors are to be read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Interface {
    /// As they are.
    Tensors,
    /// As a prompt and its answer: section 10.
    Generation(Generation),
}

/// A model that goes on with a prompt.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Generation {
    /// BLAKE3 of the tokenizer's file.
    pub tokenizer: Option<Digest>,
    /// Whether the last input is noise.
    pub samples: bool,
}

/// A public tensor; its integers stand for `integer * 2^-exponent`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Port {
    /// The tensor.
    pub tensor: TensorId,
    /// Binary digits after the point.
    pub exponent: i32,
}

impl Graph {
    /// The input that holds noise, and those before it.
    pub fn noise_and_given(&self) -> (Option<&Port>, &[Port]) {
        match (self.interface, self.inputs.split_last()) {
            (Interface::Generation(Generation { samples: true, .. }), Some((noise, given))) => (Some(noise), given),
            _ => (None, &self.inputs),
        }
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> Result<&Tensor, Error> {
        self.tensors.get(id as usize).ok_or(Error::Internal("a tensor does not exist"))
    }

    /// A node.
    pub fn node(&self, index: u32) -> Result<&Node, Error> {
        self.nodes.get(index as usize).ok_or(Error::Internal("a node does not exist"))
    }
}

impl Op {
    /// Tensors read.
    pub fn inputs(&self) -> Vec<TensorId> {
        match self {
            Self::Einsum(e) => e.terms.iter().flat_map(|t| &t.operands).map(|o| o.tensor).collect(),
            Self::Lookup(l) => [l.input].into_iter().chain(l.table).collect(),
            Self::View(v) => vec![v.input],
            Self::Advice(Advice { rule: AdviceRule::Max { input } | AdviceRule::Rsqrt { input, .. }, .. }) => {
                vec![*input]
            }
            Self::Advice(Advice { rule: AdviceRule::FloorDiv { numerator, denominator }, .. }) => {
                vec![*numerator, *denominator]
            }
        }
    }

    /// The tensor computed; an assertion computes none.
    pub fn output(&self) -> Option<TensorId> {
        match self {
            Self::Einsum(e) => Some(e.output),
            Self::Lookup(l) => l.output,
            Self::View(v) => Some(v.output),
            Self::Advice(a) => Some(a.output),
        }
    }
}
