//! `ProofJob`, the resource that a user writes: prove that a model on an input gives its output.
//!
//! Every bound is a CEL rule in the schema, so that the API server and `manifest::parse` apply the same ones.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Named, StageOverrides, Store, Subgraphs, Temperature, Visibility, status::ProofJobStatus};

/// What to prove, and how.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "proofmill.dev",
    version = "v1alpha1",
    kind = "ProofJob",
    namespaced,
    status = "ProofJobStatus",
    shortname = "pj",
    category = "proofmill",
    derive = "PartialEq",
    cel,
    selectable = ".spec.queueName",
    doc = "Proves that a model, run on an input, gives its output.",
    validation = Rule::new("self.metadata.name.size() <= 52").message("metadata.name must have at most 52 characters"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Proved", type_ = "integer", json_path = ".status.subgraphs.succeeded"),
    printcolumn(name = "Subgraphs", type_ = "integer", json_path = ".status.subgraphs.total"),
    printcolumn(name = "Class", type_ = "integer", json_path = ".status.result.outputs[0].class"),
    printcolumn(name = "Answer", type_ = "string", json_path = ".status.result.outputs[0].text", priority = 1),
    printcolumn(name = "Proof", type_ = "string", json_path = ".status.proof.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("has(self.model) != has(self.modelRef)").message("must have exactly one of model and modelRef"))]
#[x_kube(validation = Rule::new("has(self.input) != has(self.inputs)").message("must have exactly one of input and inputs"))]
#[x_kube(validation = Rule::new("!has(self.model) || self.model.format != 'Onnx' || ((!has(self.input) || !has(self.input.prompt)) && (!has(self.inputs) || self.inputs.all(i, !has(i.prompt))))").message("a prompt is for a language model: with an ONNX model give values or a url"))]
#[x_kube(validation = Rule::new("!has(self.model) || (has(self.model.tokens) && has(self.model.tokens.sampling) && self.model.tokens.sampling) || ((!has(self.input) || !has(self.input.seed)) && (!has(self.inputs) || self.inputs.all(i, !has(i.seed))))").message("a seed is for a model that samples: set model.tokens.sampling"))]
#[x_kube(validation = Rule::new("!has(self.model) || !has(self.model.tokens) || !has(self.model.tokens.sampling) || !self.model.tokens.sampling || ((!has(self.input) || has(self.input.url) || has(self.input.seed) || has(self.input.temperature)) && (!has(self.inputs) || self.inputs.all(i, has(i.seed) || has(i.temperature))))").message("the model samples: set the input's seed, or its temperature to '0' for the most likely tokens"))]
#[x_kube(validation = Rule::new("!has(self.modelRef) || (!has(self.store) && self.partition.subgraphs == 'Auto')").message("with modelRef, store and partition are the ProofModel's: leave them out"))]
#[x_kube(validation = Rule::new("has(self.model) == has(oldSelf.model) && has(self.input) == has(oldSelf.input) && has(self.store) == has(oldSelf.store) && has(self.queueName) == has(oldSelf.queueName) && has(self.managedBy) == has(oldSelf.managedBy)").message("model, modelRef, input, inputs, store, queueName and managedBy are neither added nor removed: make a new ProofJob"))]
#[serde(rename_all = "camelCase")]
pub struct ProofJobSpec {
    /// The model; or `modelRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub model: Option<Model>,
    /// A `ProofModel` in the same namespace, which has been set up for many jobs. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub model_ref: Option<Named>,
    /// What the model is run on; or `inputs`. Public: it is part of what the proof says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub input: Option<InputSource>,
    /// What the model is run on, once for each: one proof says what it answers to all of them, and every weight is opened once. Each has
    /// values or a prompt; a longer list goes into a file, `input.url`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = Rule::new("self.size() >= 1 && self.size() <= 64").message("must have from 1 to 64 entries"))]
    #[x_kube(validation = Rule::new("self.all(input, !has(input.url))").message("an entry has values or a prompt: a url is for input"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub inputs: Vec<InputSource>,
    /// Who learns the input and the output from the proof.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub visibility: Visibility,
    /// How the model is cut into subgraphs, each proved by a process of its own.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub partition: Partition,
    /// Proven security of the whole proof in bits: 128 or 100.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 128 || self == 100").message("must be 128 or 100"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub security_bits: SecurityBits,
    /// What the stages compute on.
    #[serde(default)]
    pub device: Device,
    /// Most subgraphs that are proved at one time; all that the executor has room for, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1024").message("must be from 1 to 1024"))]
    pub parallelism: Option<u32>,
    /// How often a stage, or the proof of one subgraph, is tried again after a failure that may pass.
    #[serde(default = "default_retries")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 20").message("must be from 0 to 20"))]
    pub retries: u32,
    /// Seconds after its start at which a job that has no proof yet fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("must be at least 1"))]
    pub active_deadline_seconds: Option<u32>,
    /// Seconds after its end at which a job is deleted, with all that belongs to it in the cluster. Artifacts stay.
    /// Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
    /// Nothing is started, and what runs is stopped; the deadline counts anew when the job goes on. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Queue of Kueue that admits the stages. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub queue_name: Option<String>,
    /// Controller that looks after this object; Proofmill's operator, `proofmill.dev/operator`, when absent.
    /// Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a controller's name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub managed_by: Option<String>,
    /// Where artifacts are kept; the executor's own store, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("is immutable: make a new ProofJob"))]
    pub store: Option<Store>,
    /// What the stages' pods need. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "StageOverrides::is_default")]
    pub stages: StageOverrides,
}

/// `spec.managedBy` of the objects that Proofmill's operator looks after.
pub const MANAGER: &str = "proofmill.dev/operator";

impl ProofJobSpec {
    /// A job of which nothing else is said.
    pub fn new(model: Model, input: InputSource) -> Self {
        Self {
            model: Some(model),
            model_ref: None,
            input: Some(input),
            inputs: Vec::new(),
            visibility: Visibility::default(),
            partition: Partition::default(),
            security_bits: SecurityBits::default(),
            device: Device::default(),
            parallelism: None,
            retries: default_retries(),
            active_deadline_seconds: None,
            ttl_seconds_after_finished: None,
            suspend: false,
            queue_name: None,
            managed_by: None,
            store: None,
            stages: StageOverrides::default(),
        }
    }

    /// The file that inline inputs are to a worker; `None` if there is one already, or no input.
    pub fn input_file(&self) -> Option<Vec<u8>> {
        let json = match &self.input {
            Some(input) => input.inline()?,
            None if self.inputs.is_empty() => return None,
            None => {
                let inputs: Option<Vec<_>> = self.inputs.iter().map(InputSource::inline).collect();
                serde_json::json!({ "inputs": inputs? })
            }
        };
        Some(json.to_string().into_bytes())
    }

    /// How many inputs the spec itself has: a file counts as one.
    pub fn input_count(&self) -> u32 {
        self.inputs.len().max(1) as u32
    }

    /// The fields that are set and that only a cluster can honour.
    pub fn cluster_only_fields(&self) -> Vec<&'static str> {
        let store = self.store.as_ref();
        [
            ("spec.modelRef", self.model_ref.is_some()),
            ("spec.ttlSecondsAfterFinished", self.ttl_seconds_after_finished.is_some()),
            ("spec.suspend", self.suspend),
            ("spec.queueName", self.queue_name.is_some()),
            ("spec.managedBy", self.managed_by.is_some()),
            ("spec.store.secretRef", store.is_some_and(|store| store.secret_ref.is_some())),
            ("spec.store.persistentVolumeClaim", store.is_some_and(|store| store.persistent_volume_claim.is_some())),
            ("spec.stages", !self.stages.is_default()),
        ]
        .into_iter()
        .filter_map(|(field, is_set)| is_set.then_some(field))
        .collect()
    }
}

/// Where a model comes from.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("!has(self.tokens) || self.format != 'Onnx'").message("tokens are for a language model: with ONNX leave them out"))]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// URL of the model file (`file:`, `s3:`, `gs:`, `az:`, `https:`), or of the folder with a Hugging Face model's files.
    /// For `proofmill run` also a path, relative to the manifest.
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a URL or a path"))]
    pub source: String,
    /// Format of the model file.
    #[serde(default)]
    pub format: Format,
    /// URLs of sample inputs, from which the quantiser learns the range of every activation. For a language model, of texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 2048)))]
    #[x_kube(validation = Rule::new("self.size() <= 256").message("must have at most 256 entries"))]
    pub calibration: Vec<String>,
    /// How many tokens a language model is set up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// How many tokens a language model is set up for: a proof costs as much as these, however few are used.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("self.answer <= self.sequence").message("answer must not be longer than sequence"))]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Prompt and answer together, the answer's last token left out; for a model that gives an embedding, the text.
    #[serde(default = "default_sequence")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65536").message("must be from 1 to 65536"))]
    pub sequence: u32,
    /// The answer, at most.
    #[serde(default = "default_answer")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65536").message("must be from 1 to 65536"))]
    pub answer: u32,
    /// Whether a job can have its answer drawn, by `input.seed`, at any temperature. Without, every token is the most likely one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sampling: bool,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { sequence: default_sequence(), answer: default_answer(), sampling: false }
    }
}

