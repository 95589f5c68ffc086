//! One watched scope, a namespace or the whole cluster: its watches, its caches and its two controllers.

use std::{future::Future, sync::Arc, time::Instant};

use crds::{ProofJob, ProofJobStatus, ProofModel, ProofModelStatus};
use futures::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    future::{self, BoxFuture},
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::ObjectReference},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Resource, ResourceExt,
    core::DeserializeGuard,
    runtime::{
        Config, Controller, WatchStreamExt,
        controller::Action,
        reflector::{self, ObjectRef, Store},
        utils::Backoff,
        watcher::{self, watcher},
    },
};
use tokio::sync::mpsc;

use super::{Error, Shared, arrivals::Arrivals, context::Published, job, model};
use crate::{cache::Children, metrics::Metrics, names};

/// Reconciles of one kind at one time. Each waits most of its time for the API server, three or four times: with so many,
/// thousands begin in a second.
const CONCURRENCY: u16 = 64;

type Guarded<K> = DeserializeGuard<K>;

/// Ends when the work is to end.
pub type Stop = future::Shared<BoxFuture<'static, ()>>;

/// A watched scope.
pub struct Scope {
    /// What scopes share.
    pub shared: Arc<Shared>,
    /// Its children.
    pub children: Children,
    /// Statuses of its jobs.
    pub(super) jobs: Published<ProofJobStatus>,
    /// Statuses of its models.
    pub(super) models: Published<ProofModelStatus>,
    pub(super) job_arrivals: Arrivals,
    pub(super) model_arrivals: Arrivals,
    held_jobs: Store<Guarded<ProofJob>>,
    held_models: Store<Guarded<ProofModel>>,
}

impl Scope {
    /// Watches a namespace, or all, until `stop`. Reconciles that have begun are finished.
    ///
    /// `backoff` makes what paces a watch that breaks. Returns the scope, whose readiness can be asked for, and its work.
    // Without type parameters: the controllers are compiled once, and not again for every program that opens a scope.
    pub fn open(
        shared: Arc<Shared>,
        namespace: Option<&str>,
        backoff: fn() -> Box<dyn Backoff>,
        stop: Stop,
    ) -> (Arc<Self>, BoxFuture<'static, ()>) {
        let client = shared.client.clone();
        let (model_reader, model_writer) = reflector::store();
        let (job_reader, job_writer) = reflector::store();
        let (job_triggers, triggered_jobs) = mpsc::unbounded_channel();
        let (model_triggers, triggered_models) = mpsc::unbounded_channel();
        let metrics = shared.metrics.clone();
        let scope = Arc::new(Self {
            shared,
            job_arrivals: Arrivals::new("ProofJob", metrics.clone()),
            model_arrivals: Arrivals::new("ProofModel", metrics.clone()),
            children: Children::default(),
            jobs: Published::default(),
            models: Published::default(),
            held_jobs: job_reader.clone(),
            held_models: model_reader.clone(),
        });

        let (models_scope, jobs_scope) = (scope.clone(), scope.clone());
        let all = watcher::Config::default();
        let models =
            stream(api::<Guarded<ProofModel>>(&client, namespace), all.clone(), backoff(), "ProofModel", &metrics)
                .reflect(model_writer)
                .inspect_ok(move |event| {
                    forget(event, &models_scope.models, &models_scope.held_models);
                    arrive(event, &models_scope.model_arrivals);
                })
                .touched_objects();
        let (users_scope, wake) = (scope.clone(), job_triggers.clone());
        // The store has the model by now, so that the jobs that wait for it find it.
        let models = models.inspect_ok(move |model| wake_users(model, &users_scope, &wake));
        let jobs = stream(api::<Guarded<ProofJob>>(&client, namespace), all, backoff(), "ProofJob", &metrics)
            .reflect(job_writer)
            .inspect_ok(move |event| {
                forget(event, &jobs_scope.jobs, &jobs_scope.held_jobs);
                arrive(event, &jobs_scope.job_arrivals);
            })
            .touched_objects();
        let children = watcher::Config::default().labels(names::CHILDREN);
        let children = stream(api::<Job>(&client, namespace), children, backoff(), "Job", &metrics);
        let held = scope.clone();
        let children = children.for_each(move |event| {
            if let Ok(event) = event {
                held.children.apply(&event);
                wake_owner(&event, &held, &job_triggers, &model_triggers);
            }
            std::future::ready(())
        });

        let config = Config::default().concurrency(CONCURRENCY);
        let jobs = Controller::for_stream(jobs, job_reader)
            .with_config(config.clone())
            .reconcile_on(receive(triggered_jobs))
            .graceful_shutdown_on(stop.clone())
            .run(measured("ProofJob", |s| &s.job_arrivals, job::reconcile), job::error_policy, scope.clone());
        let models = Controller::for_stream(models, model_reader)
            .with_config(config)
            .reconcile_on(receive(triggered_models))
            .graceful_shutdown_on(stop)
            .run(measured("ProofModel", |s| &s.model_arrivals, model::reconcile), model::error_policy, scope.clone());
        let work = async move {
            let controllers = futures::future::join(drain(jobs), drain(models));
            // The watch of the children has no end of its own.
            futures::future::select(controllers.boxed(), children.boxed()).await;
        };
        (scope, work.boxed())
    }

