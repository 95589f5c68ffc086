//! Proving one subgraph: values, witness, argument, openings.

use crate::argument::subgraph;
use crate::commitment::{Claimed, Committed, OpenError, commit, open};
use crate::{Values, Witness};
use kernels::Device;
use thiserror::Error;
use verifier::argument::Rejection;
use verifier::argument::subgraph::{DOMAIN, begin};
use verifier::commitment::Layout;
use verifier::graph::TensorId;
use verifier::key::ModelKey;
use verifier::plan::SubgraphPlan;
use verifier::transcript::{Digest, Writer};
use verifier::{opening_target, placed, weight_layout};

/// Why a subgraph cannot be proved.
#[derive(Debug, Error)]
pub enum ProveError {
    /// No such subgraph.
    #[error("there is no subgraph {index}: the partition has {count}")]
    Subgraph {
        /// Asked for.
        index: u32,
        /// In the partition.
        count: usize,
    },
    /// A tensor of the subgraph has no values, or the wrong number.
    #[error("tensor '{0}' of the subgraph has no values of its shape")]
    Missing(String),
    /// The values contradict each other.
    #[error("the values are not a run of the model: {0}")]
    Values(#[from] Rejection),
    /// What was committed before is not the subgraph's.
    #[error("the committed weights are not those of subgraph {0} in the model key: commit them again")]
    Weights(u32),
    /// An opening cannot be made.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What every subgraph's proof is bound to, besides its subgraph.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The model.
    pub key: &'a ModelKey,
    /// Digest of the statement.
    pub statement: Digest,
    /// Root of the boundary tensors, if there are any.
    pub boundary: Option<Digest>,
}

/// Commits the weights of a subgraph, for as many proofs of it as there are to be; nothing if it has none.
///
/// # Errors
/// If there is no such subgraph, or a weight has no values.
pub fn commit_weights<D: Device>(
    device: &D,
    key: &ModelKey,
    index: u32,
    values: &Values<D>,
) -> Result<Option<Committed<D>>, ProveError> {
    let plan = check(device, key, index, values)?;
    Ok(committed_weights(device, key, index, plan, values))
}

/// Proves one subgraph from the values of all its tensors. `weights` are what [`commit_weights`] gave; without them they are committed
/// here, after the argument, when there is more memory for it.
///
/// # Errors
/// If values are missing or contradict each other, or `weights` are not the key's. Values that break the relation without contradiction
/// give a proof that no verifier accepts.
pub fn prove<D: Device>(
    device: &D,
    job: Job,
    index: u32,
    values: &Values<D>,
    weights: Option<&Committed<D>>,
) -> Result<Vec<u8>, ProveError> {
    let plan = check(device, job.key, index, values)?;
    let witness = Witness::new(device, job.key.graph(), plan, values);
    prove_witness(device, job, index, values, weights, &witness)
}

/// As [`prove`], with the witness given.
///
/// # Errors
/// As [`prove`].
pub fn prove_witness<D: Device>(
    device: &D,
    job: Job,
    index: u32,
    values: &Values<D>,
    weights: Option<&Committed<D>>,
    witness: &Witness<D::Integers>,
) -> Result<Vec<u8>, ProveError> {
    let Job { key, statement, boundary } = job;
    let plan = check(device, key, index, values)?;
    if weights.is_some_and(|committed| Some(committed.root) != key.weight_root(index)) {
        return Err(ProveError::Weights(index));
    }
    let mut transcript = Writer::new(DOMAIN);
    begin(&mut transcript, key, statement, boundary, index);
    let witness_layout = Layout::new(&plan.column_shapes);
    let committed = (!plan.columns.is_empty())
        .then(|| commit(device, &witness_layout, &witness.columns(device, plan, values)))
        .inspect(|c| transcript.write_digest(c.root));
    let ledger = subgraph::prove(device, &mut transcript, key, index, values, witness)?;
    let (weight_claims, witness_claims) = (placed(&ledger.weights), placed(&ledger.witness));
    let weight_layout = weight_layout(key, index);
    let committed_here = weights.is_none().then(|| committed_weights(device, key, index, plan, values)).flatten();
    let weights = weights.or(committed_here.as_ref()).map(|committed| Claimed {
        committed,
        layout: &weight_layout,
        claims: &weight_claims,
    });
    let witness =
        committed.as_ref().map(|committed| Claimed { committed, layout: &witness_layout, claims: &witness_claims });
    let opened: Vec<_> = weights.into_iter().chain(witness).collect();
    open(device, &opened, opening_target(key), &mut transcript)?;
    Ok(transcript.finish())
}

/// As [`commit_weights`], for a subgraph whose tensors have been checked.
fn committed_weights<D: Device>(
    device: &D,
    key: &ModelKey,
    index: u32,
    plan: &SubgraphPlan,
    values: &Values<D>,
) -> Option<Committed<D>> {
    let held: Vec<&D::Integers> = plan.weights.iter().filter_map(|tensor| values[tensor.index()].as_ref()).collect();
    (!held.is_empty()).then(|| commit(device, &weight_layout(key, index), &held))
}

/// Checks that every tensor that the subgraph touches has values of its shape.
fn check<'a, D: Device>(
    device: &D,
    key: &'a ModelKey,
    index: u32,
    values: &Values<D>,
) -> Result<&'a SubgraphPlan, ProveError> {
    let count = key.plan().subgraphs.len();
    let plan = key.plan().subgraphs.get(index as usize).ok_or(ProveError::Subgraph { index, count })?;
    let graph = key.graph();
    let tensors = plan.nodes.iter().flat_map(|&n| {
        let op = &graph.nodes[n as usize].op;
        op.inputs().into_iter().chain(op.output())
    });
    for tensor in tensors {
        let held = |t: TensorId| values.get(t.index()).and_then(Option::as_ref).map(|v| device.count(v));
        if held(tensor) != Some(graph.tensor(tensor).len()) {
            return Err(ProveError::Missing(graph.tensor(tensor).name.clone()));
        }
    }
    Ok(plan)
}
