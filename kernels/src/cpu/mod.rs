//! The loops on the CPU: all cores, plain slices.

mod contract;
mod fractions;
mod product;

pub use contract::{contract, contract_ints, lift};
pub use fractions::{FractionLayer, FractionRounds, FractionTree, halve};
pub use product::{Factor, Product};

/// Work items (field multiplications, roughly) below which a loop stays on one thread.
const PARALLEL_FROM: usize = 1 << 12;
