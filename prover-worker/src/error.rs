//! Why a stage fails, in the contract's terms.

use crds::contract::{FailureKind, Task};
use kernels::DeviceError;

use crate::store::StoreError;

/// A stage's failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StageError {
    /// Whether another attempt may succeed.
    pub kind: FailureKind,
    /// For people: what to do.
    pub message: String,
    /// The task whose artifact has to be made again first.
    pub lost: Option<Task>,
}

impl StageError {
    /// Another attempt would fail in the same way.
    pub fn deterministic(error: impl ToString) -> Self {
        Self { kind: FailureKind::Deterministic, message: error.to_string(), lost: None }
    }

    /// What the job holds is of another version, or of another model.
    pub fn wrong_version(error: impl ToString) -> Self {
        Self { kind: FailureKind::WrongModelOrVersion, message: error.to_string(), lost: None }
    }

    /// An artifact of `task` has to be made again.
    pub fn lost(task: Task, error: impl ToString) -> Self {
        Self { kind: FailureKind::Retryable, message: error.to_string(), lost: Some(task) }
    }
}

impl From<DeviceError> for StageError {
    fn from(error: DeviceError) -> Self {
        let kind = if error.is_passing() { FailureKind::Retryable } else { FailureKind::Deterministic };
        Self { kind, message: error.to_string(), lost: None }
    }
}

impl From<StoreError> for StageError {
    fn from(error: StoreError) -> Self {
        let kind = if error.is_permanent() { FailureKind::Deterministic } else { FailureKind::Retryable };
        Self { kind, message: error.to_string(), lost: None }
    }
}
