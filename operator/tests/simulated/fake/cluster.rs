//! What the Job controller and kubelets do: pods for Jobs, and the end that a script gives each of them.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use clap::Parser;
use crds::{
    Digest, Indexes, Output, Subgraphs,
    contract::{
        ArtifactRef, FailureKind, LOST_EXIT_CODE, Outcome, ResultRecord, Stage, StageArgs, Summary, Task, Usage,
        WorkerArgs,
    },
};
use k8s_openapi::jiff::Timestamp;
use proofmill_operator::names;
use serde_json::{Value, json};

use super::{
    api::FakeApi,
    objects::{Key, Objects},
};

pub const SETUP: Digest = Digest([1; 32]);
pub const EXECUTION: Digest = Digest([2; 32]);
pub const PROOF: Digest = Digest([4; 32]);

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its task is done.
    Done,
    /// With this exit code, and a record that says why.
    Exit(i32),
    /// Another task's artifact is missing.
    Lost(Task),
    /// Killed for memory.
    OutOfMemory,
    /// Evicted.
    Disrupted,
    /// Not, for now.
    Hangs,
    /// Well, but its message is rubbish.
    Babbles,
}

/// A pod that is about to run.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    pub task: Task,
    /// How often the task was tried before.
    pub before: u32,
    pub class: u32,
}

pub type Script = Arc<dyn Fn(Trial) -> End + Send + Sync>;

/// Jobs with pods that hang that are looked at again whenever something changes.
const HANGING: usize = 8;

/// Everything succeeds.
pub fn smooth() -> Script {
    Arc::new(|_| End::Done)
}

/// Every attempt ends as the function says.
pub fn scripted(script: impl Fn(Trial) -> End + Send + Sync + 'static) -> Script {
    Arc::new(script)
}

/// Proving a subgraph.
pub fn prove(subgraph: u32) -> Task {
    Task::Prove { subgraph }
}

/// The Jobs of a job of three subgraphs in which nothing fails: stages, and which subgraphs.
pub fn all_stages() -> Vec<(Stage, String)> {
    let none = String::new();
    vec![
        (Stage::Setup, none.clone()),
        (Stage::Execute, none.clone()),
        (Stage::Prove, "0-2".into()),
        (Stage::Aggregate, none),
    ]
}

#[derive(Default)]
struct Memory {
    /// Trials of a task of an owner.
    tried: HashMap<(String, Task), u32>,
    /// Counted failures of an index of a Job.
    failures: HashMap<(String, u32), u32>,
    pods: u64,
    /// Jobs that have changed.
    changed: BTreeSet<Key>,
    /// Jobs with pods that hang, in the order in which they are looked at again.
    hanging: VecDeque<Key>,
    /// The Job at hand has such a pod.
    hangs: bool,
    /// Command lines of a Job's pods, parsed.
    args: HashMap<(String, u32), WorkerArgs>,
    /// Up to where the log has been read.
    version: u64,
}

