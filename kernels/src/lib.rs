//! Every hot loop of the prover and of the executor, once for the CPU and once for the GPU.

pub mod cpu;
mod device;
pub mod floor;
mod ints;

pub use cpu::Cpu;
pub use device::{Affine, Device, Factor, Fractions, MultiProof, Opened, Strided};
pub use ints::Ints;