/// Format of a model file.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Format {
    /// ONNX, opset 13 or later.
    #[default]
    Onnx,
    /// A folder with `config.json`, `model.safetensors` (or its index and parts) and `tokenizer.json`.
    HuggingFace,
    /// A GGUF file, its tokenizer inside.
    Gguf,
}

/// What a model is run on: values, a prompt, or either in a file. Exactly one of the three.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("(has(self.values) ? 1 : 0) + (has(self.url) ? 1 : 0) + (has(self.prompt) ? 1 : 0) == 1").message("must have exactly one of values, url and prompt"))]
#[x_kube(validation = Rule::new("has(self.prompt) || (!has(self.maxNewTokens) && !has(self.stop))").message("maxNewTokens and stop go with a prompt"))]
#[x_kube(validation = Rule::new("!has(self.url) || (!has(self.seed) && !has(self.temperature))").message("seed and temperature go with a prompt or values: a file has its own"))]
#[x_kube(validation = Rule::new("!has(self.temperature) || has(self.seed) != (double(self.temperature) == 0.0)").message("a temperature above 0 goes with a seed, and 0 goes without"))]
#[serde(rename_all = "camelCase")]
pub struct InputSource {
    /// For each of the model's inputs its values in row-major order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(max = 65536)))]
    #[x_kube(validation = Rule::new("self.size() >= 1 && self.size() <= 64").message("must have from 1 to 64 lists, one for each input of the model"))]
    pub values: Option<Vec<Vec<f64>>>,
    /// URL of a JSON file `{"input_data": [[..], ..]}` or `{"prompt": "..", "maxNewTokens": .., "stop": [..]}`, each with `seed` and
    /// `temperature` for a model that samples, or several of them, `{"inputs": [{..}, ..]}`, at most 1024; or, for a model with one
    /// image as input, of a PNG or PGM image.
    /// For `proofmill run` also a path, relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a URL or a path"))]
    pub url: Option<String>,
    /// Text that a language model goes on with, or whose embedding it gives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must not be empty"))]
    pub prompt: Option<String>,
    /// Most tokens of the answer; as many as the model is set up for, when absent. It also ends where the model ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65536").message("must be from 1 to 65536"))]
    pub max_new_tokens: Option<u32>,
    /// Texts at the first of which the answer ends; they are not part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 256)))]
    #[x_kube(validation = Rule::new("self.all(text, text.size() >= 1)").message("must not have an empty text"))]
    pub stop: Vec<String>,
    /// Names the randomness by which a language model that samples draws its answer. The same seed gives the same answer. Part of
    /// what the proof says: whoever chooses it chooses among answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0").message("must be from 0 to 2^63 - 1"))]
    pub seed: Option<i64>,
    /// What logits are divided by before the draw, as a decimal in quotes with at most three digits after the point; `1` when absent.
    /// `0`, without a seed, stands for the most likely tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("double(self) <= 10.0").message("must be at most 10"))]
    pub temperature: Option<Temperature>,
}

