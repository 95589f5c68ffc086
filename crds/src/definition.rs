//! The custom resource definitions, as objects and as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{ProofJob, ProofModel};

/// The definition of every resource, with the name of its file in `crds/`.
pub fn definitions() -> [(&'static str, CustomResourceDefinition); 2] {
    [("proofjobs.yaml", ProofJob::crd()), ("proofmodels.yaml", ProofModel::crd())]
}

/// A definition as `kubectl apply` takes it.
///
/// # Errors
/// None that a definition can cause.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(definition)
}
