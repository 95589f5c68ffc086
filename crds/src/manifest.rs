//! From YAML to a [`ProofJob`]: unknown fields are errors, and the schema's CEL rules apply as they do on an API server.

use serde::Deserialize;
use serde_json::Value;

use crate::ProofJob;

/// Most bytes of a manifest: more than an API server takes.
pub const MANIFEST_MAX_BYTES: usize = 4 << 20;

const API_VERSION: &str = "proofmill.dev/v1alpha1";
const KIND: &str = "ProofJob";

/// What is wrong with a manifest. Fields are named by their paths.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// See [`MANIFEST_MAX_BYTES`].
    #[error("the manifest has {0} bytes; at most {MANIFEST_MAX_BYTES} are read")]
    TooLong(usize),
    /// Not YAML.
    #[error("the manifest is not YAML: {0}")]
    Yaml(String),
    /// Another resource.
    #[error("{field} is {found}; expected {expected}")]
    Resource {
        /// `apiVersion` or `kind`.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A field that `ProofJob` lacks.
    #[error("{}: no such field in a ProofJob", .0.join(", "))]
    UnknownFields(Vec<String>),
    /// A field of the wrong type, or a missing one.
    #[error("{path}: {message}")]
    Type {
        /// The field, or what holds the missing one.
        path: String,
        /// What was expected.
        message: String,
    },
    /// A rule of the schema is broken.
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
}

/// Reads one `ProofJob` from YAML (or JSON, which is YAML).
///
/// # Errors
/// The first kind of [`ManifestError`] that applies.
pub fn parse(text: &str) -> Result<ProofJob, ManifestError> {
    if text.len() > MANIFEST_MAX_BYTES {
        return Err(ManifestError::TooLong(text.len()));
    }
    let mut value: Value = serde_saphyr::from_str(text).map_err(|error| ManifestError::Yaml(error.to_string()))?;
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        // Removed, since the resource's type stands for both.
        match value.as_object_mut().and_then(|fields| fields.remove(field)) {
            Some(Value::String(found)) if found == expected => {}
            other => {
                let found = other.map_or("missing".into(), |found| found.to_string());
                return Err(ManifestError::Resource { field, found, expected });
            }
        }
    }
    let job = deserialize(value)?;
    // An API server would have made one up, or refused; the rules take it for granted.
    if job.metadata.name.is_none() {
        return Err(ManifestError::Type { path: "metadata.name".into(), message: "missing".into() });
    }
    job.validate_cel().map_err(|errors| {
        let describe = |error: &kube::core::cel::ValidationError| match error.field_path.as_str() {
            "" => error.message.clone(),
            path => format!("{path}: {}", error.message),
        };
        ManifestError::Rules(errors.as_slice().iter().map(describe).collect())
    })?;
    Ok(job)
}

fn deserialize(value: Value) -> Result<ProofJob, ManifestError> {
    let mut unknown = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    // An optional value is a step of its own to the library, and none to whoever wrote the manifest.
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(path.to_string().replace(".?", ""));
    let job = ProofJob::deserialize(serde_ignored::Deserializer::new(tracked, &mut note));
    // A misspelt required field is both unknown and missing; its name helps more.
    if !unknown.is_empty() {
        return Err(ManifestError::UnknownFields(unknown));
    }
    job.map_err(|error| ManifestError::Type { path: track.path().to_string(), message: error.to_string() })
}
