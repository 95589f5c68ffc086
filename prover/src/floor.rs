//! Work that no prover of a model avoids, by stage and by primitive: the floor that benchmarks measure against.
//!
//! Lower bounds in field multiplications, bytes hashed and bytes read; a term that is small beside these is left out.

use kernels::floor::{EXTENSION, SCALE, Work};
use verifier::commitment::{Code, Layout};
use verifier::field::K_BYTES;
use verifier::graph::{Graph, Op, Tensor};
use verifier::key::ModelKey;
use verifier::plan::SubgraphPlan;
use verifier::{boundary_layout, weight_layout};

/// Bytes of a digest.
const DIGEST: u64 = 32;
/// Bytes of an element of the base field.
const WORD: u64 = 8;

/// Committing: the butterflies of the transform that act on the message's own coefficients, and BLAKE3 of codeword and tree.
pub fn commit(layout: &Layout) -> Work {
    if layout.in_the_clear() {
        let bytes = layout.cells() as u64;
        return Work { multiplications: 0, hashed_bytes: bytes, read_bytes: bytes };
    }
    let num_variables = layout.num_variables();
    let Code { log_inv_rate, log_width } = Code::new(num_variables);
    let codeword = 1u64 << (num_variables + log_inv_rate);
    Work {
        multiplications: codeword / 2 * (num_variables - log_width) as u64,
        hashed_bytes: codeword * WORD + (codeword >> log_width) * 2 * DIGEST,
        read_bytes: codeword * WORD,
    }
}

/// Opening: every cell is multiplied by an element of the extension field, once, or sent.
pub fn open(layout: &Layout) -> Work {
    let cells = layout.cells() as u64;
    if layout.in_the_clear() {
        return Work { read_bytes: cells, ..Work::default() };
    }
    Work { multiplications: SCALE * cells, hashed_bytes: 0, read_bytes: WORD * cells }
}

/// The argument of an einsum or a view: every element read is multiplied by an element of the extension field, once.
pub fn node(graph: &Graph, op: &Op) -> Work {
    match op {
        Op::Einsum(_) | Op::View(_) => op.inputs().into_iter().map(|t| read(graph.tensor(t))).sum(),
        Op::Lookup(_) | Op::Advice(_) => Work::default(),
    }
}

fn read(tensor: &Tensor) -> Work {
    let elements = tensor.len() as u64;
    Work { multiplications: SCALE * elements, hashed_bytes: 0, read_bytes: bytes(tensor) }
}

/// In the narrowest integers.
fn bytes(tensor: &Tensor) -> u64 {
    let largest = tensor.hi.unsigned_abs().max(tensor.lo.unsigned_abs());
    let widths = [(1, i8::MAX as u64), (2, i16::MAX as u64), (4, i32::MAX as u64)];
    let width = widths.iter().find(|(_, most)| largest <= *most).map_or(8, |(width, _)| *width);
    width * tensor.len() as u64
}

/// The argument of a subgraph's lookups: one fraction for each limb looked up and each row of a table, added up with three
/// multiplications in the extension field each.
pub fn lookups(graph: &Graph, plan: &SubgraphPlan) -> Work {
    let looked_up = plan.lookups.iter().map(|lookup| {
        let input = graph.nodes[lookup.node as usize].op.inputs()[0];
        lookup.leaves() * graph.tensor(input).len()
    });
    let fractions = looked_up.chain([plan.table_rows()]).sum::<usize>() as u64;
    Work { multiplications: 3 * EXTENSION * fractions, hashed_bytes: 0, read_bytes: K_BYTES as u64 * fractions }
}

/// Setup: committing the weights.
pub fn setup(key: &ModelKey) -> Work {
    (0..key.partition().count).map(|subgraph| commit(&weight_layout(key, subgraph))).sum()
}

/// Execute: every tensor once through memory, and committing the boundary. Integer arithmetic is not counted.
pub fn execute(key: &ModelKey) -> Work {
    let read_bytes = key.graph().tensors.iter().map(bytes).sum();
    commit(&boundary_layout(key)) + Work { read_bytes, ..Work::default() }
}

/// Prove, all subgraphs: their arguments; committing and opening the witness; opening the weights.
pub fn prove(key: &ModelKey) -> Work {
    let subgraph = |(index, plan): (u32, &SubgraphPlan)| {
        let (graph, witness) = (key.graph(), Layout::new(&plan.column_shapes));
        let nodes: Work = plan.nodes.iter().map(|&n| node(graph, &graph.nodes[n as usize].op)).sum();
        nodes + lookups(graph, plan) + commit(&witness) + open(&witness) + open(&weight_layout(key, index))
    };
    (0..).zip(&key.plan().subgraphs).map(subgraph).sum()
}

/// Aggregate: opening the boundary.
pub fn aggregate(key: &ModelKey) -> Work {
    open(&boundary_layout(key))
}

/// Products of two or more operands' elements that the model's einsums add up.
pub fn multiply_adds(graph: &Graph) -> u64 {
    let einsums = graph.nodes.iter().filter_map(|node| if let Op::Einsum(e) = &node.op { Some(e) } else { None });
    let terms = einsums.flat_map(|einsum| einsum.terms.iter().map(move |term| (einsum, term)));
    let products = terms.filter(|(_, term)| term.operands.len() > 1).map(|(einsum, term)| {
        let used = |label: usize| term.operands.iter().any(|o| o.labels.contains(&(label as u8)));
        einsum.dims.iter().enumerate().filter(|(label, _)| used(*label)).map(|(_, &d)| d as u64).product::<u64>()
    });
    products.sum()
}
