//! What is known of a job's tasks: a fold over observations that any executor can make.
//!
//! An observation may come late, twice or in another order; none makes a finished task unfinished but [`Observed::lost`].

use std::collections::BTreeMap;

use crds::{
    Proof, Result,
    contract::{FailureKind, Task},
};

/// What is known of all tasks of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    tasks: BTreeMap<Task, TaskState>,
    subgraphs: Option<u32>,
    result: Option<Result>,
    proof: Option<Proof>,
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
    /// Of setup: how many subgraphs the partition has.
    Partition {
        /// At least 1.
        subgraphs: u32,
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
            Self::Partition { .. } => Task::Setup {},
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
            Product::Partition { subgraphs } => self.subgraphs = Some(subgraphs),
            Product::Result(result) => self.result = Some(result),
            Product::Subgraph { .. } => {}
            Product::Proof(proof) => self.proof = Some(proof),
        }
    }

    /// A process has ended without its artifact.
    pub fn failed(&mut self, task: Task, failure: TaskFailure) {
        let state = self.tasks.entry(task).or_default();
        state.running = false;
        if state.done {
            return;
        }
        state.failures = state.failures.saturating_add(1);
        let settled = state.failure.as_ref().is_some_and(|failure| failure.kind != FailureKind::Retryable);
        if !settled {
            state.failure = Some(failure);
        }
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

    /// How many subgraphs there are, once setup is done.
    pub const fn subgraphs(&self) -> Option<u32> {
        self.subgraphs
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
