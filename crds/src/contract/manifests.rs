//! Artifacts that list other artifacts: JSON, read by later stages and by executors.

use serde::{Deserialize, Serialize};

use super::ArtifactRef;
use crate::{Digest, MemoryNeed, Output};

/// What setup made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetupManifest {
    /// The model key: what `proofmill verify` needs besides the proof.
    pub key: ArtifactRef,
    /// The model's commitment.
    pub commitment: Digest,
    /// For each subgraph its weights.
    pub weights: Vec<ArtifactRef>,
    /// What text a language model's tokens are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<ArtifactRef>,
    /// How quantisation changes the outputs of every layer.
    pub report: ArtifactRef,
    /// How much memory proving is expected to take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memory: Vec<MemoryNeed>,
}

/// What execute made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecutionManifest {
    /// Digest of the setup manifest that was used.
    pub setup: Digest,
    /// Number of subgraphs.
    pub subgraphs: u32,
    /// The public inputs and outputs, in integers.
    pub statement: ArtifactRef,
    /// The boundary tensors and their commitment.
    pub boundary: ArtifactRef,
    /// The public outputs as real numbers: the optimistic result.
    pub outputs: Vec<Output>,
}

/// What aggregate made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProofManifest {
    /// Digest of the execution manifest that was used.
    pub execution: Digest,
    /// The proof.
    pub proof: ArtifactRef,
    /// The model key that accepts it.
    pub key: ArtifactRef,
    /// Proven security in bits, as the aggregator's verifier computed it.
    pub soundness_bits: u32,
}
