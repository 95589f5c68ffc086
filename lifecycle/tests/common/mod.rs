//! A job in memory: what an executor keeps, without processes.

use crds::{
    Digest, InputSource, Model, ModelIdentity, Output, ProofJobSpec, ProofJobStatus,
    contract::{FailureKind, Task},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proofmill_lifecycle::{Decision, Effect, Observed, Product, TaskFailure, decide};

pub struct Job {
    pub spec: ProofJobSpec,
    pub status: ProofJobStatus,
    pub observed: Observed,
    pub now: Timestamp,
}

pub fn job() -> Job {
    let model = Model { source: "m.onnx".into(), ..Model::default() };
    let input = InputSource::of(vec![vec![1.0]]);
    let spec = ProofJobSpec::new(model, input);
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    Job { spec, status: ProofJobStatus::default(), observed: Observed::default(), now }
}

pub const SETUP: Task = Task::Setup {};
pub const EXECUTE: Task = Task::Execute {};
pub const AGGREGATE: Task = Task::Aggregate {};

pub const fn prove(subgraph: u32) -> Task {
    Task::Prove { subgraph }
}

pub fn starts(tasks: &[Task]) -> Vec<Effect> {
    tasks.iter().map(|&task| Effect::Start(task)).collect()
}

pub fn broke(task: Task, kind: FailureKind) -> TaskFailure {
    TaskFailure { kind, message: format!("{task} broke") }
}

impl Job {
    /// Decides without carrying anything out.
    pub fn decide(&self) -> Decision {
        decide(&self.spec, Some(1), &self.status, &self.observed, self.now)
    }

    /// Decides, publishes and carries out.
    pub fn step(&mut self) -> Vec<Effect> {
        let decision = self.decide();
        for &effect in &decision.effects {
            match effect {
                Effect::Start(task) => self.observed.started(task),
                Effect::Stop(task) => self.observed.stopped(task),
            }
        }
        self.status = decision.status;
        decision.effects
    }

    pub fn finish(&mut self, task: Task, subgraphs: u32) {
        self.observed.finished(match task {
            Task::Setup {} => {
                let (commitment, key_digest) = (Digest([1; 32]), Digest([2; 32]));
                let identity = ModelIdentity {
                    commitment,
                    key_uri: "file:///k".into(),
                    key_digest,
                    key_bytes: 1,
                    tokenizer_uri: None,
                    memory: vec![],
                };
                Product::Model { subgraphs, identity }
            }
            Task::Execute {} => {
                let output =
                    Output { name: "y".into(), shape: vec![1], class: Some(0), values: vec![1.0], ..Output::default() };
                Product::Result(crds::Result { outputs: vec![output] })
            }
            Task::Prove { subgraph } => Product::Subgraph { index: subgraph },
            Task::Aggregate {} => {
                let digest = Digest([9; 32]);
                Product::Proof(crds::Proof { uri: "file:///p".into(), digest, bytes: 1, soundness_bits: 128 })
            }
        });
    }

    pub fn fail(&mut self, task: Task, kind: FailureKind) {
        self.observed.failed(task, broke(task, kind));
    }

    pub fn pass_seconds(&mut self, seconds: i64) {
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    }
}
