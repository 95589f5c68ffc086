//! Values of a graph's tensors, by tensor.

use kernels::{Cpu, IntegerDevice};
use verifier::graph::TensorId;

/// For every tensor of the graph, its values if they are at hand, on a device.
pub type Values<D = Cpu> = Vec<Option<<D as IntegerDevice>::Integers>>;

/// Copies values to a device.
pub fn upload<D: IntegerDevice>(device: &D, values: &Values) -> Values<D> {
    values.iter().map(|values| values.clone().map(|values| device.upload_integers(values))).collect()
}

/// The values of a tensor that the caller has checked to be present.
///
/// # Panics
/// If they are not: [`crate::prove`] checks before it begins.
pub(crate) fn held<I>(values: &[Option<I>], tensor: TensorId) -> &I {
    values[tensor.index()].as_ref().expect("presence is checked before proving")
}
