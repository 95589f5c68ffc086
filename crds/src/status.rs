//! What a `ProofJob` reports. Bounded: no list grows with the number of subgraphs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Digest, MemoryNeed, Temperature, contract::Stage};

/// Types of condition. All are set from the first status on.
pub mod condition {
    /// The summary: `True` once the proof exists, `False` once it never will.
    pub const SUCCEEDED: &str = "Succeeded";
    /// The model has been run and `status.result` is set.
    pub const EXECUTED: &str = "Executed";
    /// Every subgraph has its proof.
    pub const PROVED: &str = "Proved";
    /// The one proof has been assembled and verified.
    pub const AGGREGATED: &str = "Aggregated";
    /// `spec.suspend` holds, and nothing runs.
    pub const SUSPENDED: &str = "Suspended";
    /// All of a `ProofJob`, in the order in which a status lists them.
    pub const ALL: [&str; 5] = [EXECUTED, PROVED, AGGREGATED, SUSPENDED, SUCCEEDED];
}

/// Reasons of conditions.
pub mod reason {
    /// An earlier stage is not done.
    pub const WAITING: &str = "Waiting";
    /// Under way.
    pub const RUNNING: &str = "Running";
    /// Done.
    pub const DONE: &str = "Done";
    /// `spec.suspend` holds.
    pub const SUSPENDED: &str = "Suspended";
    /// `spec.suspend` does not hold.
    pub const NOT_SUSPENDED: &str = "NotSuspended";
    /// A stage failed as often as `spec.retries` allows.
    pub const RETRIES_EXHAUSTED: &str = "RetriesExhausted";
    /// A stage failed in a way that another attempt would repeat.
    pub const DETERMINISTIC_FAILURE: &str = "DeterministicFailure";
    /// The model or the program's version is not the one that the job needs.
    pub const WRONG_MODEL_OR_VERSION: &str = "WrongModelOrVersion";
    /// `spec.activeDeadlineSeconds` have passed.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// A stage was killed for memory in the largest of its memory classes.
    pub const OUT_OF_MEMORY: &str = "OutOfMemory";
    /// The spec asks for what the executor cannot do.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// The job failed elsewhere before this could be done.
    pub const JOB_FAILED: &str = "JobFailed";
}

/// Values of `status.phase`, which is for eyes only: programs read the conditions.
pub mod phase {
    /// Importing the model.
    pub const SETUP: &str = "Setup";
    /// Running the model.
    pub const EXECUTING: &str = "Executing";
    /// Proving subgraphs.
    pub const PROVING: &str = "Proving";
    /// Assembling the proof.
    pub const AGGREGATING: &str = "Aggregating";
    /// Nothing runs because `spec.suspend` holds.
    pub const SUSPENDED: &str = "Suspended";
    /// The proof exists.
    pub const SUCCEEDED: &str = "Succeeded";
    /// No proof will exist.
    pub const FAILED: &str = "Failed";
}

/// Bounds of the status.
pub mod limits {
    /// Most entries of `status.failures`; the latest are kept.
    pub const FAILURES: usize = 20;
    /// Most characters of a message.
    pub const MESSAGE: usize = 512;
    /// Most values of one output in `status.result`.
    pub const OUTPUT_VALUES: usize = 64;
    /// Most characters of one output in `status.result`.
    pub const OUTPUT_TEXT: usize = 2048;
    /// Most outputs for one input.
    pub const OUTPUTS: usize = 8;
    /// Most outputs in `status.result`, for all inputs.
    pub const ALL_OUTPUTS: usize = 32;
    /// Most devices that a stage names.
    pub const DEVICES: usize = 4;
    /// Most characters of a device's name.
    pub const DEVICE: usize = 64;
}

