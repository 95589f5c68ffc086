//! Carrying out a plan's actions, each of which may be repeated without harm.

use std::fmt::Debug;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::{Error, Scope, Shared};
use crate::{attempt::Attempt, child::Child, observe::Attempts, owner::Owner, plan::Action};

/// Most pods that are listed of one Job: each has one index, and few attempts.
const PODS_MAX: u32 = 5000;

/// How carrying out a plan ended.
pub enum Outcome {
    /// Everything is done.
    Done,
    /// The API server will never take a child as the spec wants it.
    Refused(String),
}

/// Carries out actions in order.
pub async fn carry_out(scope: &Scope, owner: &Owner, actions: &[Action]) -> Result<Outcome, Error> {
    let client = &scope.shared.client;
    let jobs: Api<Job> = Api::namespaced(client.clone(), &owner.namespace);
    for action in actions {
        let result = match action {
            Action::CreateInput(map) => {
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &owner.namespace);
                create(&maps, owner, &**map, "ConfigMap", |_| true).await.map(drop)
            }
            Action::CreateJob(job) => {
                let wanted = Child::read(job).map(|child| (child.stage, child.subgraphs));
                let same = |found: &Job| Child::read(found).map(|child| (child.stage, child.subgraphs)) == wanted;
                scope.children.expect(job);
                let made = create(&jobs, owner, &**job, "Job", same).await;
                scope.children.made(job, made.as_ref().ok().and_then(Option::as_ref));
                made.map(drop)
            }
            Action::Suspend { name, suspend } => {
                let patch = json!({ "spec": { "suspend": suspend } });
                let patched = jobs.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
                unless_gone(patched, "patching a Job")
            }
            Action::Parallelise { name, pods } => {
                let patch = json!({ "spec": { "parallelism": pods } });
                let patched = jobs.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
                unless_gone(patched, "patching a Job")
            }
            Action::Delete { name } => {
                unless_gone(jobs.delete(name, &DeleteParams::background()).await, "deleting a Job")
            }
        };
        match result {
            Err(Error::Api { source, .. }) if is_final(&source) => return Ok(Outcome::Refused(source.to_string())),
            result => result?,
        }
    }
    Ok(Outcome::Done)
}

/// What became of the pods of these children.
pub async fn attempts(
    shared: &Shared,
    namespace: &str,
    children: impl Iterator<Item = &str>,
) -> Result<Attempts, Error> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), namespace);
    let mut attempts = Attempts::new();
    for name in children {
        let selector = format!("batch.kubernetes.io/job-name={name}");
        let params = ListParams::default().labels(&selector).limit(PODS_MAX);
        let list = pods.list(&params).await.map_err(Error::api("listing pods"))?;
        attempts.insert(name.into(), list.items.iter().filter_map(Attempt::read).collect());
    }
    Ok(attempts)
}

/// Makes an object and returns it; nothing if it is there already.
async fn create<K>(
    api: &Api<K>,
    owner: &Owner,
    object: &K,
    kind: &'static str,
    same: impl Fn(&K) -> bool,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let name = object.name_any();
            let found = api.get_opt(&name).await.map_err(Error::api("reading a child"))?;
            let is_ours = found.is_some_and(|found| {
                let ours = found.owner_references().iter().any(|reference| reference.uid == owner.uid);
                ours && found.meta().deletion_timestamp.is_none() && same(&found)
            });
            if is_ours { Ok(None) } else { Err(Error::Taken { kind, name }) }
        }
        created => created.map(Some).map_err(Error::api("creating a child")),
    }
}

fn unless_gone<T>(result: kube::Result<T>, action: &'static str) -> Result<(), Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result.map(drop).map_err(Error::api(action)),
    }
}

/// Whether the API server has judged the object itself.
fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422 || (status.code == 400 && status.reason == "BadRequest"))
}
