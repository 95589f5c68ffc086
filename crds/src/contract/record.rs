//! The result record: what a stage's process says about itself, small enough for a pod's termination message.
//!
//! It crosses a trust boundary: whoever reads one parses it strictly and believes it no further than it must.

use serde::{Deserialize, Serialize};

use super::{FailureKind, GpuUsage, Task};
use crate::{Digest, Indexes, MEMORY_NEEDS_MAX, MemoryNeed, Output, Subgraphs, memory::coarsen};

/// Most bytes of a record's JSON: what Kubernetes keeps of a termination message.
pub const RECORD_MAX_BYTES: usize = 4096;

/// Most characters of a failure's message. JSON escapes grow a character to at most six bytes.
const MESSAGE_MAX_CHARS: usize = 500;

/// What became of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResultRecord {
    /// What was to be done.
    pub task: Task,
    /// Whether it was.
    pub outcome: Outcome,
    /// What it cost.
    pub usage: Usage,
}

/// Success or failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Outcome {
    /// The artifact is in the store.
    Done {
        /// The artifact: a manifest, or for `prove` the subgraph's proof.
        artifact: ArtifactRef,
        /// Whether it was there before the process started.
        reused: bool,
        /// What whoever started the process needs to know of it, and cannot read where the store is out of its reach.
        summary: Summary,
    },
    /// There is no artifact.
    Failed {
        /// Agrees with the exit code.
        kind: FailureKind,
        /// For people.
        message: String,
        /// The task whose artifact is missing, corrupt or invalid, and has to be done again first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<Task>,
    },
}

/// What a stage made, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Summary {
    /// Of setup.
    Model {
        /// How many subgraphs the partition has.
        subgraphs: u32,
        /// The model's commitment.
        commitment: Digest,
        /// The model key.
        key: ArtifactRef,
        /// A language model's tokenizer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tokenizer: Option<ArtifactRef>,
        /// How much memory proving is expected to take.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        memory: Vec<MemoryNeed>,
    },
    /// Of execute: the first values of the first outputs, as many as fit.
    Outputs(Vec<Output>),
    /// Of prove: nothing more.
    Subgraph {},
    /// Of aggregate.
    Proof {
        /// The proof.
        proof: ArtifactRef,
        /// Proven security in bits.
        soundness_bits: u32,
    },
}

/// An artifact's name and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactRef {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Their number.
    pub bytes: u64,
}

/// What a process cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Usage {
    /// Wall-clock seconds, from the process's start.
    pub seconds: f64,
    /// Seconds of processor time, over all cores.
    pub cpu_seconds: f64,
    /// Most bytes of memory that were resident at one time; 0 where the system does not say.
    pub peak_memory_bytes: u64,
    /// What it computed on: `cpu`, or a GPU's name.
    pub device: String,
    /// What it read from the artifact store.
    #[serde(default)]
    pub read: Traffic,
    /// What it wrote there.
    #[serde(default)]
    pub written: Traffic,
    /// What it did on a GPU, if it computed on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuUsage>,
}

/// Requests of one kind to the artifact store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Traffic {
    /// How many.
    pub operations: u32,
    /// How many of them the store refused or did not answer. That an object is not there is an answer.
    pub failures: u32,
    /// Bytes of the objects.
    pub bytes: u64,
    /// Wall-clock seconds, of all together.
    pub seconds: f64,
}

/// More bytes than a process can have moved.
const TRAFFIC_MAX_BYTES: u64 = 1 << 50;

/// A record that is not one.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Longer than any record.
    #[error("the result record has {0} bytes; at most {RECORD_MAX_BYTES} were expected")]
    TooLong(usize),
    /// Not the JSON of a record.
    #[error("the result record is malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A number that no process reports.
    #[error("the result record's {0} is out of range")]
    OutOfRange(&'static str),
}