impl InputSource {
    /// The file at this URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..Self::default() }
    }

    /// These values, a list for each input.
    pub fn of(values: Vec<Vec<f64>>) -> Self {
        Self { values: Some(values), ..Self::default() }
    }

    /// An inline input as a worker reads it; `None` if the input is in a file already, or missing.
    fn inline(&self) -> Option<serde_json::Value> {
        let Self { values, prompt, max_new_tokens, stop, seed, temperature, .. } = self;
        let mut json = match (values, prompt) {
            (Some(values), _) => serde_json::json!({ "input_data": values }),
            (None, Some(prompt)) => {
                serde_json::json!({ "prompt": prompt, "maxNewTokens": max_new_tokens, "stop": stop })
            }
            (None, None) => return None,
        };
        if let Some(seed) = seed {
            json["seed"] = (*seed).into();
        }
        if let Some(temperature) = temperature {
            json["temperature"] = temperature.to_string().into();
        }
        Some(json)
    }
}

/// How a model is cut.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// `Auto`, or the number of subgraphs.
    #[serde(default)]
    pub subgraphs: Subgraphs,
}

/// Proven security of the whole proof, in bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecurityBits(pub u32);

impl Default for SecurityBits {
    fn default() -> Self {
        Self(128)
    }
}

impl JsonSchema for SecurityBits {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecurityBits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "format": "int32" })
    }
}

/// What a stage computes on.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Device {
    /// The best device that the worker finds.
    #[default]
    Auto,
    /// The CPU, all its cores.
    Cpu,
    /// A GPU, or failure.
    Gpu,
}

const fn default_sequence() -> u32 {
    64
}

const fn default_answer() -> u32 {
    16
}

pub(crate) const fn default_retries() -> u32 {
    2
}
