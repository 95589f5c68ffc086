//! Reconciling a `ProofModel`.

use std::sync::Arc;

use crds::ProofModel;
use kube::{Resource, core::DeserializeGuard, runtime::controller::Action};

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
    plan::World,
    plan_model::{as_job_status, plan_model},
};

pub(super) async fn reconcile(guard: Arc<DeserializeGuard<ProofModel>>, scope: Arc<Scope>) -> Result<Action, Error> {
    let shared = &scope.shared;
    let model = match &guard.0 {
        Ok(model) => model,
        Err(invalid) => return Ok(unreadable(shared, &guard, invalid).await),
    };
    let Some(owner) = Owner::of_model(model) else { return Ok(Action::await_change()) };
    let is_foreign = model.spec.managed_by.as_deref().is_some_and(|manager| manager != crds::MANAGER);
    if is_foreign || model.metadata.deletion_timestamp.is_some() {
        scope.models.forget(&owner.uid);
        return Ok(Action::await_change());
    }
    scope.children.synced().await;
    let last = scope.models.get(&owner.uid);
    let seen = model.status.clone().unwrap_or_default();
    let previous = last.as_ref().map_or(&seen, |written| &written.status);
    let children = scope.children.of(&owner.uid);
    let attempts = attempts(shared, &owner.namespace, wanted(&children, &as_job_status(previous))).await?;
    let now = now();
    let world = |refusal| World {
        settings: &shared.settings,
        children: &children,
        attempts: &attempts,
        model: None,
        refusal,
        now,
    };
    let mut planned = plan_model(&owner, model, previous, &world(None));
    if let Outcome::Refused(why) = carry_out(&scope, &owner, &planned.actions).await? {
        planned = plan_model(&owner, model, previous, &world(Some(&why)));
        carry_out(&scope, &owner, &planned.actions).await?;
    }
    let wait = look_again(planned.wake, now, shared.pace.resync);
    let overwritten = last.as_ref().is_some_and(|written| written.is_overwritten(model));
    if planned.status != *previous || overwritten {
        let answer = publish::<ProofModel>(shared, &owner, &planned.status).await?;
        let Some(answer) = answer else { return Ok(Action::await_change()) };
        scope.model_arrivals.told(&owner.uid);
        shared.announce(&model.object_ref(&()), events::of_model(previous, &planned.status)).await;
        scope.models.set(&owner.uid, planned.status, &answer);
    }
    Ok(Action::requeue(wait))
}

pub(super) fn error_policy(guard: Arc<DeserializeGuard<ProofModel>>, error: &Error, scope: Arc<Scope>) -> Action {
    scope.failed("ProofModel", guard.meta(), guard.object_ref(&()), error)
}
