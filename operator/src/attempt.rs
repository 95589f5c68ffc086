//! One pod's attempt at a task, from the pod's status. The record in its termination message is untrusted: parsed strictly.

use crds::contract::{FailureKind, LOST_EXIT_CODE, ResultRecord};
use k8s_openapi::{
    api::core::v1::{ContainerStateTerminated, Pod},
    jiff::Timestamp,
};

use crate::names;

/// The exit code of a process that was killed at once.
const KILLED: i32 = 137;

/// A pod that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Its position in an Indexed Job.
    pub index: Option<u32>,
    /// Its container's exit code.
    pub exit_code: i32,
    /// Killed for memory.
    pub out_of_memory: bool,
    /// Preempted, evicted or drained: no fault of its own.
    pub disrupted: bool,
    /// What it said.
    pub record: Result<ResultRecord, String>,
    /// When the pod was made.
    pub created: Option<Timestamp>,
    /// When its container was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

impl Attempt {
    /// Reads a pod; `None` if it has not ended, or its container never ran.
    pub fn read(pod: &Pod) -> Option<Self> {
        let status = pod.status.as_ref()?;
        let container =
            status.container_statuses.as_ref()?.iter().find(|container| container.name == names::CONTAINER)?;
        let ended: &ContainerStateTerminated = container.state.as_ref()?.terminated.as_ref()?;
        let index = pod
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get("batch.kubernetes.io/job-completion-index")?.parse().ok());
        let disrupted = status
            .conditions
            .as_ref()
            .is_some_and(|conditions| conditions.iter().any(|c| c.type_ == "DisruptionTarget" && c.status == "True"));
        let record = match ended.message.as_deref() {
            None | Some("") => Err("left no result record".to_owned()),
            Some(message) => ResultRecord::from_json(message.as_bytes()).map_err(|error| error.to_string()),
        };
        Some(Self {
            index,
            exit_code: ended.exit_code,
            out_of_memory: ended.reason.as_deref() == Some("OOMKilled"),
            disrupted,
            record,
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            started: ended.started_at.as_ref().map(|time| time.0),
            finished: ended.finished_at.as_ref().map(|time| time.0),
        })
    }

    /// What the exit code says.
    ///
    /// # Errors
    /// The kind of failure.
    pub const fn outcome(&self) -> Result<(), FailureKind> {
        FailureKind::of_exit_code(Some(self.exit_code))
    }

    /// Whether more memory might help: an exit code that says "killed" is one for memory, unless the pod was disrupted.
    pub const fn was_killed(&self) -> bool {
        self.out_of_memory || (self.exit_code == KILLED && !self.disrupted)
    }

    /// Whether another task has to be done again first.
    pub fn is_loss(&self) -> bool {
        self.exit_code == i32::from(LOST_EXIT_CODE)
    }
}
