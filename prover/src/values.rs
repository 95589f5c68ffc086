//! Values of a graph's tensors, by tensor.

use kernels::Ints;
use verifier::graph::TensorId;

/// For every tensor of the graph, its values if they are at hand.
pub type Values = Vec<Option<Ints>>;

/// The values of a tensor that the caller has checked to be present.
///
/// # Panics
/// If they are not: [`crate::prove`] checks before it begins.
pub(crate) fn held(values: &Values, tensor: TensorId) -> &Ints {
    values[tensor.index()].as_ref().expect("presence is checked before proving")
}
