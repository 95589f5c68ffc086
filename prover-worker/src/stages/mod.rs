//! The four stages, each from the artifacts that it reads to the artifact that it writes.

mod aggregate;
mod execute;
mod load;
mod prove;
mod setup;

use crds::{
    Digest,
    contract::{ArtifactRef, StageArgs},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    StageError,
    store::{Store, StoreError},
};

/// A stage that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it made: a manifest, or for `prove` the subgraph's proof.
    pub artifact: ArtifactRef,
    /// Whether that was there already.
    pub reused: bool,
}

/// Runs a stage, unless its artifact exists.
///
/// # Errors
/// See [`StageError`].
pub fn run_stage(store: &Store, stage: &StageArgs) -> Result<Finished, StageError> {
    match stage {
        StageArgs::Setup(args) => setup::run(store, args),
        StageArgs::Execute(args) => execute::run(store, args),
        StageArgs::Prove(args) => prove::run(store, args),
        StageArgs::Aggregate(args) => aggregate::run(store, args),
    }
}

/// The artifact of this identity, if it and all that it lists are whole; else the one that `make` makes.
fn once<M: Parts>(
    store: &Store,
    identity: Digest,
    make: impl FnOnce() -> Result<M, StageError>,
) -> Result<Finished, StageError> {
    if let Some(artifact) = store.find(identity)?
        && is_whole::<M>(store, artifact)?
    {
        return Ok(Finished { artifact, reused: true });
    }
    let artifact = store.put(make()?.to_bytes())?;
    store.bind(identity, artifact)?;
    Ok(Finished { artifact, reused: false })
}

fn is_whole<M: Parts>(store: &Store, artifact: ArtifactRef) -> Result<bool, StageError> {
    let read = |digest| match store.get(digest) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_loss() => Ok(None),
        Err(error) => Err(StageError::from(error)),
    };
    let Some(parts) = read(artifact.digest)?.and_then(|bytes| M::parts(&bytes)) else { return Ok(false) };
    for part in parts {
        if read(part.digest)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An artifact that a stage makes, and the artifacts that it lists.
trait Parts {
    fn to_bytes(&self) -> Vec<u8>;
    /// What the artifact with these bytes lists; `None` if it is not one.
    fn parts(bytes: &[u8]) -> Option<Vec<ArtifactRef>>;
}

/// A manifest lists its parts by name.
trait Manifest: Serialize + DeserializeOwned {
    fn listed(&self) -> Vec<ArtifactRef>;
}

impl<M: Manifest> Parts for M {
    fn to_bytes(&self) -> Vec<u8> {
        // Strings, integers and finite floats: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn parts(bytes: &[u8]) -> Option<Vec<ArtifactRef>> {
        serde_json::from_slice::<M>(bytes).ok().map(|manifest| manifest.listed())
    }
}

/// A subgraph's proof lists nothing.
struct SubgraphProof(Vec<u8>);

impl Parts for SubgraphProof {
    fn to_bytes(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn parts(_: &[u8]) -> Option<Vec<ArtifactRef>> {
        Some(vec![])
    }
}

/// Stores a part in the project's binary encoding.
fn put_encoded(store: &Store, value: &impl Serialize) -> Result<ArtifactRef, StoreError> {
    // Serialising plain data into a growing vector cannot fail.
    store.put(postcard::to_extend(value, Vec::new()).unwrap_or_default())
}
