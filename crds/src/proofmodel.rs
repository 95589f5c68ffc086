//! `ProofModel`: a model that is set up once and used by many jobs through `spec.modelRef`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Device, Digest, Failure, ModelIdentity, Partition, PodOverrides, SecurityBits, Store, proofjob::Model};

/// Which model to set up, and how.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "proofmill.dev",
    version = "v1alpha1",
    kind = "ProofModel",
    namespaced,
    status = "ProofModelStatus",
    shortname = "pm",
    category = "proofmill",
    derive = "PartialEq",
    cel,
    doc = "A model that is set up once and used by many ProofJobs.",
    validation = Rule::new("self.metadata.name.size() <= 52").message("metadata.name must have at most 52 characters"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Subgraphs", type_ = "integer", json_path = ".status.subgraphs"),
    printcolumn(name = "Commitment", type_ = "string", json_path = ".status.model.commitment", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.store) == has(oldSelf.store) && has(self.queueName) == has(oldSelf.queueName) && has(self.managedBy) == has(oldSelf.managedBy)").message("store, queueName and managedBy are neither added nor removed: make a new ProofModel"))]
#[serde(rename_all = "camelCase")]
pub struct ProofModelSpec {
    /// The model.
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub model: Model,
    /// How the model is cut into subgraphs.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub partition: Partition,
    /// Proven security of the proofs in bits: 128 or 100.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 128 || self == 100").message("must be 128 or 100"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub security_bits: SecurityBits,
    /// What setup computes on.
    #[serde(default)]
    pub device: Device,
    /// How often setup is tried again after a failure that may pass.
    #[serde(default = "crate::proofjob::default_retries")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 20").message("must be from 0 to 20"))]
    pub retries: u32,
    /// Seconds after its start at which a setup that is not done fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be at least 1"))]
    pub active_deadline_seconds: Option<u32>,
    /// Nothing is started, and what runs is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Queue of Kueue that admits the setup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub queue_name: Option<String>,
    /// Controller that looks after this object; Proofmill's operator when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub managed_by: Option<String>,
    /// Where the model's artifacts are kept, and those of the jobs that use it; the operator's default store, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofModel"))]
    pub store: Option<Store>,
    /// What setup's pod needs.
    #[serde(default, skip_serializing_if = "PodOverrides::is_default")]
    pub template: PodOverrides,
}

/// Whether a model is set up, and what came of it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProofModelStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Suspended` and the summary `Succeeded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// When setup was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended, well or badly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Name of the Job that ran it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Digest of what it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Digest>,
    /// How many subgraphs the partition has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subgraphs: Option<u32>,
    /// The model's commitment and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelIdentity>,
    /// The latest failed attempts, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub failures: Vec<Failure>,
}
