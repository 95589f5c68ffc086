//! Aggregate: all subgraphs' proofs in, the one proof out, verified as anybody would verify it.

use crds::{
    Digest,
    contract::{AggregateArgs, ArtifactRef, ProofManifest, Stage, Summary, Task},
};
use kernels::Device;
use prover::AggregateError;

use super::{Finished, Manifest, load::Executed, once};
use crate::{
    StageError,
    identity::{identity, of_subgraph},
    store::Store,
};

pub(super) fn run<D: Device>(device: &D, store: &Store, args: &AggregateArgs) -> Result<Finished, StageError> {
    once(store, identity(Stage::Aggregate, &[&args.execution.0]), || {
        let Executed { manifest, prepared, statement, boundary } = Executed::load(store, args.execution)?;
        let proofs = (0..manifest.subgraphs).map(|subgraph| subgraph_proof(store, args.execution, subgraph));
        let proofs = proofs.collect::<Result<Vec<_>, _>>()?;
        tracing::info!("aggregates {} proofs", proofs.len());
        let proof = prover::aggregate(device, &prepared.key, statement, &boundary, proofs)
            .map_err(|error| blame(store, args.execution, &error))?;
        tracing::info!("verifies the proof, of {} bytes", proof.len());
        let verified = verifier::verify(&prepared.key, &proof)
            .map_err(|error| StageError::deterministic(format!("the finished proof is rejected: {error}")))?;
        Ok(ProofManifest {
            execution: args.execution,
            proof: store.put(proof)?,
            key: prepared.manifest.key,
            soundness_bits: verified.soundness.total_bits.floor() as u32,
        })
    })
}

fn subgraph_proof(store: &Store, execution: Digest, subgraph: u32) -> Result<Vec<u8>, StageError> {
    let lost = |error: &dyn ToString| StageError::lost(Task::Prove { subgraph }, error.to_string());
    let found = store.find(of_subgraph(execution, subgraph))?;
    let artifact = found.ok_or_else(|| lost(&format!("the proof of subgraph {subgraph} is missing")))?;
    store.get(artifact.digest).map_err(|error| if error.is_loss() { lost(&error) } else { error.into() })
}

/// A rejected subgraph's proof is forgotten, so that proving it again does not find it.
fn blame(store: &Store, execution: Digest, error: &AggregateError) -> StageError {
    let AggregateError::Subgraph { subgraph, .. } = error else { return StageError::deterministic(error) };
    match store.unbind(of_subgraph(execution, *subgraph)) {
        Ok(()) => StageError::lost(Task::Prove { subgraph: *subgraph }, error),
        Err(unreachable) => unreachable.into(),
    }
}

impl Manifest for ProofManifest {
    fn listed(&self) -> Vec<ArtifactRef> {
        vec![self.proof, self.key]
    }

    fn summary(&self) -> Summary {
        Summary::Proof { proof: self.proof, soundness_bits: self.soundness_bits }
    }
}
