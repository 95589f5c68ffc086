//! Job after job of one model in one process, its weights on the device all the time. The stages do the same, each in a process of its
//! own and through the store.

use std::time::{Duration, Instant};

use crds::Digest;
use kernels::Device;
use verifier::key::ModelKey;

use crate::{
    StageError,
    stages::execute::{Loaded, Ran, parse},
    store::Store,
};

/// A model that is ready to be run and proved.
pub struct Resident<'a, D: Device> {
    device: &'a D,
    loaded: Loaded<D>,
}

/// A proof, and what it took.
pub struct Proved {
    /// The proof's bytes.
    pub proof: Vec<u8>,
    /// The key that it is verified by, of as many inferences as there are inputs.
    pub key: ModelKey,
    /// Running the model and committing to the boundary.
    pub execute: Duration,
    /// Proving all subgraphs.
    pub prove: Duration,
    /// Checking those proofs and making the one.
    pub aggregate: Duration,
}

impl<'a, D: Device> Resident<'a, D> {
    /// Loads what setup made.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn load(device: &'a D, store: &Store, setup: Digest) -> Result<Self, StageError> {
        kernels::attempt(|| Loaded::load(device, store, setup))?.map(|loaded| Self { device, loaded })
    }

    /// Proves what the model gives for an input file, which may have several inputs.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn prove(&self, input: &[u8]) -> Result<Proved, StageError> {
        kernels::attempt(|| self.attempt(input))?
    }

    fn attempt(&self, input: &[u8]) -> Result<Proved, StageError> {
        let (device, begun) = (self.device, Instant::now());
        let inputs = parse("input", input)?;
        let Ran { key, values, statement, boundary, .. } = self.loaded.run(device, "input", inputs, false)?;
        let executed = Instant::now();
        let (digest, subgraphs) = (statement.digest(&key), 0..key.partition().count);
        let prove = |subgraph| prover::prove(device, &key, digest, boundary.root, subgraph, &values);
        let parts = subgraphs.map(prove).collect::<Result<Vec<_>, _>>().map_err(StageError::deterministic)?;
        let proved = Instant::now();
        let proof = prover::aggregate(device, &key, statement, &boundary, parts).map_err(StageError::deterministic)?;
        Ok(Proved { proof, execute: executed - begun, prove: proved - executed, aggregate: proved.elapsed(), key })
    }
}
