//! The prover's side of `verifier::argument`: one file for each protocol, under the same name; but the rounds of a
//! sumcheck, which a device plays in one go.

pub mod einsum;
mod fractions;
pub mod instance;
pub mod logup;
pub mod lookup;
pub mod merge;
pub mod subgraph;
mod tensor;
pub mod view;

pub(crate) use tensor::evaluate;

use crate::Values;
use kernels::Device;
use verifier::graph::{Graph, TensorId};
use verifier::plan::SubgraphPlan;

/// What every part of a subgraph's proof works on.
#[derive(Debug)]
pub struct Context<'a, D: Device> {
    /// Where the loops run.
    pub device: &'a D,
    /// The relation.
    pub graph: &'a Graph,
    /// What the subgraph commits to and proves.
    pub plan: &'a SubgraphPlan,
    /// Values of the tensors that the subgraph touches.
    pub values: &'a Values<D>,
}

impl<D: Device> Clone for Context<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Device> Copy for Context<'_, D> {}

impl<'a, D: Device> Context<'a, D> {
    /// The values of a tensor of the subgraph.
    fn held(&self, tensor: TensorId) -> &'a D::Integers {
        crate::values::held(self.values, tensor)
    }

    /// The shape of a tensor.
    fn shape(&self, tensor: TensorId) -> &'a [usize] {
        &self.graph.tensor(tensor).shape
    }
}
