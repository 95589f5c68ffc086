//! What an operator's importer sees: its operands, its attributes, and the graph to add to.

use super::proto::{AttributeProto, NodeProto};
use super::tensor;
use crate::ImportError;
use crate::float::{Graph, Kind, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Result of an operator's importer.
pub type Imported<T = Vec<Value>> = Result<T, ImportError>;

/// One ONNX node in its surroundings.
pub struct Context<'a> {
    /// The graph under construction.
    pub g: &'a mut Graph,
    /// Version of ONNX's operator set.
    pub opset: i64,
    node: &'a NodeProto,
    inputs: Vec<Option<Value>>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Context<'a> {
    /// `inputs` in the order of the node's, `None` for one that is left out.
    pub fn new(g: &'a mut Graph, opset: i64, node: &'a NodeProto, inputs: Vec<Option<Value>>) -> Self {
        Self { g, opset, node, inputs, read: RefCell::default() }
    }

    /// The operator.
    pub fn operator(&self) -> &str {
        self.node.op_type.as_deref().unwrap_or("")
    }

    /// Number of outputs that the node names.
    pub fn output_count(&self) -> usize {
        self.node.output.len()
    }

    /// An error for something that is valid ONNX but has no exact integer form here.
    pub fn unsupported(&self, reason: impl Into<String>) -> ImportError {
        ImportError::unsupported(&self.g.layer, self.operator(), reason.into())
    }

    /// An error for something that is not valid ONNX.
    pub fn invalid(&self, reason: impl Into<String>) -> ImportError {
        ImportError::Invalid { place: format!("node '{}' ({})", self.g.layer, self.operator()), reason: reason.into() }
    }

    /// Fails if the condition does not hold.
    pub fn ensure(&self, condition: bool, reason: &str) -> Imported<()> {
        if condition { Ok(()) } else { Err(self.invalid(reason)) }
    }

    /// All operands, none left out.
    pub fn all(&self) -> Imported<Vec<Value>> {
        (0..self.inputs.len()).map(|i| self.input(i)).collect()
    }

    /// An operand that must be there.
    pub fn input(&self, index: usize) -> Imported<Value> {
        self.optional(index).ok_or_else(|| self.invalid(format!("operand {index} is missing")))
    }

    /// An operand that may be left out.
    pub fn optional(&self, index: usize) -> Option<Value> {
        self.inputs.get(index).copied().flatten()
    }

    /// Shape of an operand.
    pub fn shape(&self, value: Value) -> Vec<usize> {
        self.g.shape(value).to_vec()
    }

    /// The elements of an operand that must be constant.
    pub fn constant(&self, value: Value, what: &str) -> Imported<Vec<f64>> {
        let data = self.g.as_constant(value).map(<[f64]>::to_vec);
        data.ok_or_else(|| self.unsupported(format!("{what} must be constant, but depends on the model's input")))
    }

    /// As [`Context::constant`], for integers.
    pub fn integers(&self, value: Value, what: &str) -> Imported<Vec<i64>> {
        Ok(self.constant(value, what)?.into_iter().map(|x| x as i64).collect())
    }

    /// An axis given as `-rank..rank`.
    pub fn axis(&self, axis: i64, rank: usize) -> Imported<usize> {
        let index = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
        let found = usize::try_from(index).ok().filter(|&a| a < rank);
        found.ok_or_else(|| self.invalid(format!("axis {axis} does not exist in a tensor of {rank} axes")))
    }

    /// Axes in ascending order, distinct.
    pub fn axes(&self, axes: &[i64], rank: usize) -> Imported<Vec<usize>> {
        let mut axes: Vec<usize> = axes.iter().map(|&a| self.axis(a, rank)).collect::<Imported<_>>()?;
        axes.sort_unstable();
        let count = axes.len();
        axes.dedup();
        self.ensure(axes.len() == count, "an axis is named twice")?;
        Ok(axes)
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.read.borrow_mut().insert(name.into());
        self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    /// An integer attribute.
    pub fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    /// A boolean attribute.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.int(name).map_or(default, |i| i != 0)
    }

    /// A float attribute.
    pub fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).and_then(|a| a.f).map_or(default, f64::from)
    }

    /// A list of integers.
    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|a| a.ints.clone())
    }

    /// A list of floats.
    pub fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.attribute(name).map(|a| a.floats.iter().map(|&x| x.into()).collect())
    }

    /// A string; the default if it is absent.
    pub fn string(&self, name: &str, default: &str) -> String {
        let bytes = self.attribute(name).and_then(|a| a.s.as_ref());
        bytes.map_or_else(|| default.into(), |s| String::from_utf8_lossy(s).into_owned())
    }

    /// A list of strings.
    pub fn strings(&self, name: &str) -> Option<Vec<String>> {
        let list = &self.attribute(name)?.strings;
        Some(list.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
    }

    /// A tensor attribute.
    pub fn tensor(&self, name: &str) -> Imported<Option<tensor::Constant>> {
        match self.attribute(name).and_then(|a| a.t.as_ref()) {
            Some(proto) => tensor::read(proto).map(Some).map_err(|e| self.invalid(format!("attribute '{name}': {e}"))),
            None => Ok(None),
        }
    }

    /// Integers from an operand or, in older operator sets, from an attribute.
    pub fn ints_or_input(&self, name: &str, input: usize) -> Imported<Option<Vec<i64>>> {
        match self.optional(input) {
            Some(value) => self.integers(value, name).map(Some),
            None => Ok(self.ints(name)),
        }
    }

    /// Refuses the attribute unless it is absent or has its default value.
    pub fn only(&self, name: &str, default: i64) -> Imported<()> {
        match self.int(name) {
            Some(i) if i != default => Err(self.unsupported(format!("attribute '{name}' = {i}"))),
            _ => Ok(()),
        }
    }

    /// Refuses attributes that the operator's importer did not look at.
    pub fn finish(&self) -> Imported<()> {
        let read = self.read.borrow();
        let names = self.node.attribute.iter().filter_map(|a| a.name.as_ref());
        match names.into_iter().find(|name| !read.contains(*name)) {
            Some(name) => Err(self.unsupported(format!("attribute '{name}' is not known"))),
            None => Ok(()),
        }
    }

    /// A constant of integers.
    pub fn int_constant(&mut self, shape: &[usize], data: impl IntoIterator<Item = i64>) -> Value {
        self.g.constant(shape, Kind::Int, data.into_iter().map(|i| i as f64).collect())
    }

    /// Whether all shapes broadcast; an error otherwise.
    pub fn broadcast(&self, values: &[Value]) -> Imported<Vec<usize>> {
        let shapes: Vec<&[usize]> = values.iter().map(|&v| self.g.shape(v)).collect();
        crate::float::algebra::broadcast(&shapes)
            .ok_or_else(|| self.invalid(format!("shapes {shapes:?} do not broadcast")))
    }
}
