//! Cuts the graph into subgraphs: runs of consecutive nodes, of similar cost, with small boundaries. Nodes at the beginning may join a
//! later run that reads the same weights, as embedding and final projection do when they are tied: so these are committed and opened once.

use crate::Model;
use thiserror::Error;
use verifier::graph::{Graph, Op, Source, Tensor};
use verifier::key::Partition;

/// How many subgraphs to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subgraphs {
    /// As many as the cost of the model warrants.
    Auto,
    /// Exactly this many.
    Count(u32),
}

/// A partition that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PartitionError {
    /// More parts than places to cut, or none.
    #[error("{asked} subgraphs were asked for; the model can be cut into 1 to {most}")]
    Count {
        /// Number asked for.
        asked: u32,
        /// Largest possible number.
        most: usize,
    },
}

/// Cost of a subgraph that [`Subgraphs::Auto`] aims at, in committed elements.
const TARGET: f64 = 1e6;
/// Most subgraphs that [`Subgraphs::Auto`] makes.
const MOST: usize = 16;
/// Places to cut that are looked at; beyond that, only the best of each stretch of the graph.
const CANDIDATES: usize = 512;
/// Cost of committing an element of a boundary tensor that is not a lookup's output: it takes several limbs.
const WIDE: f64 = 4.0;
/// Multiplications of a contraction that cost as much as a committed element.
const PRODUCTS: f64 = 64.0;

/// Cuts the model's graph.
///
/// # Errors
/// No subgraphs, or more than the graph has places to cut.
pub fn partition(model: &Model, subgraphs: Subgraphs) -> Result<Partition, PartitionError> {
    let graph = &model.graph;
    let mut costs: Vec<f64> = graph.nodes.iter().map(|n| cost(graph, &n.op)).collect();
    let boundaries = boundaries(graph);
    let shared = shared_weights(graph);
    // Where it ends up, its weights cost nothing more.
    let head = shared.map_or(0, |shared| shared.head);
    costs[..head].fill(0.0);
    let total: f64 = costs.iter().sum();
    let cuts: Vec<usize> = candidates(&boundaries).into_iter().filter(|&cut| cut > head).collect();
    let most = cuts.len() + 1;
    let count = match subgraphs {
        Subgraphs::Auto => ((total / TARGET).ceil() as usize).clamp(1, MOST.min(most)),
        Subgraphs::Count(n) => n as usize,
    };
    if count == 0 || count > most {
        return Err(PartitionError::Count { asked: count as u32, most });
    }
    let starts = best_cuts(&costs, &cuts, &boundaries, count);
    let mut subgraph_of_node = Vec::with_capacity(costs.len());
    for node in 0..costs.len() {
        subgraph_of_node.push(starts.iter().filter(|&&s| s <= node).count() as u32);
    }
    if let Some(Shared { head, reader }) = shared {
        let joined = subgraph_of_node[reader];
        subgraph_of_node[..head].fill(joined);
    }
    Ok(Partition { subgraph_of_node, count: count as u32 })
}

/// A weight that two contractions read, the first among the first nodes.
#[derive(Clone, Copy)]
struct Shared {
    /// How many nodes, up to the one that reads it first.
    head: usize,
    /// The node that reads it again.
    reader: usize,
}

/// The weight whose first reader is best moved to its second, if any is: what the head computes then crosses to another subgraph.
fn shared_weights(graph: &Graph) -> Option<Shared> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|tensor| readers[tensor.index()].push(index));
    }
    let crossing = |head: usize| -> f64 {
        let crosses = |(tensor, readers): (&Tensor, &Vec<usize>)| {
            let Source::Node(producer) = tensor.source else { return 0.0 };
            let leaves = (producer as usize) < head && readers.last().is_some_and(|&last| last >= head);
            if leaves { tensor.len() as f64 * WIDE } else { 0.0 }
        };
        graph.tensors.iter().zip(&readers).map(crosses).sum()
    };
    let contracts = |node: usize| matches!(graph.nodes[node].op, Op::Einsum(_));
    let worth = |(tensor, readers): (&Tensor, &Vec<usize>)| {
        let &[first, reader] = &readers[..] else { return None };
        let is_shared = tensor.source == Source::Weight && first < reader && contracts(first) && contracts(reader);
        let saved = if is_shared { tensor.len() as f64 - crossing(first + 1) } else { 0.0 };
        (saved > 0.0).then_some((saved, Shared { head: first + 1, reader }))
    };
    let best = graph.tensors.iter().zip(&readers).filter_map(worth).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, shared)| shared)
}

