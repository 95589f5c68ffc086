//! Prove: one subgraph's weights and boundary tensors in, its proof out.

use std::collections::BTreeSet;

use crds::contract::ProveArgs;
use kernels::{Device, Ints};
use verifier::graph::TensorId;

use super::{Finished, SubgraphProof, load::Executed, once};
use crate::{StageError, identity::of_subgraph, store::Store};

pub(super) fn run<D: Device>(device: &D, store: &Store, args: &ProveArgs) -> Result<Finished, StageError> {
    let subgraph = args.resolve().map_err(StageError::deterministic)?;
    once(store, of_subgraph(args.execution, subgraph), || {
        let Executed { prepared, statement, boundary, .. } = Executed::load(store, args.execution)?;
        tracing::info!("runs the nodes of subgraph {subgraph}");
        let mut values = prepared.no_values::<D>();
        for (tensor, weights) in prepared.weights(store, subgraph as usize)? {
            values[tensor.index()] = Some(device.upload_integers(weights));
        }
        let (graph, plan) = (prepared.key.graph(), prepared.key.plan());
        let nodes = || plan.subgraphs[subgraph as usize].nodes.iter().copied();
        // Noise takes time to derive, and most subgraphs read none.
        let read: BTreeSet<TensorId> = nodes().flat_map(|node| graph.nodes[node as usize].op.inputs()).collect();
        for tensor in graph.inputs.iter().map(|port| port.tensor).filter(|tensor| read.contains(tensor)) {
            let integers = statement.values(&prepared.key, tensor);
            let integers = integers.map(|integers| Ints::from(integers.into_owned()));
            values[tensor.index()] = integers.map(|integers| device.upload_integers(integers));
        }
        for (tensor, integers) in plan.boundary.iter().zip(boundary.tensors) {
            values[tensor.index()] = Some(device.upload_integers(integers));
        }
        model::execute(device, graph, nodes(), &mut values).map_err(StageError::deterministic)?;
        tracing::info!("proves subgraph {subgraph} of {}", plan.subgraphs.len());
        let key = &prepared.key;
        let job = prover::Job { key, statement: statement.digest(key), boundary: boundary.root };
        prover::prove(device, job, subgraph, &values, None).map(SubgraphProof).map_err(StageError::deterministic)
    })
}
