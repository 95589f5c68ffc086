//! Where a job's artifacts are kept.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// An artifact store: a URL, or on a cluster a volume. Exactly one of the two.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(validation = Rule::new("has(self.url) != has(self.persistentVolumeClaim)").message("must have exactly one of url and persistentVolumeClaim"))]
#[x_kube(validation = Rule::new("!has(self.secretRef) || has(self.url)").message("secretRef goes with a url"))]
#[serde(rename_all = "camelCase")]
pub struct Store {
    /// URL of the store (`s3:`, `gs:`, `az:`, `file:`). For `proofmill run` also a directory, relative to the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a URL; leave the store out for the default one"))]
    pub url: Option<String>,
    /// Secret whose keys become the workers' environment variables: the store's credentials. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<Named>,
    /// A claim that every worker mounts: `ReadWriteMany`, unless one node has them all. Only a cluster can honour it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<Named>,
}

/// An object in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Its name.
    #[schemars(length(max = 253))]
    #[x_kube(validation = Rule::new("self.size() >= 1").message("must be a name"))]
    pub name: String,
}