/// Work of proving a node, in committed elements.
fn cost(graph: &Graph, op: &Op) -> f64 {
    let len = |id| graph.tensor(id).len() as f64;
    match op {
        Op::Einsum(e) => {
            let term = |t: &verifier::graph::Term| {
                let mut labels: Vec<u8> = t.operands.iter().flat_map(|o| &o.labels).copied().collect();
                labels.sort_unstable();
                labels.dedup();
                let products: f64 = labels.iter().map(|&l| e.dims[l as usize] as f64).product();
                let read: f64 = t.operands.iter().map(|o| len(o.tensor)).sum();
                read + products / PRODUCTS
            };
            e.terms.iter().map(term).sum()
        }
        Op::Lookup(l) => {
            let input = graph.tensor(l.input);
            let bits = 128 - (i128::from(input.hi) - i128::from(input.lo)).leading_zeros();
            len(l.input) * (2.0 + f64::from(bits) / 8.0) + l.table.map_or(0.0, len)
        }
        Op::View(v) => len(v.output) / PRODUCTS,
        Op::Advice(a) => len(a.output),
    }
}

/// The cost of cutting before each node (from the second on): infinite between an advice and the assertions after it.
fn boundaries(graph: &Graph) -> Vec<f64> {
    let n = graph.nodes.len();
    let mut change = vec![0.0; n + 1];
    let mut locked = vec![false; n + 1];
    let mut last_use = vec![0; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|t| last_use[t.index()] = index);
    }
    for (tensor, &last) in graph.tensors.iter().zip(&last_use) {
        if let Source::Node(producer) = tensor.source
            && last > producer as usize
        {
            let narrow = matches!(graph.nodes[producer as usize].op, Op::Lookup(_) | Op::Advice(_));
            let size = tensor.len() as f64 * if narrow { 1.0 } else { WIDE };
            change[producer as usize + 1] += size;
            change[last + 1] -= size;
        }
    }
    let mut advice = None;
    for (index, node) in graph.nodes.iter().enumerate() {
        match (&node.op, advice) {
            (Op::Advice(_), _) => advice = Some(index),
            (Op::Lookup(l), Some(start)) if l.output.is_none() => locked[start + 1..=index].fill(true),
            _ => {}
        }
    }
    let mut size = 0.0;
    let running = (0..n).map(|i| {
        size += change[i];
        if locked[i] { f64::INFINITY } else { size }
    });
    running.collect()
}

/// Places to cut: before which nodes.
fn candidates(boundaries: &[f64]) -> Vec<usize> {
    let open: Vec<usize> = (1..boundaries.len()).filter(|&i| boundaries[i].is_finite()).collect();
    if open.len() <= CANDIDATES {
        return open;
    }
    let stretch = open.len().div_ceil(CANDIDATES);
    let best = |s: &[usize]| s.iter().copied().min_by(|&a, &b| boundaries[a].total_cmp(&boundaries[b]));
    open.chunks(stretch).filter_map(best).collect()
}

/// The first nodes of all subgraphs but the first: least sum of squared costs (relative to the mean) and boundaries.
fn best_cuts(costs: &[f64], cuts: &[usize], boundaries: &[f64], count: usize) -> Vec<usize> {
    let mut sums = vec![0.0; costs.len() + 1];
    for (i, c) in costs.iter().enumerate() {
        sums[i + 1] = sums[i] + c;
    }
    let mean = (sums[costs.len()] / count as f64).max(1.0);
    // Positions: 0, the cuts, the end.
    let places: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([costs.len()]).collect();
    let part = |from: usize, to: usize| {
        let size = sums[places[to]] - sums[places[from]];
        size * size / mean + if from == 0 { 0.0 } else { boundaries[places[from]] * WIDE }
    };
    let end = places.len() - 1;
    let mut best = vec![vec![(f64::INFINITY, 0); places.len()]; count + 1];
    best[0][0] = (0.0, 0);
    for parts in 1..=count {
        for to in parts..=end {
            let from = (parts - 1..to).map(|from| (best[parts - 1][from].0 + part(from, to), from));
            if let Some(least) = from.min_by(|a, b| a.0.total_cmp(&b.0)) {
                best[parts][to] = least;
            }
        }
    }
    let mut starts = Vec::new();
    let mut at = end;
    for parts in (1..=count).rev() {
        at = best[parts][at].1;
        starts.push(places[at]);
    }
    starts.pop();
    starts
}
