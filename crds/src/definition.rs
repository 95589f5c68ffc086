//! The custom resource definitions, as objects and as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{ProofJob, ProofModel};

/// The definition of every resource, with the name of its file in `crds/`.
pub fn definitions() -> [(&'static str, CustomResourceDefinition); 2] {
    [("proofjobs.yaml", signed(ProofJob::crd())), ("proofmodels.yaml", signed(ProofModel::crd()))]
}

/// An API server warns about formats that it does not know: unsigned integers are signed ones with a minimum, which the
/// schema has.
fn signed(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    let schemas = definition.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()).for_each(sign);
    definition
}

fn sign(schema: &mut JSONSchemaProps) {
    if let Some("uint8" | "uint16" | "uint32" | "uint64") = schema.format.as_deref() {
        schema.format = Some("int64".into());
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(sign);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        sign(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        sign(values);
    }
}

/// A definition as `kubectl apply` takes it.
///
/// # Errors
/// None that a definition can cause.
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(definition)
}