impl ResultRecord {
    /// One line of JSON of at most [`RECORD_MAX_BYTES`]; a long message is cut, and so are outputs.
    pub fn to_json(&self) -> String {
        let mut record = self.clone();
        record.usage.device = truncate(&record.usage.device, 50);
        let json = |record: &Self| serde_json::to_string(record).unwrap_or_default();
        match &mut record.outcome {
            Outcome::Failed { message, .. } => {
                *message = truncate(message, MESSAGE_MAX_CHARS);
                if json(&record).len() > RECORD_MAX_BYTES {
                    record.usage.gpu.iter_mut().for_each(|gpu| gpu.kernels.clear());
                }
            }
            Outcome::Done { summary: Summary::Outputs(_), .. } => {
                while json(&record).len() > RECORD_MAX_BYTES && record.shorten_outputs() {}
            }
            Outcome::Done { summary: Summary::Model { .. }, .. } => {
                while json(&record).len() > RECORD_MAX_BYTES && record.coarsen_memory() {}
            }
            Outcome::Done { .. } => {}
        }
        json(&record)
    }

    /// Halves the longest text or list of values, or drops an output; `false` if there is nothing left to drop.
    fn shorten_outputs(&mut self) -> bool {
        let Outcome::Done { summary: Summary::Outputs(outputs), .. } = &mut self.outcome else { return false };
        // A value takes about as much room as eight characters, and the text says more.
        let length = |output: &&mut Output| output.text.as_ref().map_or(0, |text| text.chars().count());
        if let Some(text) = outputs.iter_mut().max_by_key(length).and_then(|output| {
            let longer = output.text.as_ref().is_some_and(|text| text.chars().count() > 8 * output.values.len().max(8));
            output.text.as_mut().filter(|_| longer)
        }) {
            *text = truncate(text, text.chars().count() / 2);
            return true;
        }
        match outputs.iter_mut().max_by_key(|output| output.values.len()) {
            Some(longest) if longest.values.len() > 1 => longest.values.truncate(longest.values.len() / 2),
            _ => return outputs.pop().is_some(),
        }
        true
    }

    /// Fewer sizes of memory; `false` if there is one.
    fn coarsen_memory(&mut self) -> bool {
        let Outcome::Done { summary: Summary::Model { memory, .. }, .. } = &mut self.outcome else { return false };
        coarsen(memory)
    }

    /// Parses what [`Self::to_json`] writes, and nothing longer or looser.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn from_json(json: &[u8]) -> Result<Self, RecordError> {
        if json.len() > RECORD_MAX_BYTES {
            return Err(RecordError::TooLong(json.len()));
        }
        let record: Self = serde_json::from_slice(json)?;
        if !is_plausible(record.usage.seconds) {
            return Err(RecordError::OutOfRange("usage.seconds"));
        }
        if let Outcome::Done { summary: Summary::Model { subgraphs, memory, .. }, .. } = &record.outcome {
            if !(1..=Subgraphs::MAX).contains(subgraphs) {
                return Err(RecordError::OutOfRange("summary.model.subgraphs"));
            }
            let is_list = |need: &MemoryNeed| need.subgraphs.parse::<Indexes>().is_ok();
            if memory.len() > MEMORY_NEEDS_MAX || !memory.iter().all(is_list) {
                return Err(RecordError::OutOfRange("summary.model.memory"));
            }
        }
        if !is_plausible(record.usage.cpu_seconds) {
            return Err(RecordError::OutOfRange("usage.cpuSeconds"));
        }
        for traffic in [&record.usage.read, &record.usage.written] {
            if !is_plausible(traffic.seconds) || traffic.bytes > TRAFFIC_MAX_BYTES {
                return Err(RecordError::OutOfRange("usage of the store"));
            }
        }
        record.usage.gpu.iter().try_for_each(GpuUsage::check)?;
        Ok(record)
    }
}

/// 10^9 seconds are thirty years.
pub(super) fn is_plausible(seconds: f64) -> bool {
    (0.0..1e9).contains(&seconds)
}

/// The first `max` characters; an ellipsis stands for the rest.
fn truncate(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
