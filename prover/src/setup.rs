//! Setup: commits the weights of every subgraph and makes the model key.

use crate::commitment::commit;
use kernels::{Device, Ints};
use std::collections::BTreeMap;
use thiserror::Error;
use verifier::commitment::{Layout, opening_soundness};
use verifier::graph::{Graph, Source, TensorId};
use verifier::key::{KeyError, ModelKey, Partition, Security, check_partition};
use verifier::plan::Plan;
use verifier::{boundary_layout, opening_target, weight_layout};

/// Constants of a model, by tensor.
pub type Weights = BTreeMap<TensorId, Ints>;

/// Why a model cannot be set up.
#[derive(Debug, Error)]
pub enum SetupError {
    /// Graph or partition are malformed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A constant is missing, or has another length or range than the graph says.
    #[error("weight '{tensor}': {problem}")]
    Weight {
        /// Its name.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// A commitment of this size cannot reach the security.
    #[error("{place}: {problem}")]
    Security {
        /// Which commitment.
        place: String,
        /// Why.
        problem: String,
    },
}

/// Commits the weights and makes the key.
///
/// # Errors
/// If the model is malformed or the security is out of reach.
pub fn setup<D: Device>(
    device: &D,
    graph: Graph,
    weights: &Weights,
    partition: Partition,
    security: Security,
) -> Result<ModelKey, SetupError> {
    graph.check().map_err(KeyError::from)?;
    check_partition(&graph, &partition)?;
    check_weights(&graph, weights)?;
    let plan = Plan::new(&graph, &partition);
    let roots = plan.subgraphs.iter().map(|s| {
        let shapes: Vec<_> = s.weights.iter().map(|&t| graph.tensor(t).shape.clone()).collect();
        (!shapes.is_empty())
            .then(|| commit(device, &Layout::new(&shapes), &held_weights(device, &s.weights, weights)).root)
    });
    let roots = roots.collect();
    let key = ModelKey::new(graph, partition, security, roots)?;
    check_security(&key)?;
    Ok(key)
}

/// The weights of a subgraph, in the plan's order. All are present: setup checks.
fn held_weights<D: Device>(device: &D, tensors: &[TensorId], weights: &Weights) -> Vec<D::Integers> {
    tensors.iter().filter_map(|t| weights.get(t)).map(|values| device.upload_integers(values.clone())).collect()
}

fn check_weights(graph: &Graph, weights: &Weights) -> Result<(), SetupError> {
    for (index, tensor) in graph.tensors.iter().enumerate().filter(|(_, t)| t.source == Source::Weight) {
        let fail = |problem: String| SetupError::Weight { tensor: tensor.name.clone(), problem };
        let values = weights.get(&TensorId(index as u32)).ok_or_else(|| fail("has no values".into()))?;
        if values.len() != tensor.len() {
            return Err(fail(format!("{} values for shape {:?}", values.len(), tensor.shape)));
        }
        if let Some(v) = (0..values.len()).map(|i| values.get(i)).find(|v| !(tensor.lo..=tensor.hi).contains(v)) {
            return Err(fail(format!("value {v} is outside {}..={}", tensor.lo, tensor.hi)));
        }
    }
    Ok(())
}

/// Checks that every commitment of a proof under this key can be opened as securely as the key demands.
///
/// # Errors
/// The first commitment that cannot.
pub fn check_security(key: &ModelKey) -> Result<(), SetupError> {
    let target = opening_target(key);
    let reach = |place: String, layouts: &[&Layout]| {
        let sized: Vec<_> = layouts.iter().map(|&layout| (layout, 1)).collect();
        opening_soundness(&sized, target).map_err(|e| SetupError::Security { place, problem: e.to_string() }).map(drop)
    };
    for (i, subgraph) in (0..).zip(&key.plan().subgraphs) {
        let (weights, witness) = (weight_layout(key, i), Layout::new(&subgraph.column_shapes));
        reach(format!("weights and witness of subgraph {i}"), &[&weights, &witness])?;
    }
    reach("boundary".into(), &[&boundary_layout(key)])
}
