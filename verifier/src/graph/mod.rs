//! The quantised model: a DAG of `Einsum`, `Lookup` and `View` nodes over integer tensors.
//!
//! This is the relation that a proof is about, so it lives with the verifier. `docs/semantics.md` gives the meaning of
//! every node in integers; the executor in `model` computes it, the protocol in this crate proves it.

mod batch;
mod check;
mod view;

use crate::generation::Generation;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

pub use batch::MAX_BATCH;
pub use check::GraphError;
pub use view::{AxisGroup, IndexMap, View};

/// Index of a tensor in [`Graph::tensors`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// The position in [`Graph::tensors`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a tensor's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Public input of the model.
    Input,
    /// Constant of the model: a weight or a lookup table. Committed at setup.
    Weight,
    /// Computed by the node with this index in [`Graph::nodes`].
    Node(u32),
}

/// An integer tensor with a static shape and a static interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Unique, for people: derived from the name in the source model.
    pub name: String,
    /// Row-major; a scalar has no axes. Every axis is at least 1.
    pub shape: Vec<usize>,
    /// Every value that the relation allows lies in `lo..=hi` (proved by the interval analysis at setup).
    pub lo: i64,
    /// See `lo`.
    pub hi: i64,
    /// Where the values come from.
    pub source: Source,
}

/// A node: a name from the source model, for reports, and what it computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Layer that the node came from, for error messages and reports.
    pub name: String,
    /// What it computes.
    pub op: Op,
}

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// Linear algebra of any rank.
    Einsum(Einsum),
    /// Requantisation, saturation and a function of one variable; or, without an output, a range assertion.
    Lookup(Lookup),
    /// Moves indices.
    View(View),
    /// A value that later assertions pin down uniquely; it costs a commitment and proves nothing by itself.
    Advice(Advice),
}

/// `output[out] = sum_t coefficient_t * sum_{labels not in out} prod_k operand_{t,k}[its labels]`.
///
/// A label stands for an axis; `dims[label]` is its length. An operand that lacks an output label is broadcast along
/// it, and a term without operands is the constant 1. No operand names a label twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Einsum {
    /// Length of every label's axis.
    pub dims: Vec<usize>,
    /// Labels of the output's axes, in order, distinct.
    pub out_labels: Vec<u8>,
    /// The summands.
    pub terms: Vec<Term>,
    /// The tensor computed, of shape `dims[out_labels]`.
    pub output: TensorId,
}

/// One summand of an [`Einsum`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// Non-zero factor.
    pub coefficient: i64,
    /// Factors; empty for a constant.
    pub operands: Vec<Operand>,
}

/// A factor of a [`Term`]: a tensor with a label for each of its axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operand {
    /// The tensor.
    pub tensor: TensorId,
    /// A label for each axis, distinct.
    pub labels: Vec<u8>,
}

/// `h = floor((x * multiplier + add) / 2^shift)`; `c = clamp(h, lo, lo + 2^bits - 1)`; `y = table[c - lo]`, or `c`.
///
/// Elementwise: input and output have one shape. Where a side is [`Bound::Forbid`], an input that would be clamped on
/// that side has no proof; a lookup without an output is only that assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// The tensor that is looked up.
    pub input: TensorId,
    /// Positive.
    pub multiplier: i64,
    /// Added before the shift; `2^(shift-1)` rounds to nearest, halves up.
    pub add: i64,
    /// At most 62.
    pub shift: u32,
    /// Lowest value of the domain.
    pub lo: i64,
    /// The domain has `2^bits` values; at most 62, and at most 20 with a table.
    pub bits: u32,
    /// What happens below `lo`.
    pub below: Bound,
    /// What happens above `lo + 2^bits - 1`.
    pub above: Bound,
    /// A weight of shape `[2^bits]`; `None` is the identity.
    pub table: Option<TensorId>,
    /// The tensor computed; `None` for an assertion (then `table` is `None`, and both sides are `Forbid`).
    pub output: Option<TensorId>,
}

/// What a [`Lookup`] does at one end of its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bound {
    /// Clamp.
    Saturate,
    /// No proof exists for a value beyond the end.
    Forbid,
}

/// How the executor finds a value that the graph's assertions pin down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The rule.
    pub rule: AdviceRule,
    /// The tensor computed.
    pub output: TensorId,
}

/// See [`Advice`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AdviceRule {
    /// Maximum of `input` over its last axis; the output lacks that axis.
    Max {
        /// At least one axis.
        input: TensorId,
    },
    /// `floor(numerator / denominator)`, elementwise; shapes equal, or `numerator` has the last axes alone, or none.
    FloorDiv {
        /// Any integer.
        numerator: TensorId,
        /// Positive.
        denominator: TensorId,
    },
    /// The largest `r` with `r * r * input <= 2^exponent`, elementwise.
    Rsqrt {
        /// Positive.
        input: TensorId,
        /// At most 62.
        exponent: u32,
    },
}

/// A model in integers: tensors, and nodes in an order in which each node's inputs precede it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// In topological order.
    pub nodes: Vec<Node>,
    /// Public inputs, in the order of the source model.
    pub inputs: Vec<Port>,
    /// Public outputs, in the order of the source model.
    pub outputs: Vec<Port>,
    /// What inputs and outputs stand for.
    pub interface: Interface,
}

/// What the public tensors of a graph stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// For themselves.
    #[default]
    Tensors,
    /// For a prompt and the model's answer.
    Generation(Generation),
}

/// A public tensor and how its integers stand for real numbers: `real = integer * 2^(-exponent)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The tensor.
    pub tensor: TensorId,
    /// Binary digits after the point.
    pub exponent: i32,
}

impl Graph {
    /// The tensor with this id. The id must come from this graph.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// The input that holds the noise of a model that samples, by the rules of [`Graph::check`]. A statement names what it follows from
    /// instead of its values.
    pub fn noise(&self) -> Option<Port> {
        match self.interface {
            Interface::Generation(Generation { samples: true, .. }) => self.inputs.last().copied(),
            _ => None,
        }
    }

    /// The inputs whose values a statement lists: all but the noise.
    pub fn given(&self) -> &[Port] {
        let count = self.inputs.len() - usize::from(self.noise().is_some());
        &self.inputs[..count]
    }
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements; a checked graph has no such tensor.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Op {
    /// Tensors read, in a fixed order; a tensor read twice is listed twice.
    pub fn inputs(&self) -> Vec<TensorId> {
        match self {
            Self::Einsum(e) => e.terms.iter().flat_map(|t| t.operands.iter().map(|o| o.tensor)).collect(),
            Self::Lookup(l) => core::iter::once(l.input).chain(l.table).collect(),
            Self::View(v) => alloc::vec![v.input],
            Self::Advice(a) => match &a.rule {
                AdviceRule::Max { input } | AdviceRule::Rsqrt { input, .. } => alloc::vec![*input],
                AdviceRule::FloorDiv { numerator, denominator } => alloc::vec![*numerator, *denominator],
            },
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
