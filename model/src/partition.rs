//! Cuts the graph into subgraphs: runs of consecutive nodes, of similar cost, with small boundaries. Nodes at the beginning may join
//! later runs that read the same weights, as embedding and final projection do when they are tied: so these are committed and opened once.

use crate::Model;
use crate::split::split;
use thiserror::Error;
use verifier::commitment::Code;
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
/// Subgraphs are balanced when the largest costs no more than this many times as much as it must.
const NEAR: f64 = 1.05;
/// How much more all subgraphs together may cost for that.
const MORE: f64 = 1.03;
/// Weights of a subgraph below this cost little to fill up.
const SMALL: usize = 1 << 20;
/// Cost of encoding an element at a rate of one half, and of hashing it; twice that at a quarter. In sums it costs as much again.
const ENCODED: f64 = 0.25;
/// Pieces of a weight have at least so many elements: fewer are nothing that would have to be balanced.
const LEAST: usize = 1 << 14;
/// Multiplications of a contraction that cost as much as a committed element.
const PRODUCTS: f64 = 64.0;

/// Cuts the model's graph.
///
/// # Errors
/// No subgraphs, or more than the graph has places to cut.
pub fn partition(model: &Model, subgraphs: Subgraphs) -> Result<Partition, PartitionError> {
    Ok(cut(&model.graph, subgraphs)?.partition)
}

/// Cuts the model's graph, and its final projection over the vocabulary ([`crate::split`]) into as many pieces as balance the subgraphs: of the
/// numbers with which all subgraphs together cost at most [`MORE`] times what they cost with a whole projection, the smallest with which
/// the largest subgraph costs at most [`NEAR`] times what it must. The model is the same, up to that.
///
/// # Errors
/// See [`partition`].
pub fn balanced(model: Model, subgraphs: Subgraphs) -> Result<(Model, Partition), PartitionError> {
    let whole = cut(&model.graph, subgraphs)?;
    let mut tried = vec![(whole, None)];
    for pieces in 2..=tried[0].0.partition.count as usize {
        let Some(split) = split(&model.graph, pieces).filter(|split| split.largest_piece() >= LEAST) else { break };
        if let Ok(cut) = cut(&split.graph, subgraphs) {
            tried.push((cut, Some(split)));
        }
    }
    let most = tried[0].0.total * MORE;
    tried.retain(|(cut, _)| cut.total <= most);
    let least = tried.iter().map(|(cut, _)| cut.largest).fold(f64::INFINITY, f64::min);
    let near = tried.iter().position(|(cut, _)| cut.largest <= least * NEAR).unwrap_or_default();
    let (cut, split) = tried.swap_remove(near);
    let model = match split {
        Some(split) => split.apply(model),
        None => model,
    };
    Ok((model, cut.partition))
}

/// A partition, and what its subgraphs cost.
struct Cut {
    partition: Partition,
    /// The most expensive one.
    largest: f64,
    /// All of them.
    total: f64,
}

fn cut(graph: &Graph, subgraphs: Subgraphs) -> Result<Cut, PartitionError> {
    let mut costs: Vec<f64> = graph.nodes.iter().map(|n| cost(graph, &n.op)).collect();
    let (boundaries, weights) = (boundaries(graph), weights(graph));
    let shared = shared_weights(graph, &costs);
    // Where they end up, their weights cost nothing more.
    let head = shared.last().map_or(0, |shared| shared.end);
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
    let starts = best_cuts(&costs, &weights, &cuts, &boundaries, count);
    let mut subgraph_of_node = Vec::with_capacity(costs.len());
    let mut loads = vec![(0.0, 0); count];
    for (node, cost) in costs.iter().enumerate() {
        let subgraph = starts.iter().filter(|&&s| s <= node).count();
        subgraph_of_node.push(subgraph as u32);
        loads[subgraph].0 += cost;
        loads[subgraph].1 += weights[node];
    }
    let mut from = 0;
    for Shared { end, reader } in shared {
        let joined = subgraph_of_node[reader];
        subgraph_of_node[from..end].fill(joined);
        from = end;
    }
    let loads: Vec<f64> = loads.into_iter().map(|(cost, weights)| cost + committing(weights)).collect();
    let largest = loads.iter().copied().fold(0.0, f64::max);
    Ok(Cut { partition: Partition { subgraph_of_node, count: count as u32 }, largest, total: loads.iter().sum() })
}

