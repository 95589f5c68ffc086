//! One job on this machine: asks `lifecycle` what to do, has it done, and tells it what came of it.

use std::time::Duration;

use anyhow::{Context, Result};
use crds::{
    Digest, ModelIdentity, ProofJobSpec, ProofJobStatus,
    contract::{
        AggregateArgs, ArtifactRef, ExecuteArgs, ExecutionManifest, FailureKind, Outcome, ProofManifest, ProveArgs,
        ResultRecord, SetupArgs, SetupManifest, StageArgs, Task, Usage,
    },
};
use k8s_openapi::jiff::Timestamp;
use lifecycle::{Effect, Observed, Product, TaskFailure, decide};
use prover_worker::store::{Store, StoreError};
use serde::de::DeserializeOwned;

use super::{
    executor::{Executor, Failed, Heard},
    progress::Progress,
};

/// Longest time without looking at the clock.
const TICK: Duration = Duration::from_millis(100);

/// A job under way.
pub struct Job {
    spec: ProofJobSpec,
    input: String,
    store: Store,
    executor: Executor,
    observed: Observed,
    status: ProofJobStatus,
    setup: Option<Digest>,
    execution: Option<Digest>,
    tokenizer: Option<ArtifactRef>,
    proof: Option<ProofManifest>,
    usages: Vec<TaskUsage>,
}

/// What one finished task cost.
pub struct TaskUsage {
    /// The task.
    pub task: Task,
    /// What it cost.
    pub usage: Usage,
    /// Its artifact.
    pub artifact: ArtifactRef,
}

/// A job that has ended.
pub struct Finished {
    /// Its last status.
    pub status: ProofJobStatus,
    /// Its proof, if it has one.
    pub proof: Option<ProofManifest>,
    /// The model's tokenizer, if it has one.
    pub tokenizer: Option<ArtifactRef>,
    /// What its tasks cost, in the order in which they finished.
    pub usages: Vec<TaskUsage>,
}

impl Job {
    /// A job whose sources are URLs. `store` is a URL too.
    pub fn new(spec: ProofJobSpec, store_url: &str) -> Result<Self> {
        let store = Store::open(store_url)?;
        let url = spec.input.as_ref().and_then(|input| input.url.clone());
        let input = match (url, spec.input_file()) {
            (Some(url), _) => url,
            (None, Some(file)) => format!("artifact:{}", store.put(file)?.digest),
            (None, None) => anyhow::bail!("spec.input: must have exactly one of values, url and prompt"),
        };
        Ok(Self {
            executor: Executor::new(store_url, spec.device),
            spec,
            input,
            store,
            observed: Observed::default(),
            status: ProofJobStatus::default(),
            setup: None,
            execution: None,
            tokenizer: None,
            proof: None,
            usages: Vec::new(),
        })
    }

    /// Runs the job to its end. A failed job is an end, not an error.
    pub fn run(mut self, progress: &Progress) -> Result<Finished> {
        loop {
            let now = Timestamp::now();
            let decision = decide(&self.spec, None, &self.status, &self.observed, now);
            self.status = decision.status;
            progress.show(&self.status);
            for effect in decision.effects {
                match effect {
                    Effect::Start(task) => {
                        self.executor.start(self.stage(task)?, self.threads(task))?;
                        self.observed.started(task);
                    }
                    Effect::Stop(task) => {
                        self.executor.stop(task);
                        self.observed.stopped(task);
                    }
                }
            }
            if self.status.completion_time.is_some() {
                let Self { status, proof, tokenizer, usages, .. } = self;
                return Ok(Finished { status, proof, tokenizer, usages });
            }
            match self.executor.wait(TICK) {
                Some(Heard::Ended(task, ended)) => self.observe(task, *ended, progress),
                Some(Heard::Token(token)) => progress.token(&token),
                None => {}
            }
        }
    }

