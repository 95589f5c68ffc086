//! Whom children belong to: a `ProofJob` or a `ProofModel`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use crate::names;

/// An object that has children.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What its children say of it.
    pub reference: OwnerReference,
    /// The label under which its children have its name.
    pub label: &'static str,
}

impl Owner {
    /// Of a `ProofJob`; `None` while an API server has not seen it.
    pub fn of_job(job: &crds::ProofJob) -> Option<Self> {
        Self::of(job, names::JOB)
    }

    /// Of a `ProofModel`.
    pub fn of_model(model: &crds::ProofModel) -> Option<Self> {
        Self::of(model, names::MODEL)
    }

    fn of<K: Resource<DynamicType = ()>>(object: &K, label: &'static str) -> Option<Self> {
        let meta = object.meta();
        let reference = OwnerReference { block_owner_deletion: Some(true), ..object.controller_owner_ref(&())? };
        Some(Self {
            namespace: meta.namespace.clone()?,
            name: meta.name.clone()?,
            uid: meta.uid.clone()?,
            reference,
            label,
        })
    }
}