/// Runs Jobs until the task is aborted.
pub async fn run(api: FakeApi, script: Script) {
    let mut memory = Memory::default();
    let mut changes = api.changes();
    loop {
        changes.borrow_and_update();
        while api.with(|objects| objects.collect_garbage() | step(objects, &script, &mut memory)) {
            tokio::task::yield_now().await;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Lets every Job that has not ended take a step; says whether one did.
fn step(objects: &mut Objects, script: &Script, memory: &mut Memory) -> bool {
    let begin = objects.log.partition_point(|change| change.version <= memory.version);
    memory.changed.extend(objects.log.iter().skip(begin).filter(|c| c.key.resource == "jobs").map(|c| c.key.clone()));
    memory.version = objects.version;
    let again = memory.hanging.len().min(HANGING);
    let mut moved = false;
    for key in std::mem::take(&mut memory.changed).into_iter().chain(memory.hanging.drain(..again).collect::<Vec<_>>())
    {
        let Ok(job) = objects.get(&key) else { continue };
        let finished = job["status"]["conditions"].as_array().is_some_and(|all| !all.is_empty());
        memory.hangs = false;
        moved |= !finished && step_job(objects, &key, &job, script, memory);
        if memory.hangs && !memory.hanging.contains(&key) {
            memory.hanging.push_back(key);
        }
    }
    moved
}

fn step_job(objects: &mut Objects, key: &Key, job: &Value, script: &Script, memory: &mut Memory) -> bool {
    let before = job["status"].clone();
    let mut status = if before.is_null() { json!({}) } else { before.clone() };
    if job["spec"]["suspend"] == true {
        status.as_object_mut().unwrap().remove("startTime");
    } else {
        if status["startTime"].is_null() {
            status["startTime"] = json!(Timestamp::now().to_string());
        }
        let limit = job["spec"]["parallelism"].as_u64().unwrap_or(1) as usize;
        let mut turn = Turn { objects, key, job, status: &mut status, memory };
        for index in turn.open_indexes().into_iter().take(limit) {
            if turn.try_index(index, script) {
                break;
            }
        }
        turn.conclude();
    }
    if status == before {
        return false;
    }
    // It may have been deleted meanwhile.
    objects.update(key, |job| job["status"] = status).is_ok()
}

struct Turn<'a> {
    objects: &'a mut Objects,
    key: &'a Key,
    job: &'a Value,
    status: &'a mut Value,
    memory: &'a mut Memory,
}

impl Turn<'_> {
    fn indexed(&self) -> bool {
        self.job["spec"]["completionMode"] == "Indexed"
    }

    fn set(&self, field: &str) -> Indexes {
        self.status[field].as_str().unwrap_or("").parse().unwrap()
    }

    fn insert(&mut self, field: &str, index: u32) {
        let with: Indexes = self.set(field).iter().chain([index]).collect();
        self.status[field] = json!(with.to_string());
    }

    fn open_indexes(&self) -> Vec<u32> {
        let completions = self.job["spec"]["completions"].as_u64().unwrap_or(1) as u32;
        let over = |index| self.set("completedIndexes").contains(index) || self.set("failedIndexes").contains(index);
        (0..completions).filter(|&index| !over(index)).collect()
    }

    fn count(&mut self, field: &str) {
        self.status[field] = json!(self.status[field].as_i64().unwrap_or(0) + 1);
    }

    fn finish(&mut self, type_: &str, reason: &str) {
        let now = Timestamp::now().to_string();
        self.status["conditions"] = json!([{
            "type": type_, "status": "True", "reason": reason, "lastTransitionTime": now, "lastProbeTime": now
        }]);
    }

    /// Runs a pod to its end; says whether the Job has ended by it.
    fn try_index(&mut self, index: u32, script: &Script) -> bool {
        let uid = self.job["metadata"]["uid"].as_str().unwrap().to_owned();
        let parsed = self.memory.args.get(&(uid.clone(), index)).cloned();
        let args = parsed.unwrap_or_else(|| self.args(index));
        self.memory.args.entry((uid, index)).or_insert_with(|| args.clone());
        let task = args.stage.task();
        let owner = self.job["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap().to_owned();
        let class = self.job["metadata"]["labels"][names::CLASS].as_str().unwrap().parse().unwrap();
        let tried = self.memory.tried.entry((owner, task)).or_default();
        let end = script(Trial { task, before: *tried, class });
        if end == End::Hangs {
            self.memory.hangs = true;
            return false;
        }
        *tried += 1;
        let (code, reason, message) = report(&args, end);
        self.pod(index, code, reason, &message, end == End::Disrupted);
        if code == 0 {
            if self.indexed() {
                self.insert("completedIndexes", index);
            }
            self.count("succeeded");
            return false;
        }
        self.count("failed");
        let action = self.policy(code, end == End::Disrupted);
        match action.as_deref() {
            Some("Ignore") => false,
            Some("FailJob") => {
                self.finish("Failed", "PodFailurePolicy");
                true
            }
            Some("FailIndex") => {
                self.insert("failedIndexes", index);
                false
            }
            _ => self.count_failure(index),
        }
    }

    fn count_failure(&mut self, index: u32) -> bool {
        let uid = self.job["metadata"]["uid"].as_str().unwrap().to_owned();
        let failures = self.memory.failures.entry((uid, index)).or_default();
        *failures += 1;
        let limit =
            if self.job["spec"]["completionMode"] == "Indexed" { "backoffLimitPerIndex" } else { "backoffLimit" };
        if u64::from(*failures) <= self.job["spec"][limit].as_u64().unwrap() {
            return false;
        }
        if self.indexed() {
            self.insert("failedIndexes", index);
            return false;
        }
        self.finish("Failed", "BackoffLimitExceeded");
        true
    }

    /// The action of the first rule of the Job's policy that fits.
    fn policy(&self, code: i32, disrupted: bool) -> Option<String> {
        let rules = self.job["spec"]["podFailurePolicy"]["rules"].as_array().unwrap();
        let fits = |rule: &&Value| match rule["onExitCodes"]["values"].as_array() {
            Some(codes) => {
                assert!(codes.is_sorted_by_key(|code| code.as_i64()), "the API server refuses codes out of order");
                codes.iter().any(|value| value.as_i64() == Some(code.into()))
            }
            None => disrupted,
        };
        rules.iter().find(fits).map(|rule| rule["action"].as_str().unwrap().to_owned())
    }

    fn conclude(&mut self) {
        if self.status["conditions"].is_array() {
            return;
        }
        if !self.indexed() {
            if self.status["succeeded"] == 1 {
                self.finish("Complete", "CompletionsReached");
            }
            return;
        }
        let failed = self.set("failedIndexes").len() as u64;
        let most = self.job["spec"]["maxFailedIndexes"].as_u64();
        if most.is_some_and(|most| failed > most) {
            self.finish("Failed", "MaxFailedIndexesExceeded");
        } else if self.open_indexes().is_empty() {
            if failed == 0 {
                self.finish("Complete", "CompletionsReached")
            } else {
                self.finish("Failed", "FailedIndexes")
            }
        }
    }

    /// The command line, as the worker in the pod reads it.
    fn args(&self, index: u32) -> WorkerArgs {
        let container = &self.job["spec"]["template"]["spec"]["containers"][0];
        let line = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
        let mut args = WorkerArgs::try_parse_from(std::iter::once("prover-worker").chain(line)).unwrap();
        if let StageArgs::Prove(prove) = &mut args.stage {
            assert!(prove.subgraph.is_none(), "the pod's environment says which");
            prove.subgraph = Some(index);
            prove.resolve().unwrap();
        }
        args
    }

    fn pod(&mut self, index: u32, code: i32, reason: &str, message: &str, disrupted: bool) {
        self.memory.pods += 1;
        let name = format!("{}-{}", self.key.name, self.memory.pods);
        let key = Key { resource: "pods".into(), namespace: self.key.namespace.clone(), name: name.clone() };
        let indexed = self.indexed();
        let annotations =
            if indexed { json!({ "batch.kubernetes.io/job-completion-index": index.to_string() }) } else { json!({}) };
        let conditions = if disrupted {
            json!([{ "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI" }])
        } else {
            json!([])
        };
        let now = Timestamp::now().to_string();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": { "batch.kubernetes.io/job-name": self.key.name },
                "annotations": annotations,
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "kind": "Job", "name": self.key.name, "controller": true,
                    "uid": self.job["metadata"]["uid"],
                }],
            },
            "status": {
                "phase": if code == 0 { "Succeeded" } else { "Failed" },
                "conditions": conditions,
                "containerStatuses": [{
                    "name": "worker", "image": "worker:1", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "terminated": { "exitCode": code, "reason": reason, "message": message, "finishedAt": now } },
                }],
            },
        });
        self.objects.create(key, pod).unwrap();
    }
}

