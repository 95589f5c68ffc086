//! The plan for a `ProofJob`: from its spec, its last status and what is observed to its next status and what to do for it.
//!
//! Pure, and derived anew each time: planning again before anything has changed asks for the same children by the same names.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    Device, PodOverrides, ProofJob, ProofJobSpec, ProofJobStatus, ProofModel, condition,
    contract::{AggregateArgs, ExecuteArgs, FailureKind, ProveArgs, SetupArgs, Stage, StageArgs, Task, WorkerArgs},
    memory_need, phase,
};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::ConfigMap},
    jiff::Timestamp,
};
use lifecycle::{Decision, Effect, Observed, Product, TaskFailure, decide};

use crate::{
    build::{self, ChildSpec, PodPlan, ladder, rung},
    child::{Child, State},
    names,
    observe::{Attempts, Facts, observe},
    owner::Owner,
    parallelism,
    place::{self, StorePlace},
    settings::WorkerSettings,
};

/// What a plan is made from, besides the object itself.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// What the operator was told.
    pub settings: &'a WorkerSettings,
    /// The object's children.
    pub children: &'a [Child],
    /// What became of their pods, as far as [`crate::observe::wanted`] asks for it.
    pub attempts: &'a Attempts,
    /// The `ProofModel` that `spec.modelRef` names, if there is one.
    pub model: Option<&'a ProofModel>,
    /// What the API server said against a child, if it refused one.
    pub refusal: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make the ConfigMap of an inline input.
    CreateInput(Box<ConfigMap>),
    /// Make a child.
    CreateJob(Box<Job>),
    /// Stop or start a child's pods.
    Suspend {
        /// The child.
        name: String,
        /// Whether to stop them.
        suspend: bool,
    },
    /// Let a child have more or fewer pods at one time.
    Parallelise {
        /// The child.
        name: String,
        /// How many.
        pods: u32,
    },
    /// Delete a child that still runs.
    Delete {
        /// The child.
        name: String,
    },
}

/// A status and what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The status to publish once the actions have been carried out.
    pub status: ProofJobStatus,
    /// What to do first.
    pub actions: Vec<Action>,
    /// When to plan again if nothing is observed before.
    pub wake: Option<Timestamp>,
    /// The job is to be deleted.
    pub expired: bool,
}

/// Plans. `previous` is the status that was published last.
pub fn plan(owner: &Owner, job: &ProofJob, previous: &ProofJobStatus, world: &World<'_>) -> Plan {
    let spec = &job.spec;
    let store = store_of(spec, world);
    let url = store.as_ref().map_or("", |store| store.as_ref().map_or("", |store| &store.url));
    let rungs = |stage: Stage| ladder(spec.stages.of(stage)).len() as u32;
    let mut facts = observe(world.children, world.attempts, previous, url, spec.queue_name.is_some(), rungs);
    let mut waiting = None;
    if spec.model_ref.is_some() {
        waiting = adopt_model(&mut facts, spec, world);
    }
    let refusal = match &store {
        Some(Err(error)) => Some(error.clone()),
        _ => world.refusal.map(Into::into).or_else(|| check_sources(spec, world.settings).err()),
    };
    if let Some(refusal) = refusal {
        facts.observed.refused(refusal);
    }
    // Kubernetes keeps the pods of an Indexed Job within its parallelism.
    let unbounded = ProofJobSpec { parallelism: None, ..spec.clone() };
    let Decision { mut status, effects, wake, expired } =
        decide(&unbounded, job.metadata.generation, previous, &facts.observed, world.now);
    let actions = match store {
        Some(Ok(store)) => Builder { owner, spec, world, facts: &facts, store: &store }.actions(&status, &effects),
        // Nothing can be started; what runs can be stopped.
        _ => stops(spec, world.children, &status, &effects),
    };
    if previous.completion_time.is_none() {
        note_children(&mut status, &facts, world.children, &actions);
    }
    if let Some(message) = waiting
        && let Some(summary) = status.conditions.iter_mut().find(|c| c.type_ == condition::SUCCEEDED)
        && summary.status == "Unknown"
    {
        summary.message = message;
    }
    Plan { status, actions, wake, expired }
}

