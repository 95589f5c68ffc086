//! The graph of a batch: the same model on several inputs.
//!
//! Every tensor that depends on an input gets a first axis with a place for each inference; constants stay as they are, so all
//! inferences read the same weights. The relation is the model's for every inference (docs/protocol.md, section 11).

use super::{AdviceRule, AxisGroup, Einsum, Graph, GraphError, IndexMap, Op, View};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// Most inferences of a batch.
pub const MAX_BATCH: usize = 1024;

/// The same position in the first axes of input and output.
fn same_inference() -> AxisGroup {
    AxisGroup { input_axes: vec![0], output_axes: vec![0], map: IndexMap::Affine { offset: 0, strides: vec![1] } }
}

impl Graph {
    /// The graph of a batch of this size: for 1 this one.
    ///
    /// # Errors
    /// No inference or too many; no input by which they could differ; a tensor that gets too large; a node that divides by a tensor
    /// what is one number for each inference.
    pub fn batch(&self, size: usize) -> Result<Self, GraphError> {
        if size == 1 {
            return Ok(self.clone());
        }
        let fail = |place: &str, problem| Err(GraphError { place: place.into(), problem });
        if !(1..=MAX_BATCH).contains(&size) {
            return fail("batch", format!("{size} inferences; 1 to {MAX_BATCH} go into one proof"));
        }
        if self.inputs.is_empty() {
            return fail("batch", format!("{size} inferences of a model without inputs"));
        }
        let mut graph = self.clone();
        let mut varies = vec![false; self.tensors.len()];
        self.inputs.iter().for_each(|port| varies[port.tensor.index()] = true);
        for node in &mut graph.nodes {
            if !node.op.inputs().iter().any(|input| varies[input.index()]) {
                continue;
            }
            node.op.output().iter().for_each(|output| varies[output.index()] = true);
            match &mut node.op {
                Op::Einsum(einsum) => batch_einsum(einsum, size, &varies),
                Op::View(view) => batch_view(view),
                Op::Lookup(_) => {}
                Op::Advice(advice) => {
                    if let AdviceRule::FloorDiv { numerator, .. } = advice.rule
                        && varies[numerator.index()]
                        && self.tensor(numerator).shape.len() < self.tensor(advice.output).shape.len()
                    {
                        return fail(
                            &format!("node '{}'", node.name),
                            "divides one number, which depends on the input, by a tensor: it is proved for one input at a time".into(),
                        );
                    }
                }
            }
        }
        for (tensor, varies) in graph.tensors.iter_mut().zip(varies) {
            if varies {
                tensor.shape.insert(0, size);
            }
        }
        graph.check_structure()?;
        Ok(graph)
    }
}

fn batch_einsum(einsum: &mut Einsum, size: usize, varies: &[bool]) {
    let label = einsum.dims.len() as u8;
    einsum.dims.push(size);
    einsum.out_labels.insert(0, label);
    let operands = einsum.terms.iter_mut().flat_map(|term| &mut term.operands);
    operands.filter(|operand| varies[operand.tensor.index()]).for_each(|operand| operand.labels.insert(0, label));
}

fn batch_view(view: &mut View) {
    let later = |axes: &Vec<usize>| axes.iter().map(|axis| axis + 1).collect::<Vec<_>>();
    for group in &mut view.groups {
        (group.input_axes, group.output_axes) = (later(&group.input_axes), later(&group.output_axes));
    }
    view.groups.insert(0, same_inference());
}
