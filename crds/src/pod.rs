//! What a user may say about a stage's pods: a curated part of a pod's spec.
//!
//! Kubernetes' own types are taken over without their descriptions: with them the definition would pass the 262,144 bytes
//! that `kubectl apply` keeps in an annotation.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, EnvVar, PodResourceClaim, ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, transform::Transform};
use serde::{Deserialize, Serialize};

use crate::contract::Stage;

/// For each stage what its pods need. Only a cluster can honour it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageOverrides {
    /// Of setup.
    #[serde(default, skip_serializing_if = "PodOverrides::is_default")]
    pub setup: PodOverrides,
    /// Of execute.
    #[serde(default, skip_serializing_if = "PodOverrides::is_default")]
    pub execute: PodOverrides,
    /// Of prove, one pod for each subgraph.
    #[serde(default, skip_serializing_if = "PodOverrides::is_default")]
    pub prove: PodOverrides,
    /// Of aggregate.
    #[serde(default, skip_serializing_if = "PodOverrides::is_default")]
    pub aggregate: PodOverrides,
}

/// What a stage's pods need. Fields that are absent are the operator's choice.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodOverrides {
    /// Image of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be an image; leave the field out for the operator's"))]
    pub image: Option<String>,
    /// Requests and limits of the worker's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bare::<ResourceRequirements>")]
    pub resources: Option<ResourceRequirements>,
    /// Memory limits, smallest first: a worker that is killed for memory is tried again with the next one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 32)))]
    #[x_kube(validation = Rule::new("self.all(q, q.matches('^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$'))").message("must be quantities of memory such as 512Mi or 4Gi"))]
    pub memory_classes: Vec<String>,
    /// Extended resource of which the container gets one where `spec.device` is `Gpu`; `nvidia.com/gpu` when absent.
    /// Not used when there are `resourceClaims`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9.-]+/[A-Za-z0-9_.-]+$')").message("must be an extended resource such as nvidia.com/gpu"))]
    pub gpu_resource: Option<String>,
    /// Claims of dynamic resource allocation; the container uses all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bare_list::<PodResourceClaim, 16>")]
    pub resource_claims: Vec<PodResourceClaim>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that a node may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bare_list::<Toleration, 32>")]
    pub tolerations: Vec<Toleration>,
    /// Where pods should and should not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bare::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// Priority of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// Container runtime of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// Service account of the pods. Its token is not mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub service_account_name: Option<String>,
    /// More environment variables of the worker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bare_list::<EnvVar, 64>")]
    #[x_kube(validation = Rule::new("self.all(e, e.name != 'JOB_COMPLETION_INDEX')").message("JOB_COMPLETION_INDEX is the subgraph's, and not to be set"))]
    pub env: Vec<EnvVar>,
}

impl StageOverrides {
    /// What one stage's pods need.
    pub const fn of(&self, stage: Stage) -> &PodOverrides {
        match stage {
            Stage::Setup => &self.setup,
            Stage::Execute => &self.execute,
            Stage::Prove => &self.prove,
            Stage::Aggregate => &self.aggregate,
        }
    }

    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl PodOverrides {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The schema of one of Kubernetes' types, without its descriptions.
fn bare<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = T::json_schema(generator);
    Undescribed.transform(&mut schema);
    schema.insert("nullable".into(), true.into());
    schema
}

fn bare_list<T: JsonSchema, const MAX: usize>(generator: &mut SchemaGenerator) -> Schema {
    let mut items = T::json_schema(generator);
    Undescribed.transform(&mut items);
    schemars::json_schema!({ "type": "array", "maxItems": MAX, "items": items })
}

/// Drops every description.
#[derive(Clone)]
struct Undescribed;

impl Transform for Undescribed {
    fn transform(&mut self, schema: &mut Schema) {
        schema.remove("description");
        schemars::transform::transform_subschemas(self, schema);
    }
}
