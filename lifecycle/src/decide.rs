//! The decision: which tasks to start or stop, and the status.

use crds::{
    ProofJobSpec, ProofJobStatus,
    contract::{FailureKind, Task},
    reason,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    observed::{Observed, TaskState},
    status,
};

/// What an executor is to do. A task is named, never its process: starting one twice is the executor's to prevent by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Begin a task.
    Start(Task),
    /// End the process of a task whose outcome no longer matters.
    Stop(Task),
}

/// A status and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to publish.
    pub status: ProofJobStatus,
    /// What to do now, in order.
    pub effects: Vec<Effect>,
    /// When to decide again if nothing is observed before: the job's deadline, or the end of its time to live.
    pub wake: Option<Timestamp>,
    /// The job ended `spec.ttlSecondsAfterFinished` ago: it is to be deleted.
    pub expired: bool,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Running,
    Suspended,
    Succeeded,
    Failed { reason: &'static str, message: String },
}

impl Verdict {
    /// Whether it is the last.
    pub const fn has_ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. })
    }
}

/// Decides. `generation` is the spec's, `previous` the status last published (empty at first).
///
/// A status that has ended stays as it is, but for the generation; what still runs is stopped.
pub fn decide(
    spec: &ProofJobSpec,
    generation: Option<i64>,
    previous: &ProofJobStatus,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    let after = |start: Timestamp, seconds: Option<u32>| {
        seconds.and_then(|seconds| start.checked_add(SignedDuration::from_secs(seconds.into())).ok())
    };
    if status::has_ended(previous) {
        let status = ProofJobStatus { observed_generation: generation, ..previous.clone() };
        let ended = status.completion_time.as_ref().map_or(now, |time| time.0);
        let expiry = after(ended, spec.ttl_seconds_after_finished);
        let expired = expiry.is_some_and(|expiry| now >= expiry);
        return Decision { status, effects: stop_all(observed), wake: expiry.filter(|_| !expired), expired };
    }
    let start = previous.start_time.as_ref().map_or(now, |time| time.0);
    let deadline = after(start, spec.active_deadline_seconds);
    let verdict = judge(spec, observed, deadline, now);
    let running = verdict == Verdict::Running;
    let effects = if running { start_ready(spec, observed) } else { stop_all(observed) };
    let status = status::publish(spec, generation, previous, observed, &effects, &verdict, now);
    let expiry = status.completion_time.as_ref().and_then(|end| after(end.0, spec.ttl_seconds_after_finished));
    Decision { status, effects, wake: if running { deadline } else { expiry }, expired: false }
}

/// Whether a task will not be tried again, and why.
pub(crate) fn exhausted(spec: &ProofJobSpec, state: &TaskState) -> Option<&'static str> {
    let failure = state.failure.as_ref().filter(|_| !state.done)?;
    match failure.kind {
        FailureKind::Retryable => {
            state.given_up.or_else(|| (state.failures > spec.retries).then_some(reason::RETRIES_EXHAUSTED))
        }
        FailureKind::Deterministic => Some(reason::DETERMINISTIC_FAILURE),
        FailureKind::WrongModelOrVersion => Some(reason::WRONG_MODEL_OR_VERSION),
    }
}

/// A proof that exists ends the job well, whatever else happened; then failures count, then `suspend`, then the clock.
fn judge(spec: &ProofJobSpec, observed: &Observed, deadline: Option<Timestamp>, now: Timestamp) -> Verdict {
    if observed.task(Task::Aggregate {}).done {
        return Verdict::Succeeded;
    }
    if let Some(message) = observed.refusal() {
        return Verdict::Failed { reason: reason::INVALID_SPEC, message: message.into() };
    }
    let failed = observed.tasks().find_map(|(task, state)| {
        let message = || state.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        exhausted(spec, state).map(|reason| (task, reason, message()))
    });
    if let Some((task, reason, message)) = failed {
        return Verdict::Failed { reason, message: format!("{task}: {message}") };
    }
    if spec.suspend {
        return Verdict::Suspended;
    }
    match (deadline, spec.active_deadline_seconds) {
        (Some(deadline), Some(seconds)) if now >= deadline => Verdict::Failed {
            reason: reason::DEADLINE_EXCEEDED,
            message: format!("no proof after spec.activeDeadlineSeconds ({seconds})"),
        },
        _ => Verdict::Running,
    }
}

/// Starts every task whose inputs exist and that nobody is at work on, within the parallelism.
fn start_ready(spec: &ProofJobSpec, observed: &Observed) -> Vec<Effect> {
    let (setup, execute) = (observed.task(Task::Setup {}), observed.task(Task::Execute {}));
    let idle = |task: Task| {
        let state = observed.task(task);
        !state.running && !state.done
    };
    let subgraphs = match observed.subgraphs() {
        Some(subgraphs) if setup.done => subgraphs,
        _ => return idle(Task::Setup {}).then_some(Effect::Start(Task::Setup {})).into_iter().collect(),
    };
    if !execute.done {
        return idle(Task::Execute {}).then_some(Effect::Start(Task::Execute {})).into_iter().collect();
    }
    let prove = || (0..subgraphs).map(|subgraph| Task::Prove { subgraph });
    if prove().all(|task| observed.task(task).done) {
        return idle(Task::Aggregate {}).then_some(Effect::Start(Task::Aggregate {})).into_iter().collect();
    }
    let active = prove().filter(|&task| observed.task(task).running).count();
    let room = spec.parallelism.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(active));
    prove().filter(|&task| idle(task)).take(room).map(Effect::Start).collect()
}

fn stop_all(observed: &Observed) -> Vec<Effect> {
    observed.tasks().filter(|(_, state)| state.running).map(|(task, _)| Effect::Stop(task)).collect()
}
