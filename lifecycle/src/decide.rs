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
    /// When to decide again if nothing is observed before: the job's deadline.
    pub wake: Option<Timestamp>,
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Running,
    Succeeded,
    Failed { reason: &'static str, message: String },
}

/// Decides. `generation` is the spec's, `previous` the status last published (empty at first).
///
/// A status that has ended is returned as it is; what still runs is stopped.
pub fn decide(
    spec: &ProofJobSpec,
    generation: Option<i64>,
    previous: &ProofJobStatus,
    observed: &Observed,
    now: Timestamp,
) -> Decision {
    if status::has_ended(previous) {
        return Decision { status: previous.clone(), effects: stop_all(observed), wake: None };
    }
    let start = previous.start_time.as_ref().map_or(now, |time| time.0);
    let deadline =
        spec.active_deadline_seconds.and_then(|s| start.checked_add(SignedDuration::from_secs(s.into())).ok());
    let verdict = judge(spec, observed, deadline, now);
    let effects = if verdict == Verdict::Running { start_ready(spec, observed) } else { stop_all(observed) };
    let running = verdict == Verdict::Running;
    let status = status::publish(spec, generation, previous, observed, &effects, &verdict, now);
    Decision { status, effects, wake: deadline.filter(|_| running) }
}

/// Whether a task will not be tried again, and why.
pub(crate) fn exhausted(spec: &ProofJobSpec, state: &TaskState) -> Option<&'static str> {
    let failure = state.failure.as_ref().filter(|_| !state.done)?;
    match failure.kind {
        FailureKind::Retryable => (state.failures > spec.retries).then_some(reason::RETRIES_EXHAUSTED),
        FailureKind::Deterministic => Some(reason::DETERMINISTIC_FAILURE),
        FailureKind::WrongModelOrVersion => Some(reason::WRONG_MODEL_OR_VERSION),
    }
}

/// A proof that exists ends the job well, whatever else happened; then failures count, then the clock.
fn judge(spec: &ProofJobSpec, observed: &Observed, deadline: Option<Timestamp>, now: Timestamp) -> Verdict {
    if observed.task(Task::Aggregate {}).done {
        return Verdict::Succeeded;
    }
    let failed = observed.tasks().find_map(|(task, state)| {
        let message = || state.failure.as_ref().map_or_else(String::new, |failure| failure.message.clone());
        exhausted(spec, state).map(|reason| (task, reason, message()))
    });
    if let Some((task, reason, message)) = failed {
        return Verdict::Failed { reason, message: format!("{task}: {message}") };
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
