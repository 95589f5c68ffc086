//! The status that follows from what is observed. Times are kept from the status before: a condition's changes only when it flips.

use crds::{
    Failure, Indexes, ProofJobSpec, ProofJobStatus, StageStatus, Stages, SubgraphCounts, condition,
    contract::{Stage, Task},
    limits, phase, reason,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use crate::{
    decide::{Effect, Verdict, exhausted},
    observed::Observed,
};

/// Whether a status says that its job has ended.
pub(crate) fn has_ended(status: &ProofJobStatus) -> bool {
    status.conditions.iter().any(|c| c.type_ == condition::SUCCEEDED && c.status != "Unknown")
}

/// The status after a decision.
pub(crate) fn publish(
    spec: &ProofJobSpec,
    generation: Option<i64>,
    previous: &ProofJobStatus,
    observed: &Observed,
    effects: &[Effect],
    verdict: &Verdict,
    now: Timestamp,
) -> ProofJobStatus {
    let view = View { spec, observed, effects, now };
    let counts = observed.subgraphs().map(|total| view.counts(total));
    let indexes = |keep: &dyn Fn(Task) -> bool| {
        let total = observed.subgraphs()?;
        let kept: Indexes = (0..total).filter(|&subgraph| keep(Task::Prove { subgraph })).collect();
        (!kept.is_empty()).then(|| kept.to_string())
    };
    ProofJobStatus {
        observed_generation: generation,
        phase: Some(view.phase(verdict).into()),
        conditions: view.conditions(generation, previous, verdict),
        // As a batch/v1 Job's: the deadline counts from the last resumption.
        start_time: (*verdict != Verdict::Suspended).then(|| previous.start_time.clone().unwrap_or(Time(now))),
        completion_time: verdict.has_ended().then_some(Time(now)),
        model: observed.model().cloned(),
        stages: Stages {
            setup: view.times(Stage::Setup, previous.stages.setup.as_ref()),
            execute: view.times(Stage::Execute, previous.stages.execute.as_ref()),
            prove: view.times(Stage::Prove, previous.stages.prove.as_ref()),
            aggregate: view.times(Stage::Aggregate, previous.stages.aggregate.as_ref()),
        },
        subgraphs: counts,
        completed_indexes: indexes(&|task| observed.task(task).done),
        failed_indexes: indexes(&|task| exhausted(spec, &observed.task(task)).is_some()),
        failures: view.failures(),
        result: observed.result().cloned(),
        proof: observed.proof().cloned(),
    }
}

struct View<'a> {
    spec: &'a ProofJobSpec,
    observed: &'a Observed,
    effects: &'a [Effect],
    now: Timestamp,
}

