//! The loops on the CPU: all cores, plain slices.

mod contract;
mod device;
mod encode;
mod fractions;
mod product;
mod quadratic;
mod weights;

pub use contract::{contract, contract_ints, lift};
pub use device::Cpu;
pub use fractions::{FractionLayer, FractionRounds, FractionTree, halve};
pub use product::{Factor, Product};
pub use quadratic::{fold, round};

/// Work items (field multiplications, roughly) below which a loop stays on one thread.
const PARALLEL_FROM: usize = 1 << 12;
