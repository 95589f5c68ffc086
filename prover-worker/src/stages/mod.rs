//! The four stages, each from the artifacts that it reads to the artifact that it writes.

mod aggregate;
pub(crate) mod execute;
mod load;
mod prove;
mod setup;

use crds::{
    Digest, Subgraphs,
    contract::{ArtifactRef, StageArgs, Summary},
};
use kernels::{Cpu, Device};
use model::Model;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    StageError,
    store::{Store, StoreError},
};

/// A stage that is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What it made: a manifest, or for `prove` the subgraph's proof.
    pub artifact: ArtifactRef,
    /// Whether that was there already.
    pub reused: bool,
    /// What there is to say of it.
    pub summary: Summary,
}

/// Runs a stage on a device, unless its artifact exists.
///
/// # Errors
/// See [`StageError`].
pub fn run_stage<D: Device>(device: &D, store: &Store, stage: &StageArgs) -> Result<Finished, StageError> {
    let run = || match stage {
        StageArgs::Setup(args) => setup::run(device, store, args),
        StageArgs::Execute(args) => execute::run(device, store, args),
        StageArgs::Prove(args) => prove::run(device, store, args),
        StageArgs::Aggregate(args) => aggregate::run(device, store, args),
    };
    kernels::attempt(run).map_err(StageError::from)?
}

/// Sets up on the CPU a model that is in memory and has no tokenizer, and stores what setup makes.
///
/// # Errors
/// See [`StageError`].
pub fn set_up(
    store: &Store,
    model: Model,
    subgraphs: Subgraphs,
    security_bits: u32,
) -> Result<ArtifactRef, StageError> {
    let made = setup::make(&Cpu, store, model, None, subgraphs, setup::security(security_bits)?)?;
    Ok(store.put(Artifact::to_bytes(&made))?)
}

/// The artifact of this identity, if it and all that it lists are whole; else the one that `make` makes.
fn once<A: Artifact>(
    store: &Store,
    identity: Digest,
    make: impl FnOnce() -> Result<A, StageError>,
) -> Result<Finished, StageError> {
    if let Some(artifact) = store.find(identity)?
        && let Some(made) = whole::<A>(store, artifact)?
    {
        tracing::info!("found in the store, made before: {} of {} bytes", artifact.digest, artifact.bytes);
        return Ok(Finished { artifact, reused: true, summary: made.summary() });
    }
    let made = make()?;
    let artifact = store.put(made.to_bytes())?;
    store.bind(identity, artifact)?;
    tracing::info!("stored: {} of {} bytes", artifact.digest, artifact.bytes);
    Ok(Finished { artifact, reused: false, summary: made.summary() })
}

/// The artifact, unless it or one that it lists is lost.
fn whole<A: Artifact>(store: &Store, artifact: ArtifactRef) -> Result<Option<A>, StageError> {
    let read = |digest| match store.get(digest) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_loss() => Ok(None),
        Err(error) => Err(StageError::from(error)),
    };
    let Some(made) = read(artifact.digest)?.and_then(A::from_bytes) else { return Ok(None) };
    for part in made.listed() {
        if read(part.digest)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(made))
}

/// What a stage makes.
trait Artifact: Sized {
    fn to_bytes(&self) -> Vec<u8>;
    /// `None` if the bytes are not such an artifact.
    fn from_bytes(bytes: Vec<u8>) -> Option<Self>;
    /// The artifacts that belong to it.
    fn listed(&self) -> Vec<ArtifactRef>;
    fn summary(&self) -> Summary;
}

/// An artifact of JSON that lists others.
trait Manifest: Serialize + DeserializeOwned {
    fn listed(&self) -> Vec<ArtifactRef>;
    fn summary(&self) -> Summary;
}

impl<M: Manifest> Artifact for M {
    fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and finite floats: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }

    fn listed(&self) -> Vec<ArtifactRef> {
        Manifest::listed(self)
    }

    fn summary(&self) -> Summary {
        Manifest::summary(self)
    }
}

/// A subgraph's proof.
struct SubgraphProof(Vec<u8>);

impl Artifact for SubgraphProof {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        Some(Self(bytes))
    }

    fn listed(&self) -> Vec<ArtifactRef> {
        vec![]
    }

    fn summary(&self) -> Summary {
        Summary::Subgraph {}
    }
}

/// Stores a part in the project's binary encoding.
fn put_encoded(store: &Store, value: &impl Serialize) -> Result<ArtifactRef, StoreError> {
    // Serialising plain data into a growing vector cannot fail.
    store.put(postcard::to_extend(value, Vec::new()).unwrap_or_default())
}
