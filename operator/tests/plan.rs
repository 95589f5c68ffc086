//! Plans without a cluster: whatever the children and in whatever order they are seen, no task has two of them.

use std::collections::BTreeSet;

use clap::Parser;
use crds::{
    Digest, InputSource, Model, Output, ProofJob, ProofJobSpec, ProofJobStatus, Subgraphs,
    contract::{ArtifactRef, FailureKind, Outcome, ResultRecord, Stage, Summary, Task, Usage},
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use proofmill_operator::{
    attempt::Attempt,
    child::{Child, State},
    observe::Attempts,
    owner::Owner,
    parallelism::open,
    plan::{Action, Plan, World, plan},
    settings::{Settings, WorkerSettings},
};
use proptest::prelude::*;

const SUBGRAPHS: u32 = 4;

/// A cluster of one job, moved by hand.
struct Life {
    settings: WorkerSettings,
    owner: Owner,
    job: ProofJob,
    status: ProofJobStatus,
    children: Vec<Child>,
    attempts: Attempts,
    now: Timestamp,
    created: Vec<String>,
}

#[derive(Clone, Debug)]
enum Event {
    /// A child's next open index ends well.
    Succeeds(usize),
    /// It fails for good with this exit code.
    Fails(usize, i32),
    /// The pods of a child are deleted.
    Forgotten(usize),
    /// The operator sees the children as they were before the last one was made.
    Stale,
    Suspended(bool),
    /// Another parallelism is asked for.
    Parallelism(Option<u32>),
    Passed(i64),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0usize..8).prop_map(Event::Succeeds),
        2 => (0usize..8, prop_oneof![Just(1), Just(42), Just(43), Just(44), Just(137)]).prop_map(|(at, code)| Event::Fails(at, code)),
        1 => (0usize..8).prop_map(Event::Forgotten),
        2 => Just(Event::Stale),
        1 => any::<bool>().prop_map(Event::Suspended),
        1 => proptest::option::of(1u32..6).prop_map(Event::Parallelism),
        1 => (0i64..100).prop_map(Event::Passed),
    ]
}

impl Life {
    fn new() -> Self {
        let line = ["proofmill-operator", "--worker-image=worker:1", "--default-store=s3://store"];
        let model = Model { source: "m.onnx".into(), ..Model::default() };
        let input = InputSource::at("i.png");
        let mut job = ProofJob::new("digits", ProofJobSpec::new(model, input));
        job.spec.partition.subgraphs = Subgraphs::Count(SUBGRAPHS);
        (job.metadata.namespace, job.metadata.uid) = (Some("ns".into()), Some("0f9e1c2d-0000".into()));
        Self {
            settings: Settings::try_parse_from(line).unwrap().workers,
            owner: Owner::of_job(&job).unwrap(),
            job,
            status: ProofJobStatus::default(),
            children: vec![],
            attempts: Attempts::new(),
            now: Timestamp::from_second(1_800_000_000).unwrap(),
            created: vec![],
        }
    }

    fn plan(&self, children: &[Child]) -> Plan {
        let world = World {
            settings: &self.settings,
            children,
            attempts: &self.attempts,
            model: None,
            refusal: None,
            now: self.now,
        };
        plan(&self.owner, &self.job, &self.status, &world)
    }

    /// Plans and carries out; a name that is taken is left, as by an API server.
    fn step(&mut self, stale: bool) -> Result<(), TestCaseError> {
        let seen = self.children.len().saturating_sub(usize::from(stale));
        let plan = self.plan(&self.children[..seen]);
        for action in &plan.actions {
            match action {
                Action::CreateJob(job) => {
                    let child = Child::read(job).unwrap();
                    if let Some(same) = self.children.iter().find(|known| known.name == child.name) {
                        prop_assert_eq!(
                            (same.stage, &same.subgraphs),
                            (child.stage, &child.subgraphs),
                            "one name, one task"
                        );
                        continue;
                    }
                    for known in
                        self.children.iter().filter(|known| known.is_active(false) && known.stage == child.stage)
                    {
                        let shared = child
                            .subgraphs
                            .iter()
                            .any(|subgraph| known.subgraphs.contains(subgraph) && !known.failed.contains(subgraph));
                        prop_assert!(child.stage == Stage::Prove && !shared, "{} beside {}", child.name, known.name);
                    }
                    self.created.push(child.name.clone());
                    self.children.push(child);
                }
                Action::Suspend { name, suspend } => {
                    self.children.iter_mut().filter(|c| c.name == *name).for_each(|c| c.suspended = *suspend);
                }
                Action::Delete { name } => self.children.retain(|c| c.name != *name),
                Action::Parallelise { name, pods } => {
                    self.children.iter_mut().filter(|c| c.name == *name).for_each(|c| c.parallelism = *pods);
                }
                Action::CreateInput(_) => {}
            }
        }
        self.status = plan.status;
        Ok(())
    }

