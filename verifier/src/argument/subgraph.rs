//! One subgraph: its lookups, then its einsums and views from the outputs backwards.
//!
//! The transcript starts from the statement, the boundary commitment and the subgraph's index, so the proof is worthless
//! in any other job. It ends with openings of the weights and of the witness; claims on public and boundary tensors are
//! its result.

use super::ledger::{Ledger, PointValue};
use super::{Rejection, einsum, lookup, merge, view};
use crate::graph::{Op, TensorId};
use crate::key::ModelKey;
use crate::multilinear::num_variables;
use crate::transcript::{Digest, Reader, Transcript};
use alloc::vec::Vec;

/// Domain of a subgraph's transcript.
pub const DOMAIN: &str = "proofmill/subgraph/1";

/// Starts the transcript of a subgraph.
pub fn begin(
    transcript: &mut impl Transcript,
    key: &ModelKey,
    statement: Digest,
    boundary: Option<Digest>,
    subgraph: u32,
) {
    transcript.absorb("statement", &statement);
    transcript.absorb("boundary", boundary.as_ref().map_or(&[], |root| root));
    transcript.absorb("subgraph", &subgraph.to_le_bytes());
    let weights = key.weight_root(subgraph);
    transcript.absorb("weights", weights.as_ref().map_or(&[], |root| root));
}

/// Verifies everything but the openings: fills the ledger.
///
/// # Errors
/// If the prover's messages are malformed or an equation does not hold.
pub fn verify<'a>(transcript: &mut Reader, key: &'a ModelKey, subgraph: u32) -> Result<Ledger<'a>, Rejection> {
    let (graph, plan) = (key.graph(), &key.plan().subgraphs[subgraph as usize]);
    let mut ledger = Ledger::new(graph, plan);
    lookup::verify(transcript, &mut ledger)?;
    let mut definitions: Vec<(TensorId, PointValue)> = Vec::new();
    for &tensor in &plan.definitions {
        let point = transcript.challenges(num_variables(&graph.tensor(tensor).shape));
        transcript.charge("definitions", point.len() as u64);
        let claim = PointValue { point, value: transcript.read()? };
        ledger.tensor(tensor, claim.point.clone(), claim.value)?;
        definitions.push((tensor, claim));
    }
    for &node in plan.nodes.iter().rev() {
        let op = &graph.nodes[node as usize].op;
        let (Op::Einsum(_) | Op::View(_), Some(output)) = (op, op.output()) else { continue };
        let claim = match definitions.iter().position(|(t, _)| *t == output) {
            Some(place) => Some(definitions.swap_remove(place).1),
            None => merge::verify(transcript, graph.tensor(output), ledger.take(output))?,
        };
        // A tensor that nothing reads carries no claim.
        let Some(claim) = claim else { continue };
        match op {
            Op::Einsum(e) => einsum::verify(transcript, e, &claim, &mut ledger)?,
            Op::View(v) => {
                let input = view::verify(transcript, v, graph.tensor(v.input), graph.tensor(v.output), &claim)?;
                ledger.tensor(v.input, input.point, input.value)?;
            }
            Op::Lookup(_) | Op::Advice(_) => {}
        }
    }
    Ok(ledger)
}