/// How far a job is.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofJobStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Executed`, `Proved`, `Aggregated`, `Suspended` and the summary `Succeeded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// When the first stage was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the job ended, with a proof or without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// The model's commitment and key; absent until setup is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelIdentity>,
    /// When each stage started and ended, where it ran and what it made.
    #[serde(default, skip_serializing_if = "Stages::is_empty")]
    pub stages: Stages,
    /// Counts of subgraphs; absent until setup has cut the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgraphs: Option<SubgraphCounts>,
    /// Subgraphs that have a proof, as intervals: `0-2,5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_indexes: Option<String>,
    /// Subgraphs that failed for good, as intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<String>,
    /// The latest failed attempts, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<Failure>,
    /// What the model says: set as soon as it has been run, before anything is proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Result>,
    /// The proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
}

/// For each stage when it started and ended, where it ran and what it made.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stages {
    /// Import, quantise, partition, commit to the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<StageStatus>,
    /// Run the model, commit to the boundary tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execute: Option<StageStatus>,
    /// Prove all subgraphs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prove: Option<StageStatus>,
    /// Assemble and verify the proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<StageStatus>,
}

impl Stages {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One stage's.
    pub const fn of(&self, stage: Stage) -> Option<&StageStatus> {
        match stage {
            Stage::Setup => self.setup.as_ref(),
            Stage::Execute => self.execute.as_ref(),
            Stage::Prove => self.prove.as_ref(),
            Stage::Aggregate => self.aggregate.as_ref(),
        }
    }

    /// One stage's, to be changed.
    pub const fn of_mut(&mut self, stage: Stage) -> Option<&mut StageStatus> {
        match stage {
            Stage::Setup => self.setup.as_mut(),
            Stage::Execute => self.execute.as_mut(),
            Stage::Prove => self.prove.as_mut(),
            Stage::Aggregate => self.aggregate.as_mut(),
        }
    }
}

/// How a stage went.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// When its first process was started.
    pub start_time: Time,
    /// When its artifacts were complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Name of the Job that runs it, or ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Digest of what it made; none for prove, which makes many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Digest>,
    /// What its processes computed on, as they say: `cpu`, or number and name of a GPU.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 64)))]
    pub devices: Vec<String>,
}

/// Which model a proof is about.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelIdentity {
    /// The model's commitment.
    pub commitment: Digest,
    /// Where the model key is: what `proofmill verify` needs besides the proof.
    pub key_uri: String,
    /// The key's BLAKE3 digest.
    pub key_digest: Digest,
    /// The key's size.
    pub key_bytes: u64,
    /// Where a language model's tokenizer is: with it `proofmill verify` shows what the tokens say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_uri: Option<String>,
    /// How much memory proving is expected to take, as setup estimates it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub memory: Vec<MemoryNeed>,
}

/// Counts of subgraphs.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubgraphCounts {
    /// All.
    pub total: u32,
    /// Being proved now.
    pub active: u32,
    /// Proved.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
}

/// A failed attempt.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The stage that failed.
    pub stage: Stage,
    /// The subgraph, if the stage is `prove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgraph: Option<u32>,
    /// One CamelCase word, as in the reasons of conditions.
    pub reason: String,
    /// What the worker said.
    pub message: String,
}

/// What the model says.
#[derive(JsonSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Result {
    /// The model's outputs, in its order, input by input: the first 8 of each, 32 in all, fewer where they are long.
    #[schemars(length(max = 32))]
    pub outputs: Vec<Output>,
}

/// One output of the model.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Which of several inputs it belongs to, counted from 0; absent if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u32>,
    /// Its name in the model.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Position of the largest value, the smallest such, if the output is one row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u64>,
    /// The first 64 values in row-major order, as real numbers.
    #[schemars(length(max = 64))]
    pub values: Vec<f64>,
    /// What a language model answers, up to the text at which it was to stop; its first 2048 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub text: Option<String>,
    /// How a language model's answer was drawn; absent if its tokens are the most likely ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drawn: Option<Drawn>,
}

/// How an answer was drawn.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drawn {
    /// See `spec.input.seed`.
    pub seed: i64,
    /// See `spec.input.temperature`.
    pub temperature: Temperature,
}

/// The proof.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// Where it is.
    pub uri: String,
    /// Its BLAKE3 digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Proven security in bits: the verifier's sum over every error term.
    pub soundness_bits: u32,
}
