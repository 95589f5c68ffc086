//! Reconciling a `ProofJob`.

use std::{sync::Arc, time::Duration};

use crds::{ProofJob, ProofJobStatus};
use kube::{
    Api, Resource,
    api::{DeleteParams, Preconditions},
    core::DeserializeGuard,
    runtime::controller::Action,
};

use super::{
    Error, Scope,
    carry_out::{Outcome, attempts, carry_out},
    context::{look_again, now},
    publish::{publish, unreadable},
};
use crate::{
    events,
    observe::wanted,
    owner::Owner,
    plan::{Plan, World, plan},
};

pub(super) async fn reconcile(guard: Arc<DeserializeGuard<ProofJob>>, scope: Arc<Scope>) -> Result<Action, Error> {
    let shared = &scope.shared;
    let job = match &guard.0 {
        Ok(job) => job,
        Err(invalid) => return Ok(unreadable(shared, &guard, invalid).await),
    };
    let Some(owner) = Owner::of_job(job) else { return Ok(Action::await_change()) };
    let is_foreign = job.spec.managed_by.as_deref().is_some_and(|manager| manager != crds::MANAGER);
    if is_foreign || job.metadata.deletion_timestamp.is_some() {
        scope.jobs.forget(&owner.uid);
        return Ok(Action::await_change());
    }
    scope.children.synced().await;
    let last = scope.jobs.get(&owner.uid);
    let seen = job.status.clone().unwrap_or_default();
    let previous = last.as_ref().map_or(&seen, |written| &written.status);
    let children = scope.children.of(&owner.uid);
    let attempts = attempts(shared, &owner.namespace, wanted(&children, previous)).await?;
    let model = job.spec.model_ref.as_ref().and_then(|model| scope.model(&owner.namespace, &model.name));
    let now = now();
    let world = |refusal| World {
        settings: &shared.settings,
        children: &children,
        attempts: &attempts,
        model: model.as_deref(),
        refusal,
        now,
    };
    let mut planned = plan(&owner, job, previous, &world(None));
    if planned.expired {
        return expire(&scope, job, &owner).await;
    }
    if let Outcome::Refused(why) = carry_out(&scope, &owner, &planned.actions).await? {
        planned = plan(&owner, job, previous, &world(Some(&why)));
        carry_out(&scope, &owner, &planned.actions).await?;
    }
    let Plan { status, wake, .. } = planned;
    let wait = look_again(wake, now, shared.pace.resync);
    let overwritten = last.as_ref().is_some_and(|written| written.is_overwritten(job));
    if status == *previous && !overwritten {
        // Of a job that has ended nothing is to be remembered once the watch has brought what was written last.
        if status.completion_time.is_some() && last.as_ref().is_some_and(|written| written.is_seen(job)) {
            scope.jobs.forget(&owner.uid);
        }
        return Ok(Action::requeue(wait));
    }
    let patience = last.as_ref().map(|written| shared.pace.progress.saturating_sub(written.at.elapsed()));
    if let Some(patience) =
        patience.filter(|patience| !overwritten && !patience.is_zero() && only_counts_differ(previous, &status))
    {
        return Ok(Action::requeue(wait.min(patience)));
    }
    let Some(answer) = publish::<ProofJob>(shared, &owner, &status).await? else { return Ok(Action::await_change()) };
    scope.job_arrivals.told(&owner.uid);
    shared.announce(&job.object_ref(&()), events::of_job(previous, &status)).await;
    shared.metrics.job_changed(&job.metadata, previous, &status, &children, &attempts);
    scope.jobs.set(&owner.uid, status, &answer);
    Ok(Action::requeue(wait))
}

/// Deletes a job that has outlived its time; its children go with it.
async fn expire(scope: &Scope, job: &ProofJob, owner: &Owner) -> Result<Action, Error> {
    let api: Api<ProofJob> = Api::namespaced(scope.shared.client.clone(), &owner.namespace);
    let preconditions = Preconditions { uid: Some(owner.uid.clone()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
    match api.delete(&owner.name, &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        deleted => _ = deleted.map_err(Error::api("deleting an expired ProofJob"))?,
    }
    tracing::info!(name = %owner.name, namespace = %owner.namespace, generation = ?job.metadata.generation, "expired");
    Ok(Action::await_change())
}

/// Whether a status tells nothing new but how many subgraphs are proved.
fn only_counts_differ(before: &ProofJobStatus, after: &ProofJobStatus) -> bool {
    let same = ProofJobStatus {
        subgraphs: before.subgraphs,
        completed_indexes: before.completed_indexes.clone(),
        ..after.clone()
    };
    before.subgraphs.is_some() && same == *before
}

pub(super) fn error_policy(guard: Arc<DeserializeGuard<ProofJob>>, error: &Error, scope: Arc<Scope>) -> Action {
    scope.failed("ProofJob", guard.meta(), guard.object_ref(&()), error)
}

/// Longest time that a reconcile may take: an API call that hangs must not block its object for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
