//! From children and their pods to what `lifecycle` knows of the tasks: a fold over the children in the order of their making.
//!
//! Everything is derived anew each time. The status is consulted only for products whose pod is gone.

use std::collections::BTreeMap;

use crds::{
    Digest, ModelIdentity, Proof, ProofJobStatus,
    contract::{FailureKind, Outcome, Stage, Summary, Task, artifact_url},
    reason,
};
use lifecycle::{Observed, Product, TaskFailure};

use crate::{
    attempt::Attempt,
    child::{Child, State},
};

/// For the children that need it, what became of their pods, by the child's name.
pub type Attempts = BTreeMap<String, Vec<Attempt>>;

/// What is known of a job.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// For `lifecycle`.
    pub observed: Observed,
    /// What setup and execute made.
    pub artifacts: BTreeMap<Stage, Digest>,
    /// The memory class that a task's next child has, where it is not the first.
    pub classes: BTreeMap<Task, u32>,
}

/// Which children's pods have to be looked at.
pub fn wanted<'a>(children: &'a [Child], status: &ProofJobStatus) -> impl Iterator<Item = &'a str> {
    let known = |child: &Child| {
        let stage = status.stages.of(child.stage);
        stage.is_some_and(|stage| stage.job.as_ref() == Some(&child.name) && stage.artifact.is_some())
    };
    // Of subgraphs that are proved only their cost is of interest, once.
    let uncounted = status.stages.prove.as_ref().is_none_or(|prove| prove.completion_time.is_none());
    let is_proved = |child: &Child| child.subgraphs.iter().all(|subgraph| child.completed.contains(subgraph));
    let wanted = move |child: &&Child| match child.state {
        // A Job that has proved the last of its subgraphs is not yet called complete.
        State::Running if child.stage == Stage::Prove && is_proved(child) => uncounted,
        State::Running => child.failed_pods > 0 || !child.failed.is_empty(),
        State::Complete if child.stage == Stage::Prove => uncounted,
        State::Complete => !known(child),
        State::Failed { .. } => true,
    };
    children.iter().filter(wanted).map(|child| child.name.as_str())
}

/// Folds all children into facts. `rungs` is the number of memory classes of a stage, `queued` whether a queue starts children.
pub fn observe(
    children: &[Child],
    attempts: &Attempts,
    status: &ProofJobStatus,
    store: &str,
    queued: bool,
    rungs: impl Fn(Stage) -> u32,
) -> Facts {
    let mut children: Vec<&Child> = children.iter().collect();
    children.sort_by_key(|child| child.sequence);
    let mut facts = Facts::default();
    facts.remember(&children, status);
    for (position, child) in children.iter().enumerate() {
        let attempts = attempts.get(&child.name).map_or(&[][..], Vec::as_slice);
        let (later, has_next) = (&children[position + 1..], child.class + 1 < rungs(child.stage));
        let fold = Fold { child, later, attempts, status, store, queued, has_next };
        fold.devices(&mut facts);
        match child.stage {
            Stage::Prove => fold.prove(&mut facts),
            _ => fold.single(&mut facts),
        }
    }
    facts
}

impl Facts {
    /// Takes over from the status what children made that do not exist any more; of those that do, what is said of it.
    fn remember(&mut self, children: &[&Child], status: &ProofJobStatus) {
        for stage in [Stage::Setup, Stage::Execute, Stage::Aggregate] {
            let Some(product) = remembered(stage, status) else { continue };
            let artifact = status.stages.of(stage).and_then(|stage| stage.artifact);
            if children.iter().any(|child| child.stage == stage) {
                // Whether it still counts as done is the children's to say.
                let task = product.task();
                self.observed.finished(product);
                self.observed.lost(task);
            } else if let Some(artifact) = artifact {
                self.finish(stage, artifact, product);
            }
        }
    }

    fn finish(&mut self, stage: Stage, artifact: Digest, product: Product) {
        self.artifacts.insert(stage, artifact);
        self.observed.finished(product);
    }
}

/// A stage's product as the status has it.
fn remembered(stage: Stage, status: &ProofJobStatus) -> Option<Product> {
    match stage {
        Stage::Setup => Some(Product::Model { subgraphs: status.subgraphs?.total, identity: status.model.clone()? }),
        Stage::Execute => Some(Product::Result(status.result.clone()?)),
        Stage::Prove => None,
        Stage::Aggregate => Some(Product::Proof(status.proof.clone()?)),
    }
}

struct Fold<'a> {
    child: &'a Child,
    /// The children that were made after it.
    later: &'a [&'a Child],
    attempts: &'a [Attempt],
    status: &'a ProofJobStatus,
    store: &'a str,
    queued: bool,
    has_next: bool,
}

