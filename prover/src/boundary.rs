//! The boundary: every tensor that crosses between subgraphs, under one commitment.

use crate::Values;
use crate::commitment::{Committed, commit};
use kernels::{Device, Ints};
use serde::{Deserialize, Serialize};
use verifier::boundary_layout;
use verifier::key::ModelKey;
use verifier::transcript::Digest;

/// The boundary tensors of one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    /// Their commitment; `None` if the partition has no boundary.
    pub root: Option<Digest>,
    /// Their values, in the plan's order.
    pub tensors: Vec<Ints>,
}

/// A boundary tensor without values.
#[derive(Debug, thiserror::Error)]
#[error("boundary tensor '{0}' has no values: run the whole graph first")]
pub struct MissingTensor(pub String);

/// Commits the boundary tensors of an executed graph.
///
/// # Errors
/// If a boundary tensor has no values.
pub fn commit_boundary<D: Device>(device: &D, key: &ModelKey, values: &Values<D>) -> Result<Boundary, MissingTensor> {
    let held = key.plan().boundary.iter().map(|t| {
        let name = || MissingTensor(key.graph().tensor(*t).name.clone());
        values.get(t.index()).and_then(Option::as_ref).ok_or_else(name)
    });
    let held = held.collect::<Result<Vec<_>, _>>()?;
    let root = (!held.is_empty()).then(|| commit(device, &boundary_layout(key), &held).root);
    Ok(Boundary { root, tensors: held.into_iter().map(|values| device.download_integers(values)).collect() })
}

impl Boundary {
    /// The tensors' commitment, `None` if there are none or they have other shapes than the key says: a stored boundary may be anybody's.
    pub(crate) fn committed<D: Device>(&self, device: &D, key: &ModelKey) -> Option<Committed<D>> {
        let shapes = key.plan().boundary_shapes(key.graph());
        let lengths = shapes.iter().map(|shape| shape.iter().product::<usize>());
        if self.tensors.is_empty() || !self.tensors.iter().map(Ints::len).eq(lengths) {
            return None;
        }
        let tensors: Vec<_> = self.tensors.iter().map(|values| device.upload_integers(values.clone())).collect();
        Some(commit(device, &boundary_layout(key), &tensors))
    }
}
