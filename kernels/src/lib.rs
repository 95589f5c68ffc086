//! Every hot loop of the prover and of the executor, once for the CPU and once for the GPU.

pub mod cpu;
mod ints;

pub use ints::Ints;
