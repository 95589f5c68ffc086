//! Proving: witnesses, arguments, openings and their aggregation, over a device. No files, no network.

mod aggregate;
pub mod argument;
mod boundary;
mod columns;
pub mod commitment;
pub mod floor;
mod instance;
pub mod memory;
mod prove;
mod setup;
mod values;

pub use aggregate::{AggregateError, aggregate};
pub use boundary::{Boundary, MissingTensor, commit_boundary};
pub use columns::{Leaf, LookupColumns, Witness};
pub use commitment::Committed;
pub use instance::Instance;
pub use prove::{Job, ProveError, commit_weights, prove, prove_witness};
pub use setup::{SetupError, Weights, check_security, setup};
pub use values::{Values, upload};
