//! The API: the `ProofJob` resource with its validation rules, and the contract between a stage and whoever starts it.
//!
//! `proofjobs.yaml` beside this crate is generated from these types (`cargo run -p proofmill-crds > crds/proofjobs.yaml`).

pub mod contract;
mod digest;
pub mod manifest;
mod proofjob;
mod status;
mod subgraphs;

pub use digest::{Digest, DigestError};
pub use proofjob::{Device, Format, InputSource, Model, Partition, ProofJob, ProofJobSpec, SecurityBits};
pub use status::{
    Failure, Output, Proof, ProofJobStatus, Result, StageTimes, Stages, SubgraphCounts, condition, limits, phase,
    reason,
};
pub use subgraphs::{Subgraphs, SubgraphsError};