impl Fold<'_> {
    fn single(&self, facts: &mut Facts) {
        let task = match self.child.stage {
            Stage::Setup => Task::Setup {},
            Stage::Execute => Task::Execute {},
            Stage::Aggregate | Stage::Prove => Task::Aggregate {},
        };
        match &self.child.state {
            State::Running => {
                self.mention(facts, task, self.last(None));
                if self.child.is_active(self.queued) {
                    facts.observed.started(task);
                }
            }
            State::Complete => match self.product() {
                Some((artifact, product)) => facts.finish(self.child.stage, artifact, product),
                None if self.is_superseded(task) => facts.observed.stopped(task),
                None => {
                    let message = format!("{} has ended well, and what it said is gone or unreadable", self.child.name);
                    facts.observed.failed(task, TaskFailure { kind: FailureKind::Retryable, message });
                }
            },
            State::Failed { reason } => self.settle(facts, task, self.last(None), reason),
        }
    }

    fn prove(&self, facts: &mut Facts) {
        for (position, subgraph) in self.child.subgraphs.iter().enumerate() {
            let task = Task::Prove { subgraph };
            let last = self.last(Some(position as u32));
            if self.child.completed.contains(subgraph) || self.child.state == State::Complete {
                facts.observed.finished(Product::Subgraph { index: subgraph });
            } else if self.child.failed.contains(subgraph) {
                self.settle(facts, task, last, "FailedIndexes");
            } else if let State::Failed { reason } = &self.child.state {
                // Most were only stopped for another's failure, and are not to blame.
                let to_blame = last
                    .is_some_and(|a| a.is_loss() || matches!(a.outcome(), Err(kind) if kind != FailureKind::Retryable));
                if to_blame || reason == "DeadlineExceeded" {
                    self.settle(facts, task, last, reason);
                } else {
                    facts.observed.stopped(task);
                }
            } else {
                self.mention(facts, task, last);
                if self.child.is_active(self.queued) {
                    facts.observed.started(task);
                }
            }
        }
    }

    /// What the processes computed on that did what they were to do.
    fn devices(&self, facts: &mut Facts) {
        for record in self.attempts.iter().filter(|attempt| attempt.exit_code == 0).flat_map(|a| &a.record) {
            if record.task.stage() == self.child.stage && matches!(record.outcome, Outcome::Done { reused: false, .. })
            {
                facts.observed.ran_on(record.task, &record.usage.device);
            }
        }
    }

    /// Whether a later child has taken the task over.
    fn is_superseded(&self, task: Task) -> bool {
        self.later.iter().any(|later| {
            later.stage == task.stage() && task.subgraph().is_none_or(|subgraph| later.subgraphs.contains(subgraph))
        })
    }

    /// The last failed attempt at an index that nobody else is to blame for.
    fn last(&self, index: Option<u32>) -> Option<&Attempt> {
        let failed = self.attempts.iter().filter(|a| a.index == index || index.is_none());
        failed.filter(|a| a.exit_code != 0 && (!a.disrupted || a.out_of_memory)).max_by_key(|a| a.finished)
    }

    /// Notes what Kubernetes is about to try again.
    fn mention(&self, facts: &mut Facts, task: Task, last: Option<&Attempt>) {
        if let Some(attempt) = last {
            let message = self.explain(task, attempt);
            facts.observed.excused(task, TaskFailure { kind: FailureKind::Retryable, message });
        }
    }

    /// What it means for a task that Kubernetes will not try again.
    fn settle(&self, facts: &mut Facts, task: Task, last: Option<&Attempt>, reason: &str) {
        let retryable = |message| TaskFailure { kind: FailureKind::Retryable, message };
        if reason == "DeadlineExceeded" {
            let message = format!("{} ran out of time", self.child.name);
            return facts.observed.given_up(task, retryable(message), reason::DEADLINE_EXCEEDED);
        }
        let Some(attempt) = last else {
            let message = format!("{} has failed ({reason}), and its pods are gone", self.child.name);
            if self.is_superseded(task) {
                return facts.observed.failed(task, retryable(message));
            }
            return facts.observed.given_up(task, retryable(message), reason::RETRIES_EXHAUSTED);
        };
        let message = self.explain(task, attempt);
        facts.classes.insert(task, self.child.class);
        match attempt.outcome() {
            Err(kind @ (FailureKind::Deterministic | FailureKind::WrongModelOrVersion)) => {
                facts.observed.failed(task, TaskFailure { kind, message });
            }
            _ if attempt.was_killed() && self.has_next => {
                facts.classes.insert(task, self.child.class + 1);
                facts.observed.excused(task, retryable(message));
            }
            _ if attempt.out_of_memory => {
                facts.observed.given_up(task, retryable(message), reason::OUT_OF_MEMORY);
            }
            _ if attempt.is_loss() => {
                facts.observed.failed(task, retryable(message));
                if let Some(lost) = loss(task, attempt) {
                    facts.artifacts.remove(&lost.stage());
                    facts.observed.lost(lost);
                }
            }
            _ => facts.observed.given_up(task, retryable(message), reason::RETRIES_EXHAUSTED),
        }
    }

    fn explain(&self, task: Task, attempt: &Attempt) -> String {
        match &attempt.record {
            Ok(record) if record.task == task => match &record.outcome {
                Outcome::Failed { message, .. } => message.clone(),
                Outcome::Done { .. } => {
                    format!("the worker ended with exit code {} after it was done", attempt.exit_code)
                }
            },
            _ if attempt.was_killed() && self.has_next => {
                "killed for memory: tried again with the next memory class".into()
            }
            _ if attempt.out_of_memory => {
                let stage = self.child.stage;
                format!("killed for memory in the largest class: add a larger one to spec.stages.{stage}.memoryClasses")
            }
            Ok(_) => "the worker's result record is about another task".into(),
            Err(error) => format!("the worker ended with exit code {} and {error}", attempt.exit_code),
        }
    }

    /// What the child made: from its pod, or from the status if that was read from it before.
    fn product(&self) -> Option<(Digest, Product)> {
        let of_status = || {
            let stage = self.status.stages.of(self.child.stage)?;
            let artifact = stage.artifact.filter(|_| stage.job.as_ref() == Some(&self.child.name))?;
            Some((artifact, remembered(self.child.stage, self.status)?))
        };
        self.attempts.iter().filter(|attempt| attempt.exit_code == 0).find_map(|a| self.parse(a)).or_else(of_status)
    }

    fn parse(&self, attempt: &Attempt) -> Option<(Digest, Product)> {
        let record = attempt.record.as_ref().ok()?;
        let Outcome::Done { artifact, summary, .. } = &record.outcome else { return None };
        let product = match (self.child.stage, record.task, summary) {
            (Stage::Setup, Task::Setup {}, Summary::Model { subgraphs, commitment, key, tokenizer, memory }) => {
                let identity = ModelIdentity {
                    commitment: *commitment,
                    key_uri: artifact_url(self.store, key.digest),
                    key_digest: key.digest,
                    key_bytes: key.bytes,
                    tokenizer_uri: tokenizer.map(|tokenizer| artifact_url(self.store, tokenizer.digest)),
                    memory: memory.clone(),
                };
                Product::Model { subgraphs: *subgraphs, identity }
            }
            (Stage::Execute, Task::Execute {}, Summary::Outputs(outputs)) => {
                Product::Result(crds::Result { outputs: bounded(outputs) })
            }
            (Stage::Aggregate, Task::Aggregate {}, Summary::Proof { proof, soundness_bits }) => {
                let uri = artifact_url(self.store, proof.digest);
                let (digest, bytes, soundness_bits) = (proof.digest, proof.bytes, *soundness_bits);
                Product::Proof(Proof { uri, digest, bytes, soundness_bits })
            }
            _ => return None,
        };
        Some((artifact.digest, product))
    }
}

