//! A cluster with an operator in it, that can be killed and started anew with an empty memory.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use crds::{ProofJob, ProofModel, contract::Stage};
use futures::FutureExt;
use kube::{Client, runtime::utils::Backoff};
use proofmill_operator::{
    Replica,
    child::Child,
    controller::{Pace, Scope, Shared, Stop},
    lease::LeaseSettings,
    metrics::Metrics,
    settings::Settings,
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    api::{FakeApi, Seen},
    cluster::{self, Script},
    objects::Key,
};

/// Longest time that anything may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A watch that breaks is soon there again.
pub struct Soon;

impl Iterator for Soon {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(2))
    }
}

impl Backoff for Soon {
    fn reset(&mut self) {}
}

pub struct Lab {
    pub api: FakeApi,
    pub metrics: Arc<Metrics>,
    cluster: JoinHandle<()>,
    operator: Option<JoinHandle<()>>,
    scopes: Vec<Arc<Scope>>,
    settings: Settings,
    namespaces: Vec<Option<String>>,
}

pub fn settings(more: &[&str]) -> Settings {
    let line = ["proofmill-operator", "--worker-image=worker:1", "--default-store=s3://store"];
    Settings::try_parse_from(line.iter().chain(more)).unwrap()
}

/// A manifest of a job with more fields of its spec.
pub fn job(name: &str, spec: Value) -> Value {
    let mut job = json!({
        "apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofJob",
        "metadata": { "name": name, "namespace": "ns" },
        "spec": { "model": { "source": "digits/digits.onnx" }, "input": { "url": "digits/seven.png" }, "partition": { "subgraphs": 3 } },
    });
    super::objects::merge(&mut job["spec"], &spec);
    job
}

pub fn key(resource: &str, name: &str) -> Key {
    Key { resource: resource.into(), namespace: "ns".into(), name: name.into() }
}

impl Lab {
    /// A cluster whose pods end as the script says, without an operator.
    pub fn new(script: Script) -> Self {
        let api = FakeApi::default();
        let cluster = tokio::spawn(cluster::run(api.clone(), script));
        let metrics = Metrics::new().unwrap();
        Self {
            api,
            metrics,
            cluster,
            operator: None,
            scopes: Vec::new(),
            settings: settings(&[]),
            namespaces: vec![None],
        }
    }

    /// The same with an operator.
    pub fn running(script: Script) -> Self {
        let mut lab = Self::new(script);
        lab.start();
        lab
    }

    pub fn watch_only(&mut self, namespaces: &[&str]) {
        self.namespaces = namespaces.iter().map(|namespace| Some((*namespace).to_owned())).collect();
    }

    pub fn start(&mut self) {
        let pace = Pace {
            retry: Duration::from_millis(2),
            retry_max: Duration::from_millis(50),
            progress: Duration::from_millis(20),
            resync: Duration::from_secs(600),
        };
        self.metrics = Metrics::new().unwrap();
        let client = Client::new(self.api.clone(), "default");
        let workers = self.settings.workers.clone();
        let shared = Arc::new(Shared::new(client, workers, self.metrics.clone(), pace, "replica"));
        let never: Stop = std::future::pending().boxed().shared();
        let soon = || -> Box<dyn Backoff> { Box::new(Soon) };
        let open = |namespace: &Option<String>| Scope::open(shared.clone(), namespace.as_deref(), soon, never.clone());
        let (scopes, work): (Vec<_>, Vec<_>) = self.namespaces.iter().map(open).unzip();
        self.scopes = scopes;
        self.operator = Some(tokio::spawn(async move { drop(futures::future::join_all(work).await) }));
    }

    /// How many objects' statuses the operator remembers.
    pub fn remembered(&self) -> usize {
        self.scopes.iter().map(|scope| scope.remembered()).sum()
    }

    /// A replica beside others, which waits for the lease. Returns what tells it to stop, and its life.
    pub fn replica(&self, identity: &str) -> (watch::Sender<bool>, JoinHandle<anyhow::Result<()>>) {
        let (stop, stopped) = watch::channel(false);
        let mut lease = LeaseSettings::new("ns".into(), "proofmill-operator".into(), identity.into());
        lease.look = Duration::from_millis(100);
        let replica = Replica {
            client: Client::new(self.api.clone(), "ns"),
            lease,
            namespaces: vec![],
            workers: self.settings.workers.clone(),
            metrics: self.metrics.clone(),
            scopes: Arc::default(),
            connected: Arc::default(),
        };
        (stop, tokio::spawn(replica.live(stopped)))
    }

