//! The model in real numbers: a DAG of the few operations that have an integer counterpart.
//!
//! Importers build it through the methods of [`Graph`] (the general ones here, everyday tensor algebra in [`algebra`]);
//! a node whose operands are all constant is computed on the spot, so dead shapes and folded weights never become nodes.

pub mod algebra;
pub mod blocks;
pub mod execute;
pub mod fuse;
pub mod moves;

use crate::scalar::Expr;
use std::collections::BTreeMap;
use verifier::graph::AxisGroup;

/// Stands for minus infinity in attention masks: softmax gives an entry with it the weight 0. Calibration ignores
/// values at or below half of it.
pub const ABSENT: f64 = -1e6;

/// Most elements of a tensor. An importer refuses a layer that computes more.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// Elements of a tensor of this shape; `usize::MAX` if they are more.
pub fn elements(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

/// Index of a node, which is also the value that it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub usize);

/// What a value's elements are: integers and booleans stay exact, reals are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A real number.
    Real,
    /// An integer.
    Int,
    /// 0 or 1.
    Bool,
}

/// A node of the graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Layer of the source model.
    pub layer: String,
    /// Shape of the value.
    pub shape: Vec<usize>,
    /// What the elements are.
    pub kind: Kind,
    /// What it computes.
    pub op: Op,
}

/// A summand of [`Op::Einsum`].
#[derive(Clone, Debug)]
pub struct Term {
    /// Factor.
    pub coefficient: f64,
    /// Values, with a label for each axis.
    pub operands: Vec<(Value, Vec<u8>)>,
}

/// What a node computes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Input of the model, by position.
    Input(usize),
    /// Constant, row-major.
    Constant(Vec<f64>),
    /// See [`verifier::graph::Einsum`].
    Einsum {
        /// Length of every label's axis.
        dims: Vec<usize>,
        /// Labels of the value's axes.
        out: Vec<u8>,
        /// The summands.
        terms: Vec<Term>,
    },
    /// See [`verifier::graph::View`].
    View {
        /// Value read.
        input: Value,
        /// Independent maps.
        groups: Vec<AxisGroup>,
    },
    /// A function of each element.
    Map {
        /// Value read.
        input: Value,
        /// The function.
        function: Expr,
    },
    /// 1 where the element is positive, else 0.
    Positive(Value),
    /// The largest integer that is not above the element.
    Floor(Value),
    /// Maximum over the last axis.
    Max {
        /// Value read.
        input: Value,
        /// A constant whose axes are the input's last: 0 for elements that do not count. Each row has one that does,
        /// and the others are 0.
        present: Option<Value>,
    },
    /// The element where another value is 1, and not 0, else a floor.
    Mask {
        /// Value read.
        input: Value,
        /// Its axes are the input's last.
        seen: Value,
        /// [`ABSENT`]; finite, and far enough below for a softmax, once the range is known.
        floor: f64,
    },
    /// Index of the maximum over the last axis.
    ArgMax {
        /// Value read.
        input: Value,
        /// Of equal maxima, the last instead of the first.
        last: bool,
    },
    /// The element, with noise that no sample has: in integers it is an input of its own, after those of the samples.
    Noisy(Value),
    /// `1 / x`, computed by exact division rather than a table.
    Reciprocal(Value),
    /// `1 / sqrt(x)`, likewise.
    Rsqrt(Value),
    /// `floor(a / b)` of integers, `a >= 0`, `b > 0`, of one shape.
    Quotient(Value, Value),
}

impl Op {
    /// Values read.
    pub fn inputs(&self) -> Vec<Value> {
        match self {
            Self::Input(_) | Self::Constant(_) => Vec::new(),
            Self::Einsum { terms, .. } => terms.iter().flat_map(|t| t.operands.iter().map(|o| o.0)).collect(),
            Self::View { input, .. } | Self::Map { input, .. } | Self::ArgMax { input, .. } => vec![*input],
            Self::Positive(x) | Self::Floor(x) | Self::Noisy(x) | Self::Reciprocal(x) | Self::Rsqrt(x) => vec![*x],
            Self::Max { input, present } => std::iter::once(*input).chain(*present).collect(),
            Self::Mask { input: a, seen: b, .. } | Self::Quotient(a, b) => vec![*a, *b],
        }
    }
}

/// The model in real numbers. Nodes are in topological order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// Values that the model returns, with their names.
    pub outputs: Vec<(String, Value)>,
    /// Layer that new nodes belong to.
    pub layer: String,
    /// Inputs, by position, that index an axis: its length.
    pub classes: BTreeMap<usize, usize>,
    /// Whether the model can also be run position by position, so that no axis of positions is to be cut.
    pub by_position: bool,
}