    fn observe(&mut self, task: Task, ended: Result<ResultRecord, Failed>, progress: &Progress) {
        let record = match ended {
            Ok(record) => record,
            Err(Failed { failure, lost }) => {
                progress.failed(task, &failure.message);
                self.observed.failed(task, failure);
                lost.into_iter().for_each(|task| self.observed.lost(task));
                return;
            }
        };
        let Outcome::Done { artifact, reused, .. } = record.outcome else { return };
        match self.product(task, artifact.digest) {
            Ok(product) => {
                progress.finished(task, &record.usage, reused, &product);
                if !reused {
                    self.observed.ran_on(task, &record.usage.device);
                }
                self.usages.push(TaskUsage { task, usage: record.usage, artifact });
                self.observed.finished(product);
            }
            // What the worker says is there is not: it has to be made again.
            Err(error) => {
                let message = error.to_string();
                progress.failed(task, &message);
                self.observed.failed(task, TaskFailure { kind: FailureKind::Retryable, message });
            }
        }
    }

    /// Reads a finished task's artifact: only what is in the store counts.
    fn product(&mut self, task: Task, artifact: Digest) -> Result<Product> {
        Ok(match task {
            Task::Setup {} => {
                let manifest: SetupManifest = self.read(artifact)?;
                self.setup = Some(artifact);
                let identity = ModelIdentity {
                    commitment: manifest.commitment,
                    key_uri: self.store.url_of(manifest.key.digest),
                    key_digest: manifest.key.digest,
                    key_bytes: manifest.key.bytes,
                    tokenizer_uri: manifest.tokenizer.map(|tokenizer| self.store.url_of(tokenizer.digest)),
                    memory: manifest.memory,
                };
                self.tokenizer = manifest.tokenizer;
                Product::Model { subgraphs: u32::try_from(manifest.weights.len())?, identity }
            }
            Task::Execute {} => {
                let manifest: ExecutionManifest = self.read(artifact)?;
                self.execution = Some(artifact);
                Product::Result(crds::Result { outputs: manifest.outputs })
            }
            Task::Prove { subgraph } => {
                self.store.get(artifact)?;
                Product::Subgraph { index: subgraph }
            }
            Task::Aggregate {} => {
                let manifest: ProofManifest = self.read(artifact)?;
                let ArtifactRef { digest, bytes } = manifest.proof;
                let (uri, soundness_bits) = (self.store.url_of(digest), manifest.soundness_bits);
                self.proof = Some(manifest);
                Product::Proof(crds::Proof { uri, digest, bytes, soundness_bits })
            }
        })
    }

    fn read<T: DeserializeOwned>(&self, artifact: Digest) -> Result<T> {
        let bytes = self.store.get(artifact).map_err(|error: StoreError| anyhow::Error::new(error))?;
        serde_json::from_slice(&bytes).with_context(|| format!("the artifact {artifact} is of another version"))
    }

    fn stage(&self, task: Task) -> Result<StageArgs> {
        let execution = || self.execution.context("execute has no artifact");
        Ok(match task {
            Task::Setup {} => {
                let model = self.spec.model.as_ref().context("spec.model: missing")?;
                StageArgs::Setup(SetupArgs::new(model, self.spec.partition.subgraphs, self.spec.security_bits))
            }
            Task::Execute {} => {
                let setup = self.setup.context("setup has no artifact")?;
                StageArgs::Execute(ExecuteArgs { setup, input: self.input.clone() })
            }
            Task::Prove { subgraph } => StageArgs::Prove(ProveArgs::of(execution()?, subgraph)),
            Task::Aggregate {} => StageArgs::Aggregate(AggregateArgs { execution: execution()? }),
        })
    }

    /// The cores, shared out among the workers that run side by side.
    fn threads(&self, task: Task) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match task {
            Task::Prove { .. } => {
                let at_once = self.spec.parallelism.unwrap_or(1).min(self.observed.subgraphs().unwrap_or(1));
                (cores / at_once.max(1) as usize).max(1)
            }
            _ => cores,
        }
    }
}
