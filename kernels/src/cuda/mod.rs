//! The loops on an NVIDIA GPU. The driver is loaded at run time, so one binary serves machines with and without one.
//!
//! `kernels/cuda/*.cu` has the kernels, under the names that the CPU's files have; their images are part of the binary. Everything is
//! queued on one stream, but for large copies to the device; only results that the caller sees wait for it.

#![allow(unsafe_code, reason = "calls of the driver")]
#![deny(clippy::undocumented_unsafe_blocks)]

mod contract;
mod device;
mod einsum;
#[cfg(feature = "emulator")]
pub mod emulator;
mod encode;
mod evict;
mod fractions;
mod gauges;
mod gpu;
mod images;
mod integers;
mod launch;
mod placed;
mod product;
mod quadratic;
mod rates;
mod staging;
mod tensor;
#[cfg(test)]
mod tests;
mod transcript;
mod tree;
mod vectors;
mod weights;

pub use device::Cuda;
pub(crate) use rates::Filling;
pub use tree::Tree;
pub use vectors::{Elements, Integers, Words};