/// The job's store; `None` while its `ProofModel` is not there.
fn store_of(spec: &ProofJobSpec, world: &World<'_>) -> Option<Result<StorePlace, String>> {
    let store = match &spec.model_ref {
        Some(_) => world.model?.spec.store.as_ref(),
        None => spec.store.as_ref(),
    };
    Some(StorePlace::resolve(store, world.settings))
}

fn check_sources(spec: &ProofJobSpec, settings: &WorkerSettings) -> Result<(), String> {
    if let Some(model) = &spec.model {
        place::model(model, settings)?;
    }
    place::input(spec, settings).map(drop)
}

/// Takes setup's product from the `ProofModel`; says what the job waits for, if it does.
fn adopt_model(facts: &mut Facts, spec: &ProofJobSpec, world: &World<'_>) -> Option<String> {
    const SETUP: Task = Task::Setup {};
    let name = spec.model_ref.as_ref().map_or("", |model| &model.name);
    let observed: &mut Observed = &mut facts.observed;
    let Some(model) = world.model else {
        observed.started(SETUP);
        return Some(format!("waiting for ProofModel {name}, which does not exist"));
    };
    if model.spec.security_bits != spec.security_bits {
        let (asked, held) = (spec.security_bits.0, model.spec.security_bits.0);
        observed.refused(format!("spec.securityBits: {asked} bits are asked for, and ProofModel {name} has {held}"));
        return None;
    }
    let status = model.status.clone().unwrap_or_default();
    let summary = status.conditions.iter().find(|c| c.type_ == condition::SUCCEEDED);
    match (summary.map(|c| c.status.as_str()), status.subgraphs, status.model, status.artifact) {
        (Some("True"), Some(subgraphs), Some(identity), Some(artifact)) => {
            if world.children.iter().any(|child| lost_setup(child, world.attempts)) {
                observed.refused(format!("artifacts of ProofModel {name} are lost: delete it and apply it again"));
                return None;
            }
            facts.artifacts.insert(Stage::Setup, artifact);
            observed.finished(Product::Model { subgraphs, identity });
            None
        }
        (Some("False"), ..) => {
            let message = format!("ProofModel {name} has failed: {}", summary.map_or("", |c| &c.message));
            observed.failed(SETUP, TaskFailure { kind: FailureKind::Deterministic, message });
            None
        }
        _ => {
            observed.started(SETUP);
            Some(format!("waiting for ProofModel {name}"))
        }
    }
}

fn lost_setup(child: &Child, attempts: &Attempts) -> bool {
    use crds::contract::Outcome;
    let blames_setup = |attempt: &crate::attempt::Attempt| {
        attempt.record.as_ref().is_ok_and(
            |record| matches!(&record.outcome, Outcome::Failed { lost: Some(Task::Setup {}), .. } if attempt.is_loss()),
        )
    };
    matches!(child.state, State::Failed { .. })
        && attempts.get(&child.name).is_some_and(|all| all.iter().any(blames_setup))
}

/// Which child of each stage came last, and what it made.
fn note_children(status: &mut ProofJobStatus, facts: &Facts, children: &[Child], actions: &[Action]) {
    let mut last: BTreeMap<Stage, (u32, String)> = BTreeMap::new();
    let mut note = |stage: Stage, sequence: u32, name: &str| {
        let entry = last.entry(stage).or_insert_with(|| (sequence, name.into()));
        if sequence >= entry.0 {
            *entry = (sequence, name.into());
        }
    };
    children.iter().for_each(|child| note(child.stage, child.sequence, &child.name));
    for action in actions {
        if let Action::CreateJob(job) = action
            && let Some(child) = Child::read(job)
        {
            note(child.stage, child.sequence, &child.name);
        }
    }
    for stage in Stage::ALL {
        if let Some(entry) = status.stages.of_mut(stage) {
            if let Some((_, name)) = last.remove(&stage) {
                entry.job = Some(name);
            }
            entry.artifact =
                facts.artifacts.get(&stage).copied().or_else(|| {
                    (stage == Stage::Aggregate && status.proof.is_some()).then_some(entry.artifact).flatten()
                });
        }
    }
}

