//! Writing to an object of ours: its status, and that it cannot be read.

use std::fmt::Debug;

use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
    core::{DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Error, Shared};
use crate::{events::Notice, names, owner::Owner};

/// Writes a status; `None` if the object is gone.
pub(super) async fn publish<K>(shared: &Shared, owner: &Owner, status: &impl Serialize) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(shared.client.clone(), &owner.namespace);
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid makes this fail if the object has been replaced.
        "metadata": { "name": owner.name, "uid": owner.uid },
        "status": status,
    });
    let params = PatchParams::apply(names::MANAGER).force();
    let result = api.patch_status(&owner.name, &params, &Patch::Apply(object)).await;
    shared.metrics.status_patched(result.is_ok());
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        result => result.map(Some).map_err(Error::api("publishing a status")),
    }
}

/// Says that an object cannot be read; it is looked at again when it changes.
pub(super) async fn unreadable<K>(shared: &Shared, guard: &DeserializeGuard<K>, invalid: &InvalidObject) -> Action
where
    K: Resource<DynamicType = ()>,
{
    let kind = K::kind(&());
    tracing::error!(%kind, name = ?invalid.metadata.name, error = %invalid.error, "an object cannot be read");
    let notice = Notice::warning("Unreadable", format!("not a {kind} of this version: {}", invalid.error));
    shared.announce(&guard.object_ref(&()), vec![notice]).await;
    Action::await_change()
}
