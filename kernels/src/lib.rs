//! Every hot loop of the prover and of the executor, once for the CPU and once for the GPU.

pub mod bench;
pub mod cpu;
pub mod cuda;
pub mod dense;
mod device;
mod dual;
mod error;
pub mod floor;
mod integers;
mod ints;
pub mod sumcheck;
mod usage;

pub use cpu::Cpu;
pub use cuda::Cuda;
pub use device::{Affine, Device, MultiProof, Opened, Strided};
pub use dual::Dual;
pub use error::{DeviceError, attempt};
pub use integers::{Forbidden, IntegerDevice, Part, Summand};
pub use ints::Ints;
pub use sumcheck::{Cells, Children, Factor, Fractions, Layer, Product, Reduced};
pub use usage::{DeviceUsage, KernelUsage};
