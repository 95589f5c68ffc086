//! How much memory proving a subgraph is expected to take, from the key alone: what is held at its peak, rounded up.
//!
//! An estimate, for choosing a worker that is large enough; nothing depends on its being right.

use std::collections::BTreeSet;
use verifier::commitment::{Code, Layout};
use verifier::graph::{Graph, Op, Source, TensorId};
use verifier::key::ModelKey;
use verifier::plan::SubgraphPlan;
use verifier::weight_layout;

/// The process itself, and what is too small to count: several threads, each with pages of 2 MiB that are not full.
const PROCESS: u64 = 64 << 20;
/// Bytes of a field element.
const WORD: u64 = 8;
/// Bytes of a digest.
const DIGEST: u64 = 32;
/// Bytes for an element of a tensor: as it was read, decoded, and in use.
const ELEMENT: u64 = 24;
/// Bytes for a cell of an opened polynomial: the sums over it in the extension field.
const OPENED: u64 = 16;
/// Bytes for a fraction of the lookups' sum.
const FRACTION: u64 = 96;

/// Bytes for each subgraph.
pub fn prove(key: &ModelKey) -> Vec<u64> {
    (0..).zip(&key.plan().subgraphs).map(|(index, plan)| subgraph(key, index, plan)).collect()
}

/// Bytes for the committed weights of all subgraphs, where they are kept for further proofs.
pub fn weights(key: &ModelKey) -> u64 {
    (0..key.partition().count).map(|index| kept(&weight_layout(key, index))).sum()
}

fn subgraph(key: &ModelKey, index: u32, plan: &SubgraphPlan) -> u64 {
    let graph = key.graph();
    let (witness, weights) = (Layout::new(&plan.column_shapes), weight_layout(key, index));
    let operations = || plan.nodes.iter().map(|&node| &graph.nodes[node as usize].op);
    let is_public = |tensor: &TensorId| graph.tensor(*tensor).source == Source::Input;
    // Noise is as large as the logits to which it is added.
    let public: BTreeSet<TensorId> = operations().flat_map(Op::inputs).filter(is_public).collect();
    let read = key.plan().boundary.iter().chain(&plan.weights).copied().chain(public);
    let made = operations().filter_map(Op::output);
    let elements: u64 = read.chain(made).map(|tensor| len(graph, tensor)).sum();
    let fractions = plan.table_rows() as u64
        + plan
            .lookups
            .iter()
            .map(|l| l.leaves() as u64 * len(graph, graph.nodes[l.node as usize].op.inputs()[0]))
            .sum::<u64>();
    let held = ELEMENT * elements + committed(&witness) + committed(&weights) + FRACTION * fractions;
    // A quarter more for what the allocator has between vectors, and does not give back at once.
    PROCESS + held + held / 4
}

/// What is kept, and what opening adds.
fn committed(layout: &Layout) -> u64 {
    let opened = if layout.in_the_clear() { 0 } else { OPENED << layout.num_variables() };
    kept(layout) + opened
}

/// The cells, their codeword and its tree.
fn kept(layout: &Layout) -> u64 {
    if layout.in_the_clear() {
        return WORD * layout.cells() as u64;
    }
    let Code { log_inv_rate, log_width } = Code::new(layout.num_variables());
    let (cells, codeword) = (1u64 << layout.num_variables(), 1u64 << (layout.num_variables() + log_inv_rate));
    cells * WORD + codeword * WORD + (codeword >> log_width) * 2 * DIGEST
}

fn len(graph: &Graph, tensor: TensorId) -> u64 {
    graph.tensor(tensor).len() as u64
}
