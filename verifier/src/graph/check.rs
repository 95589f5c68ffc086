//! Structural rules of a graph. Everything downstream (executor, plan, protocol) relies on them.

use super::{AdviceRule, Bound, Einsum, Graph, IndexMap, Interface, Lookup, Op, Source, TensorId, View};
use crate::generation;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use thiserror::Error;

/// No integer of the relation leaves `-2^62 .. 2^62`, so none wraps in the field or in an `i64`.
pub const MAX_MAGNITUDE: i64 = 1 << 62;
/// Largest magnitude before the shift of a lookup that saturates, of its input and of its domain: the excess is then below
/// `2^58`, and below `2^62` with the bits by which rounding up to limbs widens it.
const MAX_SATURATING: i64 = 1 << 57;
/// Longest tensor: `2^30` elements, so that its indices fit a 32-bit machine and it fits one commitment.
const MAX_ELEMENTS: usize = 1 << 30;

/// A graph that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {problem}")]
pub struct GraphError {
    /// Tensor or node.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

type Check = Result<(), String>;

fn ensure(condition: bool, problem: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(problem()) }
}

impl Graph {
    /// Checks every structural rule: ids in range, each tensor defined once and before its use, shapes and labels that
    /// fit, parameters in range.
    ///
    /// # Errors
    /// The first rule broken, with the tensor or node.
    pub fn check(&self) -> Result<(), GraphError> {
        self.check_structure()?;
        match self.interface {
            Interface::Tensors => Ok(()),
            Interface::Generation(_) => {
                generation::check(self).map_err(|problem| GraphError { place: "ports".into(), problem })
            }
        }
    }