    /// Who holds the lease.
    pub fn leader(&self) -> Option<String> {
        let lease = self.api.state().objects.get(&key("leases", "proofmill-operator")).ok()?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// Kills the operator at once, as SIGKILL does.
    pub async fn kill(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.abort();
            let _ = operator.await;
        }
    }

    pub fn apply(&self, object: Value) {
        let resource = if object["kind"] == "ProofModel" { "proofmodels" } else { "proofjobs" };
        let meta = &object["metadata"];
        let key = Key {
            resource: resource.into(),
            namespace: meta["namespace"].as_str().unwrap().into(),
            name: meta["name"].as_str().unwrap().into(),
        };
        self.api.with(|objects| objects.create(key, object)).unwrap();
    }

    pub fn change(&self, name: &str, spec: Value) {
        self.api
            .with(|objects| {
                objects.update(&key("proofjobs", name), |job| super::objects::merge(&mut job["spec"], &spec))
            })
            .unwrap();
    }

    pub fn job(&self, name: &str) -> Option<ProofJob> {
        let object = self.api.state().objects.get(&key("proofjobs", name)).ok()?;
        Some(serde_json::from_value((*object).clone()).unwrap())
    }

    pub fn model(&self, name: &str) -> ProofModel {
        let object = self.api.state().objects.get(&key("proofmodels", name)).unwrap();
        serde_json::from_value((*object).clone()).unwrap()
    }

    /// All child Jobs, raw.
    pub fn jobs(&self) -> Vec<Value> {
        self.api.state().objects.of("jobs").map(|(_, job)| (**job).clone()).collect()
    }

    pub fn children(&self) -> Vec<Child> {
        let read = |job: Value| Child::read(&serde_json::from_value(job).unwrap()).unwrap();
        let mut children: Vec<Child> = self.jobs().into_iter().map(read).collect();
        children.sort_by_key(|child| child.sequence);
        children
    }

    /// Stage and subgraphs of each child in order.
    pub fn made(&self) -> Vec<(Stage, String)> {
        self.children().into_iter().map(|child| (child.stage, child.subgraphs.to_string())).collect()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.api.state().seen.clone()
    }

    pub fn created(&self, resource: &str) -> Vec<String> {
        let created = |seen: &Seen| seen.method == "POST" && seen.resource == resource && seen.code == 201;
        self.seen().into_iter().filter(created).map(|seen| seen.name).collect()
    }

    pub fn events(&self) -> Vec<(String, String)> {
        let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
        self.api.state().objects.of("events").map(|(_, e)| (text(e, "reason"), text(e, "note"))).collect()
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let (begun, mut changes) = (Instant::now(), self.api.changes());
        while !holds(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} does not come: {:#?}\n{:#?}", self.statuses(), self.children());
            let _ = tokio::time::timeout(Duration::from_millis(5), changes.changed()).await;
        }
    }

    pub async fn until_phase(&self, name: &str, phase: &str) {
        self.until(phase, |lab| lab.phase(name) == phase).await;
    }

    pub fn phase(&self, name: &str) -> String {
        self.job(name).and_then(|job| job.status?.phase).unwrap_or_default()
    }

    /// Status and reason of a condition.
    pub fn condition(&self, name: &str, type_: &str) -> (String, String, String) {
        let status = self.job(name).unwrap().status.unwrap();
        let found = status.conditions.into_iter().find(|c| c.type_ == type_).unwrap();
        (found.status, found.reason, found.message)
    }

    fn statuses(&self) -> Vec<Value> {
        self.api.state().objects.of("proofjobs").map(|(_, job)| job["status"].clone()).collect()
    }

    /// Waits until nothing has happened for a while.
    pub async fn settle(&self) {
        let mut changes = self.api.changes();
        while tokio::time::timeout(Duration::from_millis(40), changes.changed()).await.is_ok() {}
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.cluster.abort();
        if let Some(operator) = &self.operator {
            operator.abort();
        }
    }
}

/// Runs a test's future on one thread.
pub fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
