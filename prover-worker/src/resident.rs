//! Job after job of one model in one process, its weights and what commits to them on the device all the time. The stages do the same,
//! each in a process of its own and through the store.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crds::Digest;
use kernels::{Device, DeviceError};
use prover::{Committed, Job, ProveError, Values};
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
    /// Bytes that a job may take with the commitments that are kept.
    room: u64,
    /// The subgraphs' weights, committed by the first job that there was room for.
    weights: BTreeMap<u32, Committed<D>>,
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
    /// Loads what setup made. A job commits to the weights anew if, by [`prover::memory`], it would otherwise take more than `room` bytes
    /// with all that is kept; so do all from the first one for which the device turns out to have too little.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn load(device: &'a D, store: &Store, setup: Digest, room: u64) -> Result<Self, StageError> {
        let loaded = kernels::attempt(|| Loaded::load(device, store, setup))??;
        Ok(Self { device, loaded, room, weights: BTreeMap::new() })
    }

    /// Proves what the model gives for an input file, which may have several inputs.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn prove(&mut self, input: &[u8]) -> Result<Proved, StageError> {
        match kernels::attempt(|| self.attempt(input)) {
            Err(DeviceError::Memory { .. } | DeviceError::HostMemory { .. }) if !self.weights.is_empty() => {
                self.room = 0;
                self.weights.clear();
                kernels::attempt(|| self.attempt(input))?
            }
            result => result?,
        }
    }

    fn attempt(&mut self, input: &[u8]) -> Result<Proved, StageError> {
        let (device, begun) = (self.device, Instant::now());
        let inputs = parse("input", input)?;
        let Ran { key, values, statement, boundary, .. } = self.loaded.run(device, "input", inputs, false)?;
        let executed = Instant::now();
        let job = Job { key: &key, statement: statement.digest(&key), boundary: boundary.root };
        let keeps =
            prover::memory::weights(&key) + prover::memory::prove(&key).into_iter().max().unwrap_or(0) <= self.room;
        let prove = |subgraph| {
            let weights = if keeps { self.weights(&key, subgraph, &values)? } else { None };
            prover::prove(device, job, subgraph, &values, weights)
        };
        let parts = (0..key.partition().count).map(prove).collect::<Result<Vec<_>, _>>();
        let parts = parts.map_err(StageError::deterministic)?;
        let proved = Instant::now();
        let proof = prover::aggregate(device, &key, statement, &boundary, parts).map_err(StageError::deterministic)?;
        Ok(Proved { proof, execute: executed - begun, prove: proved - executed, aggregate: proved.elapsed(), key })
    }

    /// The committed weights of a subgraph, if it has any. Those of a batch are a single inference's.
    fn weights(
        &mut self,
        key: &ModelKey,
        subgraph: u32,
        values: &Values<D>,
    ) -> Result<Option<&Committed<D>>, ProveError> {
        if !self.weights.contains_key(&subgraph)
            && let Some(committed) = prover::commit_weights(self.device, key, subgraph, values)?
        {
            self.weights.insert(subgraph, committed);
        }
        Ok(self.weights.get(&subgraph))
    }
}
