//! Reading what earlier stages made. What is missing or corrupt is lost: its stage has to run again.

use crds::{
    Digest,
    contract::{ArtifactRef, ExecutionManifest, SetupManifest, Task},
};
use formats::Tokenizer;
use kernels::IntegerDevice;
use prover::{Boundary, Values, Weights};
use serde::de::DeserializeOwned;
use verifier::{
    key::ModelKey,
    sampling::Sampling,
    statement::{Inference, Statement},
};

use crate::{StageError, store::Store};

const SETUP: Task = Task::Setup {};
const EXECUTE: Task = Task::Execute {};

/// How a statement is stored: inputs, outputs and sampling of every inference.
pub(super) type Stored = Vec<(Vec<Vec<i64>>, Vec<Vec<i64>>, Option<Sampling>)>;

/// A model that has been set up.
pub(super) struct Prepared {
    pub manifest: SetupManifest,
    pub key: ModelKey,
}

/// A model that has been run.
pub(super) struct Executed {
    pub manifest: ExecutionManifest,
    /// With the key for as many inferences as were made.
    pub prepared: Prepared,
    pub statement: Statement,
    pub boundary: Boundary,
}

impl Prepared {
    pub fn load(store: &Store, setup: Digest) -> Result<Self, StageError> {
        tracing::info!("reads what setup made: {setup}");
        let manifest: SetupManifest = json(&bytes(store, SETUP, setup)?)?;
        let key =
            ModelKey::from_bytes(&bytes(store, SETUP, manifest.key.digest)?).map_err(StageError::wrong_version)?;
        if Digest(key.commitment()) != manifest.commitment || key.plan().subgraphs.len() != manifest.weights.len() {
            return Err(StageError::wrong_version("the model key is not the one that setup's manifest names"));
        }
        Ok(Self { manifest, key })
    }

    /// The weights of one subgraph.
    pub fn weights(&self, store: &Store, subgraph: usize) -> Result<Weights, StageError> {
        let artifact = self.manifest.weights.get(subgraph).ok_or_else(|| {
            let count = self.manifest.weights.len();
            StageError::deterministic(format!("there is no subgraph {subgraph}: the partition has {count}"))
        })?;
        encoded(store, SETUP, *artifact)
    }

    /// The weights of all subgraphs.
    pub fn all_weights(&self, store: &Store) -> Result<Weights, StageError> {
        let mut all = Weights::new();
        for subgraph in 0..self.manifest.weights.len() {
            all.extend(self.weights(store, subgraph)?);
        }
        Ok(all)
    }

    /// The tokenizer, if the model has one.
    pub fn tokenizer(&self, store: &Store) -> Result<Option<Tokenizer>, StageError> {
        let Some(artifact) = self.manifest.tokenizer else { return Ok(None) };
        let bytes = bytes(store, SETUP, artifact.digest)?;
        Tokenizer::from_bytes("tokenizer", &bytes).map(Some).map_err(StageError::wrong_version)
    }

    /// Values for every tensor of the graph, none of them known yet.
    pub fn no_values<D: IntegerDevice>(&self) -> Values<D> {
        vec![None; self.key.graph().tensors.len()]
    }
}

impl Executed {
    pub fn load(store: &Store, execution: Digest) -> Result<Self, StageError> {
        tracing::info!("reads what execute made: {execution}");
        let manifest: ExecutionManifest = json(&bytes(store, EXECUTE, execution)?)?;
        let mut prepared = Prepared::load(store, manifest.setup)?;
        let statement: Stored = encoded(store, EXECUTE, manifest.statement)?;
        let inferences =
            statement.into_iter().map(|(inputs, outputs, sampling)| Inference { inputs, outputs, sampling });
        let statement = Statement { inferences: inferences.collect() };
        prepared.key = prepared.key.for_batch(statement.inferences.len()).map_err(StageError::wrong_version)?;
        statement.check(&prepared.key).map_err(StageError::wrong_version)?;
        let boundary = encoded(store, EXECUTE, manifest.boundary)?;
        Ok(Self { manifest, prepared, statement, boundary })
    }
}

fn bytes(store: &Store, made_by: Task, digest: Digest) -> Result<Vec<u8>, StageError> {
    store.get(digest).map_err(|error| if error.is_loss() { StageError::lost(made_by, error) } else { error.into() })
}

/// The digest fits, so the bytes are as they were written: what does not parse was written by another version.
fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StageError> {
    serde_json::from_slice(bytes)
        .map_err(|error| StageError::wrong_version(format!("a manifest of another version: {error}")))
}

fn encoded<T: DeserializeOwned>(store: &Store, made_by: Task, artifact: ArtifactRef) -> Result<T, StageError> {
    postcard::from_bytes(&bytes(store, made_by, artifact.digest)?)
        .map_err(|error| StageError::wrong_version(format!("an artifact of another version: {error}")))
}
