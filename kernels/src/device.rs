//! The seam between the prover's steps and the machine that does them.

/// Where hot loops run.
pub trait Device: Sync {}

/// The processor: all cores, SIMD where it pays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

impl Device for Cpu {}
