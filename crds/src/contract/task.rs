//! The units of work of a job.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A stage of a job, in order.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// Import, quantise, partition, commit to the weights.
    Setup,
    /// Run the model, commit to the boundary tensors.
    Execute,
    /// Prove subgraphs.
    Prove,
    /// Assemble and verify the proof.
    Aggregate,
}

/// One process's work: a stage, or one subgraph of `prove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "stage", deny_unknown_fields)]
pub enum Task {
    /// See [`Stage::Setup`].
    Setup {},
    /// See [`Stage::Execute`].
    Execute {},
    /// Prove one subgraph.
    Prove {
        /// Its index in the partition.
        subgraph: u32,
    },
    /// See [`Stage::Aggregate`].
    Aggregate {},
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Setup, Self::Execute, Self::Prove, Self::Aggregate];
}

impl Task {
    /// The stage that the task belongs to.
    pub const fn stage(self) -> Stage {
        match self {
            Self::Setup {} => Stage::Setup,
            Self::Execute {} => Stage::Execute,
            Self::Prove { .. } => Stage::Prove,
            Self::Aggregate {} => Stage::Aggregate,
        }
    }

    /// The subgraph, if the stage is `prove`.
    pub const fn subgraph(self) -> Option<u32> {
        match self {
            Self::Prove { subgraph } => Some(subgraph),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Setup => "setup",
            Self::Execute => "execute",
            Self::Prove => "prove",
            Self::Aggregate => "aggregate",
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subgraph() {
            Some(subgraph) => f.pad(&format!("prove {subgraph}")),
            None => self.stage().fmt(f),
        }
    }
}
