//! What is known of a job's tasks: a fold over observations that any executor can make.
//!
//! An observation may come late, twice or in another order; none makes a finished task unfinished but [`Observed::lost`].

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    ModelIdentity, Proof, Result,
    contract::{FailureKind, Stage, Task},
    limits,
};

/// What is known of all tasks of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    tasks: BTreeMap<Task, TaskState>,
    subgraphs: Option<u32>,
    model: Option<ModelIdentity>,
    result: Option<Result>,
    proof: Option<Proof>,
    refusal: Option<String>,
    devices: BTreeMap<Stage, BTreeSet<String>>,
}

/// What is known of one task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// A process is at work on it.
    pub running: bool,
    /// Its artifact is in the store.
    pub done: bool,
    /// Attempts that failed.
    pub failures: u32,
    /// The latest of them; once one is final, that one.
    pub failure: Option<TaskFailure>,
    /// Why the executor will not try again, if it will not.
    pub given_up: Option<&'static str>,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFailure {
    /// Whether to try again.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// What a finished task tells the job, besides that it is finished.
#[derive(Clone, Debug, PartialEq)]
pub enum Product {
    /// Of setup.
    Model {
        /// How many subgraphs the partition has, at least 1.
        subgraphs: u32,
        /// The model's commitment and key.
        identity: ModelIdentity,
    },
    /// Of execute: what the model says.
    Result(Result),
    /// Of prove: nothing that the job needs to know.
    Subgraph {
        /// Its index.
        index: u32,
    },
    /// Of aggregate: the proof.
    Proof(Proof),
}

impl Product {
    /// The task that makes it.
    pub const fn task(&self) -> Task {
        match self {
            Self::Model { .. } => Task::Setup {},
            Self::Result(_) => Task::Execute {},
            Self::Subgraph { index } => Task::Prove { subgraph: *index },
            Self::Proof(_) => Task::Aggregate {},
        }
    }
}

impl Observed {
    /// A process has begun a task.
    pub fn started(&mut self, task: Task) {
        self.tasks.entry(task).or_default().running = true;
    }

    /// No process is at work on a task any more, and nothing is known of how it ended.
    pub fn stopped(&mut self, task: Task) {
        self.tasks.entry(task).or_default().running = false;
    }

    /// A task's artifact is in the store.
    pub fn finished(&mut self, product: Product) {
        let state = self.tasks.entry(product.task()).or_default();
        (state.running, state.done) = (false, true);
        match product {
            Product::Model { subgraphs, identity } => (self.subgraphs, self.model) = (Some(subgraphs), Some(identity)),
            Product::Result(result) => self.result = Some(result),
            Product::Subgraph { .. } => {}
            Product::Proof(proof) => self.proof = Some(proof),
        }
    }

    /// A process that did its task says what it computed on.
    pub fn ran_on(&mut self, task: Task, device: &str) {
        let devices = self.devices.entry(task.stage()).or_default();
        if devices.len() < limits::DEVICES {
            devices.insert(device.chars().take(limits::DEVICE).collect());
        }
    }

    /// A process has ended without its artifact.
    pub fn failed(&mut self, task: Task, failure: TaskFailure) {
        self.note(task, failure, 1);
    }

    /// A process has ended without its artifact, through no fault of the task: the attempt does not count.
    pub fn excused(&mut self, task: Task, failure: TaskFailure) {
        self.note(task, failure, 0);
    }

    /// The executor has tried as often as it may; `reason` becomes the condition's.
    pub fn given_up(&mut self, task: Task, failure: TaskFailure, reason: &'static str) {
        self.note(task, failure, 1);
        self.tasks.entry(task).or_default().given_up = Some(reason);
    }

    fn note(&mut self, task: Task, failure: TaskFailure, weight: u32) {
        let state = self.tasks.entry(task).or_default();
        state.running = false;
        if state.done {
            return;
        }
        state.failures = state.failures.saturating_add(weight);
        let settled = state.failure.as_ref().is_some_and(|failure| failure.kind != FailureKind::Retryable);
        if !settled {
            state.failure = Some(failure);
        }
    }

    /// The executor cannot do what the spec asks for.
    pub fn refused(&mut self, message: String) {
        self.refusal = Some(message);
    }

    /// A finished task's artifact is missing or corrupt: the task has to be done again.
    pub fn lost(&mut self, task: Task) {
        self.tasks.entry(task).or_default().done = false;
    }

    /// What is known of a task.
    pub fn task(&self, task: Task) -> TaskState {
        self.tasks.get(&task).cloned().unwrap_or_default()
    }

    /// All tasks of which anything is known.
    pub fn tasks(&self) -> impl Iterator<Item = (Task, &TaskState)> {
        self.tasks.iter().map(|(&task, state)| (task, state))
    }

    /// What a stage's processes computed on, as far as it is known.
    pub fn devices(&self, stage: Stage) -> impl Iterator<Item = &String> {
        self.devices.get(&stage).into_iter().flatten()
    }

    /// How many subgraphs there are, once setup is done.
    pub const fn subgraphs(&self) -> Option<u32> {
        self.subgraphs
    }

    /// The model's commitment and key, once setup is done.
    pub const fn model(&self) -> Option<&ModelIdentity> {
        self.model.as_ref()
    }

    /// Why the executor cannot run the job, if it cannot.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// What the model says, once execute is done.
    pub const fn result(&self) -> Option<&Result> {
        self.result.as_ref()
    }

    /// The proof, once aggregate is done.
    pub const fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }
}
