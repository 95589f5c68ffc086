//! Weights of more bits, where the output channels of a contraction differ so much in magnitude that one scale leaves
//! the small ones short of digits: every channel then has its own resolution, in integers of one exponent.
//!
//! Whether it pays is counted and measured, not guessed: [`choose`] compares committed cells and the error of the outputs.

use super::{Lowered, lower};
use crate::ImportError;
use crate::ImportOptions;
use crate::float::{Graph as FloatGraph, Value};
use crate::quantise::Range;
use crate::report::{self, AccuracyReport};
use kernels::dense;
use std::collections::BTreeMap;
use verifier::graph::{Graph, Op, TensorId};
use verifier::key::Partition;
use verifier::plan::{LookupPlan, Plan};

/// Bits that the weights of a contraction have beyond those of the options, by its value.
pub type Extra = BTreeMap<Value, u32>;

/// Digits that a channel may lack before it counts as short: it has 12 of 16.
const LACKING: u32 = 4;
/// Most bits that are added.
const MOST: u32 = 8;
/// Halvings of the error that pay for twice the cells; so one of them pays for an eighth more.
const HALVINGS: f64 = 6.0;

/// A contraction with a short channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// What it computes, in the float graph.
    pub value: Value,
    /// Its accumulator.
    pub tensor: TensorId,
    /// Digits that its shortest channel lacks.
    pub lacking: u32,
}

/// How many digits the shortest channel of a constant lacks, compared with the longest; 0 below [`LACKING`], at most
/// [`MOST`]. A channel is an index over the labels that are in `out`; channels of zeros do not count.
pub fn lacking(dims: &[usize], out: &[u8], labels: &[u8], data: &[f64]) -> u32 {
    let lengths: Vec<usize> = labels.iter().map(|&l| dims[l as usize]).collect();
    let mut count = 1;
    let mut strides = vec![0; labels.len()];
    for axis in (0..labels.len()).rev().filter(|&axis| out.contains(&labels[axis])) {
        strides[axis] = count;
        count *= lengths[axis];
    }
    let mut largest = vec![0f64; count];
    // Runs along the last axis: all of one channel, or of neighbouring ones.
    let (run, step) = (lengths.last().copied().unwrap_or(1), strides.last().copied().unwrap_or(0));
    let outer = dense::strides(&lengths[..lengths.len().saturating_sub(1)]);
    for (flat, run) in data.chunks(run.max(1)).enumerate() {
        let place = |axis: usize| flat / outer[axis] % lengths[axis] * strides[axis];
        let channel: usize = (0..outer.len()).map(place).sum();
        if step == 0 {
            largest[channel] = run.iter().fold(largest[channel], |most, x| most.max(x.abs()));
        } else {
            let channels = largest[channel..].iter_mut().step_by(step);
            channels.zip(run).for_each(|(most, x)| *most = most.max(x.abs()));
        }
    }
    let greatest = largest.iter().copied().fold(0f64, f64::max);
    let least = largest.iter().copied().filter(|&m| m > 0.0).fold(greatest, f64::min);
    let digits = if least > 0.0 { (greatest / least).log2().floor() as u32 } else { 0 };
    if digits < LACKING { 0 } else { digits.min(MOST) }
}

/// The best of three: weights as the options say; as many more bits as the requantisations after them have room for in
/// the limbs that they commit anyway; as many as the channels lack.
///
/// # Errors
/// As [`lower`] and [`report::measure`].
pub fn choose(
    float: &FloatGraph,
    ranges: &[Range],
    options: &ImportOptions,
    samples: &[Vec<Vec<f64>>],
    warnings: Vec<String>,
) -> Result<(Lowered, AccuracyReport), ImportError> {
    let attempt = |extra: &Extra| -> Result<Candidate, ImportError> {
        let lowered = lower(float, ranges, options, extra)?;
        let graph = &lowered.builder.graph;
        graph.check()?;
        let report =
            report::measure(float, graph, &lowered.builder.weights, &lowered.values, samples, warnings.clone())?;
        let plan = Plan::new(graph, &Partition { subgraph_of_node: vec![0; graph.nodes.len()], count: 1 });
        let columns = plan.subgraphs.iter().flat_map(|s| &s.column_shapes);
        let cells = columns.map(|shape| shape.iter().product::<usize>()).sum();
        let error = error(float, ranges, options, &report);
        Ok(Candidate { lowered, report, plan, cells, error })
    };
    let mut best = attempt(&Extra::new())?;
    let short = std::mem::take(&mut best.lowered.short);
    let graph = &best.lowered.builder.graph;
    let room = Room::new(graph, &best.plan);
    let free: Extra = short.iter().map(|s| (s.value, s.lacking.min(room.after(graph, s.tensor)))).collect();
    let all: Extra = short.iter().map(|s| (s.value, s.lacking)).collect();
    let mut tried = Extra::new();
    for mut extra in [free, all] {
        extra.retain(|_, bits| *bits > 0);
        if extra != tried {
            let candidate = attempt(&extra)?;
            if candidate.score() < best.score() {
                best = candidate;
            }
            tried = extra;
        }
    }
    Ok((best.lowered, best.report))
}

