//! The loops on the CPU: all cores, plain slices.

mod affine;
mod contract;
mod device;
mod encode;
mod fractions;
mod integers;
mod product;
mod quadratic;
mod rows;
mod weights;

pub use device::Cpu;
pub use quadratic::{fold, round};

/// Work items (field multiplications, roughly) below which a loop stays on one thread.
const PARALLEL_FROM: usize = 1 << 12;