    /// Most pods that can prove now.
    fn pods(&self) -> u32 {
        let active = self.children.iter().filter(|child| child.stage == Stage::Prove && child.is_active(false));
        active.map(|child| child.parallelism.min(open(child))).sum()
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Succeeds(at) => self.end(*at, 0),
            Event::Fails(at, code) => self.end(*at, *code),
            Event::Forgotten(at) => {
                if let Some(child) = self.children.get(*at) {
                    self.attempts.remove(&child.name);
                }
            }
            Event::Suspended(suspend) => self.job.spec.suspend = *suspend,
            Event::Parallelism(parallelism) => self.job.spec.parallelism = *parallelism,
            Event::Passed(seconds) => self.now = self.now.checked_add(SignedDuration::from_secs(*seconds)).unwrap(),
            Event::Stale => {}
        }
    }

    fn end(&mut self, at: usize, code: i32) {
        let active: Vec<usize> = (0..self.children.len()).filter(|&i| self.children[i].is_active(false)).collect();
        if active.is_empty() {
            return;
        }
        let child = &mut self.children[active[at % active.len()]];
        let open: Vec<(usize, u32)> = child
            .subgraphs
            .iter()
            .enumerate()
            .filter(|&(_, s)| !child.completed.contains(s) && !child.failed.contains(s))
            .collect();
        let (index, task) = match (child.stage, open.get(at % open.len().max(1))) {
            (Stage::Setup, _) => (None, Task::Setup {}),
            (Stage::Execute, _) => (None, Task::Execute {}),
            (Stage::Aggregate, _) => (None, Task::Aggregate {}),
            (Stage::Prove, Some(&(index, subgraph))) => (Some(index as u32), Task::Prove { subgraph }),
            (Stage::Prove, None) => return,
        };
        let record = ResultRecord { task, outcome: outcome(task, code), usage: Usage::default() };
        self.attempts.entry(child.name.clone()).or_default().push(Attempt {
            index,
            exit_code: code,
            out_of_memory: code == 137,
            disrupted: false,
            record: Ok(record),
            created: None,
            started: None,
            finished: Some(self.now),
        });
        let failed = |reason: &str| State::Failed { reason: reason.into() };
        match (task, code) {
            (Task::Prove { subgraph }, 0) => child.completed = child.completed.iter().chain([subgraph]).collect(),
            (Task::Prove { .. }, 43 | 44) => child.state = failed("PodFailurePolicy"),
            (Task::Prove { subgraph }, _) => child.failed = child.failed.iter().chain([subgraph]).collect(),
            (_, 0) => child.state = State::Complete,
            _ => child.state = failed("BackoffLimitExceeded"),
        }
        if child.stage == Stage::Prove && child.state == State::Running {
            let over = child.completed.len() + child.failed.len() == child.subgraphs.len();
            if over {
                child.state = if child.failed.is_empty() { State::Complete } else { failed("FailedIndexes") };
            }
        }
    }
}

fn outcome(task: Task, code: i32) -> Outcome {
    let artifact = ArtifactRef { digest: Digest([task.stage() as u8 + 1; 32]), bytes: 1 };
    if let Err(kind) = FailureKind::of_exit_code(Some(code)) {
        let lost = match task {
            Task::Aggregate {} => Some(Task::Prove { subgraph: 1 }),
            Task::Prove { .. } => Some(Task::Execute {}),
            Task::Execute {} => Some(Task::Setup {}),
            Task::Setup {} => None,
        };
        return Outcome::Failed { kind, message: "broke".into(), lost: lost.filter(|_| code == 44) };
    }
    let summary = match task {
        Task::Setup {} => {
            let (commitment, tokenizer, memory) = (Digest([8; 32]), None, vec![]);
            Summary::Model { subgraphs: SUBGRAPHS, commitment, key: artifact, tokenizer, memory }
        }
        Task::Execute {} => {
            Summary::Outputs(vec![Output { name: "y".into(), shape: vec![1], values: vec![1.0], ..Output::default() }])
        }
        Task::Prove { .. } => Summary::Subgraph {},
        Task::Aggregate {} => Summary::Proof { proof: artifact, soundness_bits: 128 },
    };
    Outcome::Done { artifact, reused: false, summary }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_observations_makes_two_children_for_one_task(life in proptest::collection::vec(events(), 0..60)) {
        let mut model = Life::new();
        let mut ended: Option<ProofJobStatus> = None;
        for event in &life {
            model.apply(event);
            model.step(matches!(event, Event::Stale))?;
            if !matches!(event, Event::Stale) {
                let again = model.plan(&model.children);
                prop_assert_eq!(&again.actions, &vec![], "planning again asks for nothing");
                prop_assert_eq!(&again.status, &model.status, "planning again says the same");
                prop_assert!(model.pods() <= model.job.spec.parallelism.unwrap_or(u32::MAX), "{} pods", model.pods());
            }
            if let Some(ended) = &ended {
                prop_assert_eq!(&model.status, ended, "an ended job stays as it is");
            } else if model.status.completion_time.is_some() {
                ended = Some(model.status.clone());
            }
        }
        let distinct: BTreeSet<_> = model.created.iter().collect();
        prop_assert_eq!(distinct.len(), model.created.len());
    }

    #[test]
    fn a_job_whose_pods_succeed_has_its_proof(life in proptest::collection::vec(events(), 0..30)) {
        let mut model = Life::new();
        model.job.spec.retries = 20;
        let fatal = |event: &&Event| matches!(event, Event::Fails(_, 1 | 42 | 43 | 137) | Event::Forgotten(_));
        for event in life.iter().filter(|event| !fatal(event)) {
            model.apply(event);
            model.step(matches!(event, Event::Stale))?;
        }
        model.job.spec.suspend = false;
        for _ in 0..60 {
            model.step(false)?;
            model.apply(&Event::Succeeds(0));
        }
        prop_assert_eq!(model.status.phase.as_deref(), Some("Succeeded"));
    }
}