/// Exit code, reason and termination message of a pod that ends so.
fn report(args: &WorkerArgs, end: End) -> (i32, &'static str, String) {
    let task = args.stage.task();
    let usage =
        Usage { seconds: 2.0, cpu_seconds: 3.0, peak_memory_bytes: 1 << 20, device: "cpu".into(), ..Usage::default() };
    let failed = |kind, lost| Outcome::Failed { kind, message: format!("{task} broke"), lost };
    let (code, outcome) = match end {
        End::Done => (0, done(args)),
        End::Exit(code) => {
            (code, failed(FailureKind::of_exit_code(Some(code)).err().unwrap_or(FailureKind::Retryable), None))
        }
        End::Lost(lost) => (LOST_EXIT_CODE.into(), failed(FailureKind::Retryable, Some(lost))),
        End::OutOfMemory => return (137, "OOMKilled", String::new()),
        End::Disrupted => return (143, "Error", String::new()),
        End::Babbles => return (0, "Completed", "{\"task\":".into()),
        End::Hangs => unreachable!(),
    };
    let reason = if code == 0 { "Completed" } else { "Error" };
    (code, reason, ResultRecord { task, outcome, usage }.to_json())
}

/// What a worker says that has done its task. What it works on is checked as far as names go.
fn done(args: &WorkerArgs) -> Outcome {
    let artifact = |digest| ArtifactRef { digest, bytes: 1000 };
    let (digest, summary) = match &args.stage {
        StageArgs::Setup(setup) => {
            let subgraphs = if let Subgraphs::Count(count) = setup.subgraphs { count } else { 3 };
            // The last subgraph needs more than a GiB.
            let needs: Vec<(u64, u64)> =
                (0..subgraphs).map(|i| (if i + 1 == subgraphs && i > 2 { 3 << 29 } else { 1 << 26 }, 0)).collect();
            let (commitment, key) = (Digest([8; 32]), artifact(Digest([9; 32])));
            (SETUP, Summary::Model { subgraphs, commitment, key, tokenizer: None, memory: crds::memory_needs(&needs) })
        }
        StageArgs::Execute(execute) => {
            assert_eq!(execute.setup, SETUP);
            let output = Output {
                name: "y".into(),
                shape: vec![1, 2],
                class: Some(1),
                values: vec![-1.0, 2.5],
                ..Output::default()
            };
            (EXECUTION, Summary::Outputs(vec![output]))
        }
        StageArgs::Prove(prove) => {
            assert_eq!(prove.execution, EXECUTION);
            (Digest([3; 32]), Summary::Subgraph {})
        }
        StageArgs::Aggregate(aggregate) => {
            assert_eq!(aggregate.execution, EXECUTION);
            (PROOF, Summary::Proof { proof: artifact(Digest([5; 32])), soundness_bits: 130 })
        }
    };
    Outcome::Done { artifact: artifact(digest), reused: false, summary }
}
