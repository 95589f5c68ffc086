//! One primitive by itself, at a given size: what a benchmark measures.

use kernels::Device;
use kernels::floor::Work;
use thiserror::Error;

/// A statement with its witness; making one is no part of what is measured.
pub trait Instance<D: Device> {
    /// What throughput counts, and how many of it there are.
    fn items(&self) -> (&'static str, u64);

    /// What no prover avoids.
    fn floor(&self) -> Work;

    /// Does the prover's work; returns its messages.
    fn prove(&self, device: &D) -> Vec<u8>;

    /// Does the verifier's work; a commitment alone has none.
    ///
    /// # Errors
    /// If the messages are rejected.
    fn verify(&self, proof: &[u8]) -> Result<(), InstanceError>;
}

/// What an instance's own proof was rejected for: a defect of the prover.
#[derive(Debug, Error)]
#[error("the instance's own proof is rejected: {0}")]
pub struct InstanceError(pub String);

/// Integers of 8 bits, pseudo-random and the same on every machine.
pub(crate) fn integers(count: usize, seed: u64) -> impl Iterator<Item = i64> {
    let mut state = seed;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::from((state >> 56) as i8)
    })
}
