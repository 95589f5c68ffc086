//! Removes what lowering tried and did not use: nodes and constants that no output and no assertion depends on.

use super::builder::Builder;
use std::collections::BTreeMap;
use verifier::graph::{AdviceRule, Op, Source, TensorId};

/// Prunes the graph and renumbers tensors: the new number of each old one that is still there.
pub fn prune(builder: &mut Builder) -> Vec<Option<TensorId>> {
    let graph = &mut builder.graph;
    let mut live = vec![false; graph.tensors.len()];
    graph.inputs.iter().chain(&graph.outputs).for_each(|port| live[port.tensor.index()] = true);
    let mut keep = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        keep[index] = node.op.output().is_none_or(|output| live[output.index()]);
        if keep[index] {
            node.op.inputs().iter().for_each(|input| live[input.index()] = true);
        }
    }
    let new_tensor: Vec<Option<TensorId>> = ranks(&live).into_iter().map(|rank| rank.map(TensorId)).collect();
    let new_node = ranks(&keep);
    let renamed = |id: &mut TensorId| {
        if let Some(new) = new_tensor[id.index()] {
            *id = new;
        }
    };
    let mut kept = keep.iter();
    graph.nodes.retain(|_| kept.next().copied().unwrap_or(true));
    graph.nodes.iter_mut().for_each(|node| rename(&mut node.op, &renamed));
    let mut lives = live.iter();
    graph.tensors.retain(|_| lives.next().copied().unwrap_or(true));
    for tensor in &mut graph.tensors {
        if let Source::Node(node) = &mut tensor.source {
            *node = new_node[*node as usize].unwrap_or(*node);
        }
    }
    graph.inputs.iter_mut().chain(&mut graph.outputs).for_each(|port| renamed(&mut port.tensor));
    let weights = std::mem::take(&mut builder.weights).into_iter();
    builder.weights = weights.filter_map(|(id, w)| Some((new_tensor[id.index()]?, w))).collect::<BTreeMap<_, _>>();
    new_tensor
}

/// For each kept element, how many are kept before it.
fn ranks(keep: &[bool]) -> Vec<Option<u32>> {
    let mut count = 0;
    let rank = |&keep: &bool| {
        count += u32::from(keep);
        keep.then(|| count - 1)
    };
    keep.iter().map(rank).collect()
}

fn rename(op: &mut Op, renamed: &dyn Fn(&mut TensorId)) {
    match op {
        Op::Einsum(e) => {
            e.terms.iter_mut().flat_map(|t| &mut t.operands).for_each(|o| renamed(&mut o.tensor));
            renamed(&mut e.output);
        }
        Op::Lookup(l) => {
            renamed(&mut l.input);
            l.table.iter_mut().chain(&mut l.output).for_each(renamed);
        }
        Op::View(v) => {
            renamed(&mut v.input);
            renamed(&mut v.output);
        }
        Op::Advice(a) => {
            match &mut a.rule {
                AdviceRule::Max { input } | AdviceRule::Rsqrt { input, .. } => renamed(input),
                AdviceRule::FloorDiv { numerator, denominator } => {
                    renamed(numerator);
                    renamed(denominator);
                }
            }
            renamed(&mut a.output);
        }
    }
}