impl View<'_> {
    fn active(&self, task: Task) -> bool {
        let stopped = self.effects.contains(&Effect::Stop(task));
        self.effects.contains(&Effect::Start(task)) || (self.observed.task(task).running && !stopped)
    }

    fn tasks(&self, stage: Stage) -> Vec<Task> {
        match stage {
            Stage::Setup => vec![Task::Setup {}],
            Stage::Execute => vec![Task::Execute {}],
            Stage::Prove => {
                (0..self.observed.subgraphs().unwrap_or(0)).map(|subgraph| Task::Prove { subgraph }).collect()
            }
            Stage::Aggregate => vec![Task::Aggregate {}],
        }
    }

    fn done(&self, stage: Stage) -> bool {
        let tasks = self.tasks(stage);
        !tasks.is_empty() && tasks.into_iter().all(|task| self.observed.task(task).done)
    }

    fn counts(&self, total: u32) -> SubgraphCounts {
        let mut counts = SubgraphCounts { total, ..SubgraphCounts::default() };
        for task in self.tasks(Stage::Prove) {
            let state = self.observed.task(task);
            counts.active += u32::from(self.active(task));
            counts.succeeded += u32::from(state.done);
            counts.failed += u32::from(exhausted(self.spec, &state).is_some());
        }
        counts
    }

    fn phase(&self, verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Succeeded => phase::SUCCEEDED,
            Verdict::Failed { .. } => phase::FAILED,
            Verdict::Suspended => phase::SUSPENDED,
            Verdict::Running if !self.done(Stage::Setup) => phase::SETUP,
            Verdict::Running if !self.done(Stage::Execute) => phase::EXECUTING,
            Verdict::Running if !self.done(Stage::Prove) => phase::PROVING,
            Verdict::Running => phase::AGGREGATING,
        }
    }

    fn times(&self, stage: Stage, previous: Option<&StageStatus>) -> Option<StageStatus> {
        let done = self.done(stage);
        let begun = done || self.tasks(stage).into_iter().any(|task| self.active(task));
        let start_time = previous.map(|stage| stage.start_time.clone()).or_else(|| begun.then_some(Time(self.now)))?;
        let completed = previous.and_then(|stage| stage.completion_time.clone()).unwrap_or(Time(self.now));
        let (job, artifact) = previous.map(|stage| (stage.job.clone(), stage.artifact)).unwrap_or_default();
        // What was seen once stays: the processes that say so go.
        let mut devices = previous.map(|stage| stage.devices.clone()).unwrap_or_default();
        for device in self.observed.devices(stage) {
            if !devices.contains(device) && devices.len() < limits::DEVICES {
                devices.push(device.clone());
            }
        }
        Some(StageStatus { start_time, completion_time: done.then_some(completed), job, artifact, devices })
    }

    fn conditions(&self, generation: Option<i64>, previous: &ProofJobStatus, verdict: &Verdict) -> Vec<Condition> {
        let make = |type_: &&str| {
            let (status, reason, message) = self.condition(type_, verdict);
            let before = previous.conditions.iter().find(|c| c.type_ == **type_ && c.status == status);
            Condition {
                type_: (*type_).into(),
                status: status.into(),
                reason: reason.into(),
                message: cut(&message),
                last_transition_time: before.map_or(Time(self.now), |c| c.last_transition_time.clone()),
                observed_generation: generation,
            }
        };
        condition::ALL.iter().map(make).collect()
    }

    fn condition(&self, type_: &str, verdict: &Verdict) -> (&'static str, &'static str, String) {
        let stage = match type_ {
            condition::EXECUTED => Stage::Execute,
            condition::PROVED => Stage::Prove,
            condition::AGGREGATED => Stage::Aggregate,
            condition::SUSPENDED => {
                return match verdict {
                    Verdict::Suspended => ("True", reason::SUSPENDED, "spec.suspend holds".into()),
                    _ => ("False", reason::NOT_SUSPENDED, String::new()),
                };
            }
            _ => {
                return match verdict {
                    Verdict::Succeeded => ("True", reason::DONE, "the proof exists and verifies".into()),
                    Verdict::Failed { reason, message } => ("False", reason, message.clone()),
                    Verdict::Running => ("Unknown", reason::RUNNING, String::new()),
                    Verdict::Suspended => ("Unknown", reason::SUSPENDED, String::new()),
                };
            }
        };
        // A proof that exists settles everything before it, even what has been lost since.
        if self.done(stage) || *verdict == Verdict::Succeeded {
            return ("True", reason::DONE, String::new());
        }
        match verdict {
            Verdict::Failed { .. } => ("False", reason::JOB_FAILED, String::new()),
            Verdict::Suspended => ("Unknown", reason::SUSPENDED, String::new()),
            _ if self.tasks(stage).into_iter().any(|task| self.active(task)) => {
                ("Unknown", reason::RUNNING, String::new())
            }
            _ => ("Unknown", reason::WAITING, String::new()),
        }
    }

    /// The failures of unfinished tasks, those that end the job first.
    fn failures(&self) -> Vec<Failure> {
        let mut failed: Vec<_> = self
            .observed
            .tasks()
            .filter(|(_, state)| !state.done)
            .filter_map(|(task, state)| Some((exhausted(self.spec, state).is_none(), task, state.failure.as_ref()?)))
            .collect();
        failed.sort_by_key(|&(passing, task, _)| (passing, task));
        let describe = |(_, task, failure): (bool, Task, &crate::TaskFailure)| Failure {
            stage: task.stage(),
            subgraph: task.subgraph(),
            reason: exhausted(self.spec, &self.observed.task(task)).unwrap_or("Retryable").into(),
            message: cut(&failure.message),
        };
        failed.into_iter().take(limits::FAILURES).map(describe).collect()
    }
}

fn cut(message: &str) -> String {
    message.chars().take(limits::MESSAGE).collect()
}
