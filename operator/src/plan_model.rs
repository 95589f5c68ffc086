//! The plan for a `ProofModel`: setup alone, decided as a job's setup is.

use crds::{
    InputSource, ProofJobSpec, ProofJobStatus, ProofModel, ProofModelStatus, StageOverrides, StageStatus, Stages,
    SubgraphCounts, condition, contract::Stage, phase, reason,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::{
    owner::Owner,
    plan::{Action, Plan, World, plan},
};

/// What to do for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelPlan {
    /// The status to publish once the actions have been carried out.
    pub status: ProofModelStatus,
    /// What to do first.
    pub actions: Vec<Action>,
    /// When to plan again if nothing is observed before.
    pub wake: Option<Timestamp>,
}

/// Plans. `previous` is the status that was published last.
pub fn plan_model(owner: &Owner, model: &ProofModel, previous: &ProofModelStatus, world: &World<'_>) -> ModelPlan {
    let job = crds::ProofJob { metadata: model.metadata.clone(), spec: as_job(model), status: None };
    let Plan { status, mut actions, wake, .. } = plan(owner, &job, &as_job_status(previous), world);
    let done = status.model.is_some() && status.stages.setup.as_ref().is_some_and(|setup| setup.artifact.is_some());
    if done {
        // What a job would do next is the jobs' business.
        actions.retain(|action| matches!(action, Action::Delete { .. }));
    }
    let status = summarise(model.metadata.generation, previous, status, done, world.now);
    ModelPlan { status, actions, wake: wake.filter(|_| !done) }
}

/// A job that begins with the model's setup.
fn as_job(model: &ProofModel) -> ProofJobSpec {
    let spec = &model.spec;
    // Never read: a job that has been set up goes no further here.
    let input = InputSource::of(vec![vec![]]);
    ProofJobSpec {
        partition: spec.partition,
        security_bits: spec.security_bits,
        device: spec.device,
        retries: spec.retries,
        active_deadline_seconds: spec.active_deadline_seconds,
        suspend: spec.suspend,
        queue_name: spec.queue_name.clone(),
        store: spec.store.clone(),
        stages: StageOverrides { setup: spec.template.clone(), ..StageOverrides::default() },
        ..ProofJobSpec::new(spec.model.clone(), input)
    }
}

pub(crate) fn as_job_status(status: &ProofModelStatus) -> ProofJobStatus {
    let succeeded = |c: &&Condition| c.type_ == condition::SUCCEEDED && c.status == "True";
    let setup = status.start_time.clone().map(|start_time| StageStatus {
        start_time,
        completion_time: status.completion_time.clone(),
        job: status.job.clone(),
        artifact: status.artifact,
        devices: vec![],
    });
    ProofJobStatus {
        phase: status.phase.clone(),
        failures: status.failures.clone(),
        // A job whose setup is done has not ended; a model has, and stays so.
        conditions: status.conditions.iter().filter(|c| !succeeded(c)).cloned().collect(),
        start_time: status.start_time.clone(),
        completion_time: status.completion_time.clone(),
        stages: Stages { setup, ..Stages::default() },
        subgraphs: status.subgraphs.map(|total| SubgraphCounts { total, ..SubgraphCounts::default() }),
        model: status.model.clone(),
        ..ProofJobStatus::default()
    }
}

fn summarise(
    generation: Option<i64>,
    previous: &ProofModelStatus,
    status: ProofJobStatus,
    done: bool,
    now: Timestamp,
) -> ProofModelStatus {
    let setup = status.stages.setup;
    let mut conditions: Vec<Condition> = status
        .conditions
        .into_iter()
        .filter(|c| [condition::SUSPENDED, condition::SUCCEEDED].contains(&c.type_.as_str()))
        .collect();
    let mut phase_now = status.phase;
    let mut completion_time = status.completion_time;
    if done {
        let before = previous.conditions.iter().find(|c| c.type_ == condition::SUCCEEDED && c.status == "True");
        for summary in conditions.iter_mut().filter(|c| c.type_ == condition::SUCCEEDED) {
            (summary.status, summary.reason) = ("True".into(), reason::DONE.into());
            summary.message = "the model is set up".into();
            summary.last_transition_time = before.map_or(Time(now), |c| c.last_transition_time.clone());
        }
        phase_now = Some(phase::SUCCEEDED.into());
        completion_time = setup.as_ref().and_then(|setup| setup.completion_time.clone());
    }
    let is_setup = |failure: &crds::Failure| failure.stage == Stage::Setup;
    ProofModelStatus {
        observed_generation: generation,
        phase: phase_now,
        conditions,
        start_time: status.start_time,
        completion_time,
        job: setup.as_ref().and_then(|setup| setup.job.clone()),
        artifact: setup.as_ref().and_then(|setup| setup.artifact),
        subgraphs: status.subgraphs.map(|counts| counts.total),
        model: status.model,
        failures: status.failures.into_iter().filter(is_setup).collect(),
    }
}