struct Candidate {
    lowered: Lowered,
    report: AccuracyReport,
    plan: Plan,
    cells: usize,
    error: f64,
}

impl Candidate {
    /// Lower is better.
    fn score(&self) -> f64 {
        self.error.log2() + HALVINGS * (self.cells.max(1) as f64).log2()
    }
}

/// The greatest mean error of an output, relative to its range; at least what rounding an activation costs.
fn error(float: &FloatGraph, ranges: &[Range], options: &ImportOptions, report: &AccuracyReport) -> f64 {
    let outputs = float.outputs.iter().zip(&report.outputs);
    let relative = |(output, accuracy): (&(String, Value), &report::OutputAccuracy)| {
        let magnitude = ranges[output.1.0].magnitude();
        if magnitude > 0.0 { accuracy.mean_error / magnitude } else { 0.0 }
    };
    outputs.map(relative).fold(0.5f64.powi(options.activation_bits as i32 + 1), f64::max)
}

/// Bits that every lookup has left in the top limb of its remainder.
struct Room {
    of_lookup: BTreeMap<u32, u32>,
    readers: Vec<Vec<u32>>,
}

impl Room {
    fn new(graph: &Graph, plan: &Plan) -> Self {
        let lookups = || plan.subgraphs.iter().flat_map(|s| &s.lookups);
        let remainders = lookups().flat_map(|l| &l.remainder).map(|limb| limb.width);
        let limb = remainders.max().unwrap_or(0);
        let left = |l: &LookupPlan| l.remainder.last().map_or(0, |top| limb - top.width);
        let mut readers = vec![Vec::new(); graph.tensors.len()];
        for (index, node) in graph.nodes.iter().enumerate() {
            node.op.inputs().iter().for_each(|t| readers[t.index()].push(index as u32));
        }
        Self { of_lookup: lookups().map(|l| (l.node, left(l))).collect(), readers }
    }

    /// By how many bits the tensor may grow before some lookup after it needs another limb.
    fn after(&self, graph: &Graph, tensor: TensorId) -> u32 {
        let mut seen = vec![false; graph.tensors.len()];
        let mut open = vec![tensor];
        let mut room = MOST;
        while let Some(tensor) = open.pop() {
            for &node in &self.readers[tensor.index()] {
                let op = &graph.nodes[node as usize].op;
                match (op, op.output()) {
                    (Op::Lookup(_), _) => room = room.min(self.of_lookup.get(&node).copied().unwrap_or(0)),
                    (_, Some(output)) if !std::mem::replace(&mut seen[output.index()], true) => open.push(output),
                    _ => {}
                }
            }
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_channel_counts() {
        // 2 summed, 3 channels: magnitudes 1, 1/32, 0.
        let weights = [1.0, 0.01, 0.0, -0.5, -0.03125, 0.0];
        assert_eq!(lacking(&[2, 3], &[1], &[0, 1], &weights), 5);
        // Summed over the other axis, the channels are 1 and 1/2: not short.
        assert_eq!(lacking(&[2, 3], &[0], &[0, 1], &weights), 0);
        assert_eq!(lacking(&[2], &[0], &[0], &[1.0, 1e-9]), MOST);
        assert_eq!(lacking(&[2], &[0], &[0], &[0.0, 0.0]), 0);
    }
}