/// Elements of the weights that each contraction is the last to read.
fn weights(graph: &Graph) -> Vec<usize> {
    let mut reader = vec![None; graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        if let Op::Einsum(_) = node.op {
            node.op.inputs().iter().for_each(|t| reader[t.index()] = Some(index));
        }
    }
    let mut weights = vec![0; graph.nodes.len()];
    for (tensor, reader) in graph.tensors.iter().zip(reader) {
        if let (Source::Weight, Some(reader)) = (tensor.source, reader) {
            weights[reader] += tensor.len();
        }
    }
    weights
}

/// What committing so many elements costs beyond [`cost`], which takes them to be encoded at a rate of a quarter: they are filled up to a
/// power of two with zeros, which are in no sum, and very many have a higher rate.
fn committing(weights: usize) -> f64 {
    if weights < SMALL {
        return 0.0;
    }
    let cells = weights.next_power_of_two();
    let encoded = cells << Code::new(cells.ilog2() as usize).log_inv_rate;
    encoded as f64 * ENCODED / 2.0 - weights as f64 * ENCODED * 2.0
}

/// A weight that two contractions read, the first among the first nodes.
#[derive(Clone, Copy)]
struct Shared {
    /// How many nodes, up to the one that reads it first.
    end: usize,
    /// The node that reads it again.
    reader: usize,
}

/// The weights whose first readers are best moved to their second ones, each with the nodes between it and the one before: what they
/// compute then crosses to other subgraphs.
fn shared_weights(graph: &Graph, costs: &[f64]) -> Vec<Shared> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.tensors.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|tensor| readers[tensor.index()].push(index));
    }
    let contracts = |node: usize| matches!(graph.nodes[node].op, Op::Einsum(_));
    let is_shared = |(tensor, readers): (&Tensor, &Vec<usize>)| {
        let &[first, reader] = &readers[..] else { return None };
        let is_shared = tensor.source == Source::Weight && first < reader && contracts(first) && contracts(reader);
        is_shared.then_some((Shared { end: first + 1, reader }, tensor.len() as f64))
    };
    let mut all: Vec<(Shared, f64)> = graph.tensors.iter().zip(&readers).filter_map(is_shared).collect();
    all.sort_by_key(|(shared, _)| shared.end);
    // What the nodes up to the end of each compute for others.
    let crossing = |moved: &[(Shared, f64)]| -> f64 {
        let group = |node: usize| moved.iter().position(|(shared, _)| node < shared.end);
        let crosses = |(tensor, readers): (&Tensor, &Vec<usize>)| {
            let Source::Node(producer) = tensor.source else { return 0.0 };
            let own = group(producer as usize);
            let leaves = own.is_some() && readers.iter().any(|&reader| group(reader) != own);
            if leaves { tensor.len() as f64 * WIDE } else { 0.0 }
        };
        graph.tensors.iter().zip(&readers).map(crosses).sum()
    };
    let mut saved = 0.0;
    let mut best = (0.0, 0);
    for (index, (shared, len)) in all.iter().enumerate() {
        saved += len;
        // What comes before the second readers only.
        if all[..=index].iter().any(|(other, _)| other.reader < shared.end) {
            break;
        }
        let joins = |node: &usize| all[..=index].iter().any(|(other, _)| other.end == node + 1);
        let moved: f64 = (0..shared.end).filter(|node| !joins(node)).map(|node| costs[node]).sum();
        let worth = saved - crossing(&all[..=index]) - moved;
        if worth > best.0 {
            best = (worth, index + 1);
        }
    }
    all.truncate(best.1);
    all.into_iter().map(|(shared, _)| shared).collect()
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
fn best_cuts(costs: &[f64], weights: &[usize], cuts: &[usize], boundaries: &[f64], count: usize) -> Vec<usize> {
    let (mut sums, mut held) = (vec![0.0; costs.len() + 1], vec![0; costs.len() + 1]);
    for (i, (c, w)) in costs.iter().zip(weights).enumerate() {
        (sums[i + 1], held[i + 1]) = (sums[i] + c, held[i] + w);
    }
    let mean = (sums[costs.len()] / count as f64).max(1.0);
    // Positions: 0, the cuts, the end.
    let places: Vec<usize> = [0].into_iter().chain(cuts.iter().copied()).chain([costs.len()]).collect();
    let part = |from: usize, to: usize| {
        let size = sums[places[to]] - sums[places[from]] + committing(held[places[to]] - held[places[from]]);
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