/// Ends what runs: an ended job's children are deleted, a suspended job's are suspended, unless a queue would start them again.
fn stops(spec: &ProofJobSpec, children: &[Child], status: &ProofJobStatus, effects: &[Effect]) -> Vec<Action> {
    let keep = status.phase.as_deref() == Some(phase::SUSPENDED) && spec.queue_name.is_none();
    let stopped = |child: &&Child| effects.iter().any(|e| matches!(e, Effect::Stop(task) if covers(child, *task)));
    let running = children.iter().filter(|child| child.is_active(spec.queue_name.is_some()));
    running
        .filter(stopped)
        .map(|child| {
            let name = child.name.clone();
            if keep { Action::Suspend { name, suspend: true } } else { Action::Delete { name } }
        })
        .collect()
}

fn covers(child: &Child, task: Task) -> bool {
    child.stage == task.stage() && task.subgraph().is_none_or(|subgraph| child.subgraphs.contains(subgraph))
}

struct Builder<'a> {
    owner: &'a Owner,
    spec: &'a ProofJobSpec,
    world: &'a World<'a>,
    facts: &'a Facts,
    store: &'a StorePlace,
}

impl Builder<'_> {
    fn actions(&self, status: &ProofJobStatus, effects: &[Effect]) -> Vec<Action> {
        let mut actions = stops(self.spec, self.world.children, status, effects);
        let mut sequence = self.world.children.iter().map(|child| child.sequence + 1).max().unwrap_or(0);
        let mut resumed = BTreeSet::new();
        // For each stage and memory class the tasks of one new child.
        let mut fresh: BTreeMap<(Stage, u32), Vec<Task>> = BTreeMap::new();
        for effect in effects {
            let Effect::Start(task) = *effect else { continue };
            match self.suspended(task) {
                Some(child) => _ = resumed.insert(child.name.clone()),
                None => {
                    let class = self.facts.classes.get(&task).copied().unwrap_or_else(|| self.first_class(task));
                    fresh.entry((task.stage(), class)).or_default().push(task);
                }
            }
        }
        actions.extend(resumed.into_iter().map(|name| Action::Suspend { name, suspend: false }));
        // A queue has admitted a child with the pods that it has, and may have changed their number.
        let mut proving = match self.spec.queue_name {
            None => parallelism::proving(self.world.children),
            Some(_) => vec![],
        };
        proving.retain(|child| !effects.iter().any(|e| matches!(e, Effect::Stop(task) if covers(child, *task))));
        let changes = parallelism::changes(self.spec.parallelism, &proving).into_iter();
        actions.extend(changes.map(|(child, pods)| Action::Parallelise { name: child.name.clone(), pods }));
        let mut open: Vec<u32> = proving.into_iter().map(parallelism::open).collect();
        for ((stage, class), tasks) in fresh {
            let Some(args) = self.args(stage, &tasks) else { continue };
            let pods = match (stage, &self.spec.queue_name) {
                (Stage::Prove, None) => {
                    open.push(tasks.len() as u32);
                    parallelism::shares(self.spec.parallelism, open.iter().copied()).pop().unwrap_or(0)
                }
                (Stage::Prove, Some(_)) => self.spec.parallelism.unwrap_or(u32::MAX).min(tasks.len() as u32),
                _ => 1,
            };
            let child = self.child(sequence, class, pods, &tasks, args);
            sequence += 1;
            actions.extend(self.input(stage));
            let plan = self.pod_plan(stage);
            actions.push(Action::CreateJob(Box::new(build::job(self.owner, &child, &plan))));
        }
        actions
    }

    /// The smallest memory class that holds what setup says proving takes; the largest if none does.
    fn first_class(&self, task: Task) -> u32 {
        let need = || memory_need(&self.facts.observed.model()?.memory, task.subgraph()?, self.spec.input_count());
        need().map_or(0, |need| rung(&ladder(self.spec.stages.of(task.stage())), need))
    }

    fn suspended(&self, task: Task) -> Option<&Child> {
        let is_paused =
            |child: &&Child| child.suspended && !child.deleting && child.state == State::Running && covers(child, task);
        self.world.children.iter().filter(is_paused).max_by_key(|child| child.sequence)
    }

    fn child(&self, sequence: u32, class: u32, parallelism: u32, tasks: &[Task], args: WorkerArgs) -> ChildSpec {
        let stage = args.stage.task().stage();
        ChildSpec {
            sequence,
            class,
            has_next_class: class + 1 < ladder(self.spec.stages.of(stage)).len() as u32,
            subgraphs: tasks.iter().filter_map(|task| task.subgraph()).collect(),
            args,
            parallelism,
            retries: self.spec.retries,
            deadline: self.spec.active_deadline_seconds,
            queue: self.spec.queue_name.clone(),
        }
    }

    /// The command line of a stage's workers; `None` if what it works on is not there, which `lifecycle` rules out.
    fn args(&self, stage: Stage, tasks: &[Task]) -> Option<WorkerArgs> {
        let settings = self.world.settings;
        let artifact = |stage: Stage| self.facts.artifacts.get(&stage).copied();
        let stage = match stage {
            Stage::Setup => {
                let model = place::model(self.spec.model.as_ref()?, settings).ok()?;
                StageArgs::Setup(SetupArgs::new(&model, self.spec.partition.subgraphs, self.spec.security_bits))
            }
            Stage::Execute => {
                let (input, _) = place::input(self.spec, settings).ok()?;
                StageArgs::Execute(ExecuteArgs { setup: artifact(Stage::Setup)?, input })
            }
            Stage::Prove => {
                let execution = artifact(Stage::Execute)?;
                let all = self.facts.observed.subgraphs()? as usize == tasks.len();
                let among = (!all).then(|| tasks.iter().filter_map(|task| task.subgraph()).collect());
                StageArgs::Prove(ProveArgs { execution, subgraph: None, among })
            }
            Stage::Aggregate => StageArgs::Aggregate(AggregateArgs { execution: artifact(Stage::Execute)? }),
        };
        Some(worker_args(self.store, self.spec.device, stage))
    }

    fn input(&self, stage: Stage) -> Option<Action> {
        let (_, file) = place::input(self.spec, self.world.settings).ok()?;
        let file = file.filter(|_| stage == Stage::Execute)?;
        Some(Action::CreateInput(Box::new(build::config_map(self.owner, file))))
    }

    fn pod_plan(&self, stage: Stage) -> PodPlan<'_> {
        let is_file = self.spec.input.as_ref().is_some_and(|input| input.url.is_some());
        let inline = stage == Stage::Execute && !is_file;
        let input = inline.then(|| names::input(&self.owner.name, &self.owner.uid));
        pod_plan(self.world.settings, self.spec.stages.of(stage), self.spec.device, self.store, input)
    }
}

/// A worker's command line in a pod.
pub(crate) fn worker_args(store: &StorePlace, device: Device, stage: StageArgs) -> WorkerArgs {
    let record = Some(build::TERMINATION_LOG.into());
    WorkerArgs { store: store.url.clone(), device: device.into(), record, until_stdin_closes: false, stage }
}

/// What a stage's pods are made of.
pub(crate) const fn pod_plan<'a>(
    settings: &'a WorkerSettings,
    overrides: &'a PodOverrides,
    device: Device,
    store: &'a StorePlace,
    input: Option<String>,
) -> PodPlan<'a> {
    PodPlan { settings, overrides, device, store, input }
}