    /// Whether the first lists are complete.
    pub fn is_ready(&self) -> bool {
        let filled = self.held_jobs.wait_until_ready().now_or_never().is_some()
            && self.held_models.wait_until_ready().now_or_never().is_some();
        filled && self.children.is_synced()
    }

    /// How many objects' statuses are remembered.
    pub fn remembered(&self) -> usize {
        self.jobs.len() + self.models.len()
    }

    /// The status of every job.
    pub fn for_each_job(&self, mut see: impl FnMut(&ProofJob)) {
        self.held_jobs.state().iter().filter_map(|guard| guard.0.as_ref().ok()).for_each(&mut see);
    }

    /// A model by name.
    pub(super) fn model(&self, namespace: &str, name: &str) -> Option<Arc<ProofModel>> {
        let guard = self.held_models.get(&ObjectRef::new(name).within(namespace))?;
        guard.0.as_ref().ok().cloned().map(Arc::new)
    }

    /// What to do after a reconcile that failed.
    pub(super) fn failed(
        &self,
        kind: &'static str,
        meta: &ObjectMeta,
        object: ObjectReference,
        error: &Error,
    ) -> Action {
        let (name, namespace) = (meta.name.as_deref(), meta.namespace.as_deref());
        tracing::warn!(kind, name, namespace, %error, "a reconcile has failed");
        self.shared.metrics.reconcile_failed(kind, error.label());
        if let Some(notice) = error.notice() {
            let shared = self.shared.clone();
            tokio::spawn(async move { shared.announce(&object, vec![notice]).await });
        }
        self.shared.back_off(meta.uid.as_deref().unwrap_or_default())
    }
}

fn api<K>(client: &kube::Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A watch that goes on when it breaks, and keeps no more of an object than is needed.
fn stream<K>(
    api: Api<K>,
    config: watcher::Config,
    backoff: Box<dyn Backoff>,
    kind: &'static str,
    metrics: &Arc<Metrics>,
) -> impl Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let (counted, failed) = (metrics.clone(), metrics.clone());
    watcher(api, config)
        .modify(|object| object.managed_fields_mut().clear())
        .inspect_ok(move |event| counted.watched(kind, event))
        .inspect_err(move |error| {
            tracing::warn!(kind, %error, "a watch has broken");
            failed.watch_failed(kind);
        })
        .backoff(backoff)
}

/// What is remembered of an object goes with it: at its deletion, or when a list that follows a broken watch lacks it.
fn forget<K, S>(event: &watcher::Event<K>, published: &Published<S>, held: &Store<K>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
    S: Clone + PartialEq,
{
    match event {
        watcher::Event::Delete(object) => object.meta().uid.iter().for_each(|uid| published.forget(uid)),
        watcher::Event::InitDone => {
            published.retain(&held.state().iter().filter_map(|object| object.meta().uid.clone()).collect());
        }
        _ => {}
    }
}

/// An object of ours has changed.
fn arrive<K: Resource<DynamicType = ()>>(event: &watcher::Event<K>, arrivals: &Arrivals) {
    let uid = |object: &K| object.meta().uid.clone().unwrap_or_default();
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => arrivals.note(&uid(object)),
        watcher::Event::Delete(object) => arrivals.forget(&uid(object)),
        watcher::Event::Init | watcher::Event::InitDone => {}
    }
}