    /// As [`Self::check`], whatever the public tensors stand for.
    pub(super) fn check_structure(&self) -> Result<(), GraphError> {
        let mut names = BTreeSet::new();
        for (index, tensor) in self.tensors.iter().enumerate() {
            let fail = |problem: String| GraphError { place: format!("tensor {index} '{}'", tensor.name), problem };
            let len = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            (|| {
                ensure(names.insert(&tensor.name), || "another tensor has this name".into())?;
                ensure(len.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n)), || {
                    format!("shape {:?} is empty or too large", tensor.shape)
                })?;
                ensure(tensor.lo <= tensor.hi && tensor.lo > -MAX_MAGNITUDE && tensor.hi < MAX_MAGNITUDE, || {
                    format!("interval {}..={} is empty or beyond 62 bits", tensor.lo, tensor.hi)
                })?;
                match tensor.source {
                    Source::Node(node) => ensure(
                        self.nodes.get(node as usize).and_then(|n| n.op.output()).is_some_and(|t| t.index() == index),
                        || format!("node {node} does not compute it"),
                    ),
                    Source::Input => {
                        ensure(self.inputs.iter().filter(|p| p.tensor.index() == index).count() == 1, || {
                            "is an input that the list of inputs does not name once".into()
                        })
                    }
                    Source::Weight => Ok(()),
                }
            })()
            .map_err(fail)?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            self.check_node(index, &node.op)
                .map_err(|problem| GraphError { place: format!("node {index} '{}'", node.name), problem })?;
        }
        let port = |problem: &str| GraphError { place: "ports".into(), problem: problem.into() };
        for input in &self.inputs {
            if self.tensors.get(input.tensor.index()).is_none_or(|t| t.source != Source::Input) {
                return Err(port("an input names a tensor that is not one"));
            }
        }
        let mut seen = BTreeSet::new();
        for output in &self.outputs {
            if self.tensors.get(output.tensor.index()).is_none_or(|t| !matches!(t.source, Source::Node(_))) {
                return Err(port("an output names a tensor that no node computes"));
            }
            if !seen.insert(output.tensor) {
                return Err(port("a tensor is an output twice"));
            }
        }
        if self.outputs.is_empty() {
            return Err(port("the graph has no output"));
        }
        Ok(())
    }

    fn shape(&self, id: TensorId) -> Result<&[usize], String> {
        self.tensors
            .get(id.index())
            .map(|t| t.shape.as_slice())
            .ok_or_else(|| format!("tensor {} does not exist", id.0))
    }

    fn check_node(&self, index: usize, op: &Op) -> Check {
        for input in op.inputs() {
            self.shape(input)?;
            if let Source::Node(by) = self.tensor(input).source {
                ensure((by as usize) < index, || format!("uses tensor {} before it is computed", input.0))?;
            }
        }
        if let Some(output) = op.output() {
            self.shape(output)?;
            ensure(self.tensor(output).source == Source::Node(index as u32), || {
                "computes a tensor of another node".into()
            })?;
        }
        match op {
            Op::Einsum(e) => self.check_einsum(e),
            Op::Lookup(l) => self.check_lookup(l),
            Op::View(v) => self.check_view(v),
            Op::Advice(a) => {
                let out = self.shape(a.output)?;
                match &a.rule {
                    AdviceRule::Max { input } => {
                        let shape = self.shape(*input)?;
                        ensure(shape.split_last().is_some_and(|(_, rest)| rest == out), || {
                            format!("maximum of {shape:?} over its last axis is not {out:?}")
                        })
                    }
                    AdviceRule::FloorDiv { numerator, denominator } => {
                        let n = self.shape(*numerator)?;
                        ensure(out.ends_with(n) && self.shape(*denominator)? == out, || {
                            "shapes of numerator, denominator and output differ".into()
                        })?;
                        ensure(self.tensor(*denominator).lo > 0, || "the denominator may be zero or negative".into())
                    }
                    AdviceRule::Rsqrt { input, exponent } => {
                        ensure(self.shape(*input)? == out, || "shapes of input and output differ".into())?;
                        ensure(*exponent <= 62, || "exponent beyond 62".into())?;
                        ensure(self.tensor(*input).lo > 0, || "the input may be zero or negative".into())
                    }
                }
            }
        }
    }

    fn check_einsum(&self, e: &Einsum) -> Check {
        let axis =
            |label: u8| e.dims.get(label as usize).copied().ok_or_else(|| format!("label {label} has no length"));
        let distinct = |labels: &[u8]| labels.iter().collect::<BTreeSet<_>>().len() == labels.len();
        let shape_of = |labels: &[u8]| labels.iter().map(|&l| axis(l)).collect::<Result<Vec<_>, _>>();
        ensure(e.dims.len() <= 64, || "more than 64 labels".into())?;
        ensure(distinct(&e.out_labels), || "an output label is named twice".into())?;
        ensure(shape_of(&e.out_labels)? == self.shape(e.output)?, || {
            "the output's shape differs from its labels".into()
        })?;
        ensure(!e.terms.is_empty(), || "has no terms".into())?;
        for term in &e.terms {
            ensure(term.coefficient != 0 && term.coefficient.unsigned_abs() < MAX_MAGNITUDE as u64, || {
                format!("coefficient {} is zero or beyond 62 bits", term.coefficient)
            })?;
            ensure(term.operands.len() <= 8, || "a term has more than 8 operands".into())?;
            for operand in &term.operands {
                ensure(distinct(&operand.labels), || "an operand names a label twice".into())?;
                ensure(shape_of(&operand.labels)? == self.shape(operand.tensor)?, || {
                    format!("the labels of operand '{}' do not fit its shape", self.tensor(operand.tensor).name)
                })?;
            }
        }
        Ok(())
    }

    fn check_lookup(&self, l: &Lookup) -> Check {
        let shape = self.shape(l.input)?;
        ensure(l.multiplier > 0 && l.multiplier < MAX_MAGNITUDE, || {
            format!("multiplier {} is not positive", l.multiplier)
        })?;
        ensure(l.shift <= 62 && (1..=62).contains(&l.bits), || "shift beyond 62, or bits not in 1..=62".into())?;
        ensure(l.lo.unsigned_abs() < MAX_MAGNITUDE as u64, || "lowest value beyond 62 bits".into())?;
        ensure(l.add.unsigned_abs() < MAX_MAGNITUDE as u64, || "number added beyond 62 bits".into())?;
        let input = self.tensor(l.input);
        let image = |x: i64| i128::from(x) * i128::from(l.multiplier) + i128::from(l.add);
        let (low, high) = (image(input.lo), image(input.hi));
        let saturates = l.below == Bound::Saturate || l.above == Bound::Saturate;
        let limit = i128::from(if saturates { MAX_SATURATING } else { MAX_MAGNITUDE });
        ensure(low > -limit && high < limit, || {
            format!("input * multiplier + add spans {low}..={high}; the limit is 2^{}", limit.ilog2())
        })?;
        let top = i128::from(l.lo) + (1i128 << l.bits) - 1;
        ensure(top << l.shift < limit && i128::from(l.lo) << l.shift > -limit, || {
            format!("the domain before the shift is beyond 2^{}", limit.ilog2())
        })?;
        match (l.table, l.output) {
            (Some(table), Some(_)) => {
                ensure(l.bits <= 20, || "a table of more than 2^20 rows".into())?;
                ensure(self.tensor(table).source == Source::Weight, || "the table is not a constant".into())?;
                ensure(self.shape(table)? == [1usize << l.bits], || "the table's shape is not [2^bits]".into())?;
            }
            (Some(_), None) => return Err("an assertion has a table".into()),
            (None, Some(_)) => {}
            (None, None) => {
                ensure(l.below == Bound::Forbid && l.above == Bound::Forbid, || "an assertion saturates".into())?;
            }
        }
        match l.output {
            Some(output) => ensure(self.shape(output)? == shape, || "input and output differ in shape".into()),
            None => Ok(()),
        }
    }

    fn check_view(&self, v: &View) -> Check {
        let (input, output) = (self.shape(v.input)?, self.shape(v.output)?);
        let mut inputs = vec![0; input.len()];
        let mut outputs = vec![0; output.len()];
        for group in &v.groups {
            for &axis in &group.input_axes {
                *inputs.get_mut(axis).ok_or("a group names an input axis that does not exist")? += 1;
            }
            for &axis in &group.output_axes {
                *outputs.get_mut(axis).ok_or("a group names an output axis that does not exist")? += 1;
            }
            match &group.map {
                IndexMap::Affine { strides, offset } => {
                    ensure(strides.len() == group.output_axes.len(), || {
                        "strides and output axes differ in number".into()
                    })?;
                    let small = |x: i64| x.unsigned_abs() <= MAX_ELEMENTS as u64;
                    ensure(small(*offset) && strides.iter().all(|&s| small(s)), || {
                        "a stride or offset is too large".into()
                    })?;
                }
                IndexMap::Table(table) => {
                    let len: usize = group.output_axes.iter().filter_map(|&a| output.get(a)).product();
                    ensure(table.len() == len, || format!("an index table has {} entries, not {len}", table.len()))?;
                }
            }
        }
        ensure(inputs.iter().chain(&outputs).all(|&n| n == 1), || "an axis is in no group or in several".into())
    }
}
