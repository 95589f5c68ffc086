//! Every hot loop of the prover and of the executor, once for the CPU and once for the GPU.

pub mod cpu;
mod device;
mod ints;

pub use device::{Cpu, Device};
pub use ints::Ints;
