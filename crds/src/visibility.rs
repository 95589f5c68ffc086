//! Who learns what from a proof.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether a proof shows the input and the output of the model.
#[derive(KubeSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Visibility {
    /// Of the input.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 'Public'").message("Private is not built yet: a proof shows integrity, and hides nothing"))]
    pub input: Visible,
    /// Of the output.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 'Public'").message("Private is not built yet: a proof shows integrity, and hides nothing"))]
    pub output: Visible,
}

/// Who sees a value.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visible {
    /// Whoever has the proof.
    #[default]
    Public,
    /// Nobody but the prover.
    Private,
}
