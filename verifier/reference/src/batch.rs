//! Section 11: the relation for several inferences at once.

use crate::error::Error;
use crate::graph::{AdviceRule, AxisGroup, Graph, IndexMap, Op, TensorId};
use crate::rules;
use std::collections::BTreeSet;

/// Most inferences of one proof.
const MOST: usize = 1024;

/// The graph in which every tensor that some input reaches has an axis of `count` in front.
pub fn batch(graph: &Graph, count: usize) -> Result<Graph, Error> {
    if count == 1 {
        return Ok(graph.clone());
    }
    if count == 0 || count > MOST || graph.inputs.is_empty() {
        return Err(Error::Statement(format!("{count} inferences")));
    }
    let reached = reached(graph);
    let mut wide = graph.clone();
    for &id in &reached {
        if let Some(tensor) = wide.tensors.get_mut(id as usize) {
            tensor.shape = [&[count], tensor.shape.as_slice()].concat();
        }
    }
    for node in &mut wide.nodes {
        if !node.op.inputs().iter().any(|id| reached.contains(id)) {
            continue;
        }
        match &mut node.op {
            Op::Einsum(e) => {
                let new = e.dims.len() as u8;
                e.dims.push(count);
                let front = |labels: &[u8]| [&[new], labels].concat();
                e.out_labels = front(&e.out_labels);
                for operand in e.terms.iter_mut().flat_map(|t| &mut t.operands) {
                    if reached.contains(&operand.tensor) {
                        operand.labels = front(&operand.labels);
                    }
                }
            }
            Op::View(v) => {
                let own = AxisGroup {
                    input_axes: vec![0],
                    output_axes: vec![0],
                    map: IndexMap::Affine { offset: 0, strides: vec![1] },
                };
                let others = v.groups.drain(..).map(|group| AxisGroup {
                    input_axes: group.input_axes.iter().map(|axis| axis + 1).collect(),
                    output_axes: group.output_axes.iter().map(|axis| axis + 1).collect(),
                    map: group.map,
                });
                v.groups = [own].into_iter().chain(others).collect();
            }
            Op::Lookup(_) => {}
            Op::Advice(a) => {
                if let AdviceRule::FloorDiv { numerator, .. } = a.rule {
                    let shorter = graph.tensor(numerator)?.shape.len() < graph.tensor(a.output)?.shape.len();
                    if shorter && reached.contains(&numerator) {
                        return Err(Error::Statement("the model is proved for one input at a time".into()));
                    }
                }
            }
        }
    }
    rules::check_structure(&wide)?;
    Ok(wide)
}

fn reached(graph: &Graph) -> BTreeSet<TensorId> {
    let mut reached: BTreeSet<TensorId> = graph.inputs.iter().map(|port| port.tensor).collect();
    for node in &graph.nodes {
        if node.op.inputs().iter().any(|id| reached.contains(id)) {
            reached.extend(node.op.output());
        }
    }
    reached
}
