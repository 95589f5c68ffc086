//! The API: the `ProofJob` and `ProofModel` resources with their validation rules, and the contract between a stage and whoever starts it.
//!
//! `proofjobs.yaml` and `proofmodels.yaml` beside this crate are generated from these types (`cargo run -p proofmill-crds`).

pub mod contract;
mod definition;
mod digest;
mod indexes;
pub mod manifest;
mod memory;
mod pod;
mod proofjob;
mod proofmodel;
pub mod source;
mod status;
mod store;
mod subgraphs;
mod temperature;
mod visibility;

pub use definition::{definitions, yaml};
pub use digest::{Digest, DigestError};
pub use indexes::{Indexes, IndexesError};
pub use memory::{MEMORY_NEEDS_MAX, MemoryNeed, memory_need, memory_needs};
pub use pod::{PodOverrides, StageOverrides};
pub use proofjob::{
    Device, Format, InputSource, MANAGER, Model, Partition, ProofJob, ProofJobSpec, SecurityBits, Tokens,
};
pub use proofmodel::{ProofModel, ProofModelSpec, ProofModelStatus};
pub use status::{
    Drawn, Failure, ModelIdentity, Output, Proof, ProofJobStatus, Result, StageStatus, Stages, SubgraphCounts,
    condition, limits, phase, reason,
};
pub use store::{Named, Store};
pub use subgraphs::{Subgraphs, SubgraphsError};
pub use temperature::{Temperature, TemperatureError};
pub use visibility::{Visibility, Visible};
