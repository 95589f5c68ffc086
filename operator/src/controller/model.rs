//! Reconciling a `ProofModel`.

use std::sync::Arc;

use crds::ProofModel;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::DeserializeGuard,
    runtime::controller::Action,
};
use serde_json::json;

use super::{
    Error, Scope,
    carry_out::{Outcome, attempts, carry_out},
    context::{look_again, now},
};
use crate::{
    events::{self, Notice},
    names,
    observe::wanted,
    owner::Owner,
    plan::World,
    plan_model::{as_job_status, plan_model},
};

pub(super) async fn reconcile(guard: Arc<DeserializeGuard<ProofModel>>, scope: Arc<Scope>) -> Result<Action, Error> {
    let shared = &scope.shared;
    let model = match &guard.0 {
        Ok(model) => model,
        Err(invalid) => {
            tracing::error!(name = ?invalid.metadata.name, error = %invalid.error, "a ProofModel cannot be read");
            let notice = Notice::warning("Unreadable", format!("not a ProofModel of this version: {}", invalid.error));
            shared.announce(&guard.object_ref(&()), vec![notice]).await;
            return Ok(Action::await_change());
        }
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
    if let Outcome::Refused(why) = carry_out(shared, &owner, &planned.actions).await? {
        planned = plan_model(&owner, model, previous, &world(Some(&why)));
        carry_out(shared, &owner, &planned.actions).await?;
    }
    let wait = look_again(planned.wake, now, shared.pace.resync);
    let overwritten = last.as_ref().is_some_and(|written| written.is_overwritten(model));
    if planned.status != *previous || overwritten {
        let api: Api<ProofModel> = Api::namespaced(shared.client.clone(), &owner.namespace);
        let object = json!({
            "apiVersion": ProofModel::api_version(&()),
            "kind": ProofModel::kind(&()),
            "metadata": { "name": owner.name, "uid": owner.uid },
            "status": planned.status,
        });
        let params = PatchParams::apply(names::MANAGER).force();
        let result = api.patch_status(&owner.name, &params, &Patch::Apply(object)).await;
        shared.metrics.status_patched(result.is_ok());
        let answer = result.map_err(Error::api("publishing a status"))?;
        shared.announce(&model.object_ref(&()), events::of_model(previous, &planned.status)).await;
        scope.models.set(&owner.uid, planned.status, &answer);
    }
    Ok(Action::requeue(wait))
}

pub(super) fn error_policy(guard: Arc<DeserializeGuard<ProofModel>>, error: &Error, scope: Arc<Scope>) -> Action {
    scope.failed("ProofModel", guard.meta(), guard.object_ref(&()), error)
}