/// Which earlier task a worker blames. A worker that blames a later one is not believed.
fn loss(task: Task, attempt: &Attempt) -> Option<Task> {
    let record = attempt.record.as_ref().ok().filter(|record| record.task == task)?;
    match &record.outcome {
        Outcome::Failed { lost: Some(lost), .. } if lost.stage() < task.stage() => Some(*lost),
        _ => None,
    }
}

/// At most what the status takes, whatever a worker says.
fn bounded(outputs: &[crds::Output]) -> Vec<crds::Output> {
    let mut outputs: Vec<_> = outputs.iter().take(crds::limits::ALL_OUTPUTS).cloned().collect();
    for output in &mut outputs {
        output.values.truncate(crds::limits::OUTPUT_VALUES);
        let cut = |text: &String| text.chars().take(crds::limits::OUTPUT_TEXT).collect();
        output.text = output.text.as_ref().map(cut);
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::{Indexes, StageStatus};
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    fn proving(completed: &str) -> Child {
        Child {
            name: "prove".into(),
            sequence: 0,
            stage: Stage::Prove,
            class: 0,
            subgraphs: "0-3".parse().unwrap(),
            completed: completed.parse().unwrap(),
            failed: Indexes::default(),
            parallelism: 4,
            state: State::Running,
            suspended: false,
            deleting: false,
            failed_pods: 0,
            created: None,
            started: None,
        }
    }

    #[test]
    fn what_proving_cost_is_read_once() {
        let mut status = ProofJobStatus::default();
        let count = |child: &Child, status: &ProofJobStatus| wanted(std::slice::from_ref(child), status).count();
        let complete = Child { state: State::Complete, ..proving("0-3") };
        assert_eq!(count(&proving("0-2"), &status), 0, "not yet over");
        assert_eq!(count(&proving("0-3"), &status), 1, "over, although the Job does not say so yet");
        assert_eq!(count(&complete, &status), 1);
        let time = Time(Timestamp::UNIX_EPOCH);
        status.stages.prove = Some(StageStatus {
            start_time: time.clone(),
            completion_time: Some(time),
            job: None,
            artifact: None,
            devices: vec![],
        });
        assert_eq!(count(&proving("0-3"), &status), 0);
        assert_eq!(count(&complete, &status), 0);
    }
}
