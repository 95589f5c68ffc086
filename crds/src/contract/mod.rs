//! The stage contract: how a stage's process is told what to do, and how it says what became of it.
//!
//! `prover-worker --store URL (setup|execute|prove|aggregate) ..` ends with a [`FailureKind`]'s exit code or 0, and leaves
//! one [`ResultRecord`]. A stage is done when its artifact is in the store under its digest, whatever the record says.

mod args;
mod exit;
mod gpu;
mod manifests;
mod record;
mod task;

use crate::Digest;

pub use args::{AggregateArgs, COMPLETION_INDEX, ExecuteArgs, Processor, ProveArgs, SetupArgs, StageArgs, WorkerArgs};
pub use exit::{FailureKind, LOST_EXIT_CODE};
pub use gpu::{GpuUsage, KERNEL_FAMILIES, OTHER_KERNELS};
pub use manifests::{ExecutionManifest, ProofManifest, SetupManifest};
pub use record::{ArtifactRef, Outcome, RECORD_MAX_BYTES, RecordError, ResultRecord, Summary, Traffic, Usage};
pub use task::{Stage, Task};

/// Where in a store an artifact lies.
pub fn artifact_path(digest: Digest) -> String {
    format!("artifacts/{digest}")
}

/// The URL of an artifact in the store at a URL.
pub fn artifact_url(store: &str, digest: Digest) -> String {
    format!("{}/{}", store.trim_end_matches('/'), artifact_path(digest))
}

/// Version of the contract: part of every stage's identity, so that artifacts of another version are never reused.
pub const CONTRACT_VERSION: u32 = 2;