/// A reconcile with its time taken; one that hangs is given up.
fn measured<K, Fut>(
    kind: &'static str,
    arrivals: fn(&Scope) -> &Arrivals,
    reconcile: impl Fn(Arc<Guarded<K>>, Arc<Scope>) -> Fut + Clone + Send + 'static,
) -> impl FnMut(Arc<Guarded<K>>, Arc<Scope>) -> BoxFuture<'static, Result<Action, Error>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    move |object, scope| {
        let reconcile = reconcile.clone();
        async move {
            let uid = object.meta().uid.clone().unwrap_or_default();
            let metrics = scope.shared.metrics.clone();
            let (begun, _running) = (Instant::now(), metrics.reconciling(kind));
            arrivals(&scope).begun(&uid);
            let Ok(result) = tokio::time::timeout(job::PATIENCE, reconcile(object, scope.clone())).await else {
                tracing::warn!(kind, "a reconcile takes too long and is begun anew");
                metrics.reconciled(kind, false, begun.elapsed());
                return Ok(scope.shared.back_off(&uid));
            };
            metrics.reconciled(kind, result.is_ok(), begun.elapsed());
            if result.is_ok() {
                scope.shared.recovered(&uid);
                arrivals(&scope).settled(&uid);
            }
            result
        }
        .boxed()
    }
}

fn receive<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> {
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn drain<T, E: std::fmt::Display>(results: impl Stream<Item = Result<T, E>>) {
    results
        .for_each(|result| {
            if let Err(error) = result {
                tracing::debug!(%error, "reconcile");
            }
            std::future::ready(())
        })
        .await;
}

/// A child has changed: its owner is looked at.
fn wake_owner(
    event: &watcher::Event<Job>,
    scope: &Scope,
    jobs: &mpsc::UnboundedSender<ObjectRef<Guarded<ProofJob>>>,
    models: &mpsc::UnboundedSender<ObjectRef<Guarded<ProofModel>>>,
) {
    let (watcher::Event::Apply(child) | watcher::Event::Delete(child) | watcher::Event::InitApply(child)) = event
    else {
        return;
    };
    let namespace = child.namespace().unwrap_or_default();
    for owner in child.owner_references().iter().filter(|owner| owner.controller == Some(true)) {
        match owner.kind.as_str() {
            "ProofJob" => {
                wake(ObjectRef::new(&owner.name).within(&namespace), &scope.held_jobs, &scope.job_arrivals, jobs)
            }
            "ProofModel" => {
                let model = ObjectRef::new(&owner.name).within(&namespace);
                wake(model, &scope.held_models, &scope.model_arrivals, models);
            }
            _ => {}
        }
    }
}

/// A model has changed: the jobs that use it are looked at.
fn wake_users(model: &Guarded<ProofModel>, scope: &Scope, jobs: &mpsc::UnboundedSender<ObjectRef<Guarded<ProofJob>>>) {
    let (name, namespace) = (model.name_any(), model.namespace());
    for job in scope.held_jobs.state() {
        let Ok(job) = &job.0 else { continue };
        let uses = job.spec.model_ref.as_ref().is_some_and(|model| model.name == name);
        if uses && job.namespace() == namespace {
            let job = ObjectRef::new(&job.name_any()).within(&namespace.clone().unwrap_or_default());
            wake(job, &scope.held_jobs, &scope.job_arrivals, jobs);
        }
    }
}

/// Asks for a reconcile of an object, if it is there.
fn wake<K: Resource<DynamicType = ()> + Clone + 'static>(
    object: ObjectRef<Guarded<K>>,
    held: &Store<Guarded<K>>,
    arrivals: &Arrivals,
    triggers: &mpsc::UnboundedSender<ObjectRef<Guarded<K>>>,
) {
    let Some(found) = held.get(&object) else { return };
    arrivals.note(found.meta().uid.as_deref().unwrap_or_default());
    // Nobody listens once the scope is closed.
    let _ = triggers.send(object);
}