impl Graph {
    /// The node that computes a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.0]
    }

    /// Shape of a value.
    pub fn shape(&self, value: Value) -> &[usize] {
        &self.nodes[value.0].shape
    }

    /// Kind of a value.
    pub fn kind(&self, value: Value) -> Kind {
        self.nodes[value.0].kind
    }

    /// The elements, if the value is constant.
    pub fn as_constant(&self, value: Value) -> Option<&[f64]> {
        match &self.nodes[value.0].op {
            Op::Constant(data) => Some(data),
            _ => None,
        }
    }

    /// A constant.
    pub fn constant(&mut self, shape: &[usize], kind: Kind, data: Vec<f64>) -> Value {
        self.push(shape.to_vec(), kind, Op::Constant(data))
    }

    /// A scalar constant.
    pub fn scalar(&mut self, kind: Kind, x: f64) -> Value {
        self.constant(&[], kind, vec![x])
    }

    /// Input number `position`.
    pub fn input(&mut self, position: usize, shape: &[usize], kind: Kind) -> Value {
        self.push(shape.to_vec(), kind, Op::Input(position))
    }

    /// A contraction; the output's shape is `dims[out]`.
    pub fn einsum(&mut self, kind: Kind, dims: Vec<usize>, out: Vec<u8>, terms: Vec<Term>) -> Value {
        let shape = out.iter().map(|&l| dims[l as usize]).collect();
        self.push(shape, kind, Op::Einsum { dims, out, terms })
    }

    /// A view of the given shape.
    pub fn view(&mut self, input: Value, shape: Vec<usize>, groups: Vec<AxisGroup>) -> Value {
        self.push(shape, self.kind(input), Op::View { input, groups })
    }

    /// A function of each element.
    pub fn map(&mut self, input: Value, function: Expr) -> Value {
        let kind = if function.needs_table() { Kind::Real } else { self.kind(input) };
        self.push(self.shape(input).to_vec(), kind, Op::Map { input, function })
    }

    /// 1 where the element is positive.
    pub fn positive(&mut self, x: Value) -> Value {
        self.push(self.shape(x).to_vec(), Kind::Bool, Op::Positive(x))
    }

    /// The floor, as a value of the given kind.
    pub fn floor(&mut self, x: Value, kind: Kind) -> Value {
        self.push(self.shape(x).to_vec(), kind, Op::Floor(x))
    }

    /// Maximum over the last axis, which disappears. The value must have an axis.
    pub fn max(&mut self, input: Value, present: Option<Value>) -> Value {
        let shape = self.shape(input);
        self.push(shape[..shape.len() - 1].to_vec(), self.kind(input), Op::Max { input, present })
    }

    /// Index of the maximum over the last axis, which disappears.
    pub fn arg_max(&mut self, input: Value, last: bool) -> Value {
        let shape = self.shape(input);
        self.push(shape[..shape.len() - 1].to_vec(), Kind::Int, Op::ArgMax { input, last })
    }

    /// The value with noise; see [`Op::Noisy`].
    pub fn noisy(&mut self, x: Value) -> Value {
        self.push(self.shape(x).to_vec(), Kind::Real, Op::Noisy(x))
    }

    /// `1 / x`.
    pub fn reciprocal(&mut self, x: Value) -> Value {
        self.push(self.shape(x).to_vec(), Kind::Real, Op::Reciprocal(x))
    }

    /// `1 / sqrt(x)`.
    pub fn rsqrt(&mut self, x: Value) -> Value {
        self.push(self.shape(x).to_vec(), Kind::Real, Op::Rsqrt(x))
    }

    /// `floor(a / b)`.
    pub fn quotient(&mut self, a: Value, b: Value) -> Value {
        self.push(self.shape(a).to_vec(), Kind::Int, Op::Quotient(a, b))
    }

    fn push(&mut self, shape: Vec<usize>, kind: Kind, op: Op) -> Value {
        let inputs = op.inputs();
        let node = Node { layer: self.layer.clone(), shape, kind, op };
        let foldable = !matches!(node.op, Op::Input(_) | Op::Constant(_)) && elements(&node.shape) <= MAX_ELEMENTS;
        let constants: Option<Vec<&[f64]>> = inputs.iter().map(|&v| self.as_constant(v)).collect();
        let node = match constants {
            Some(operands) if foldable => {
                let data = execute::compute(self, &node, &operands);
                Node { op: Op::Constant(data), ..node }
            }
            _ => node,
        };
        self.nodes.push(node);
        Value(self.nodes.len() - 1)
    }
}
