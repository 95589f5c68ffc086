//! Imported models, from their integers to a proof that both verifiers accept.

use super::verdict::verify;
use kernels::{Cpu, Device, Ints};
use model::{Model, Subgraphs, execute, partition};
use prover::{Values, aggregate, commit_boundary, prove, setup};
use verifier::Verified;
use verifier::graph::Port;
use verifier::key::{ModelKey, Security};
use verifier::statement::Statement;

/// Proves a run of a model, cut into so many subgraphs.
pub fn proved(model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> Verified {
    let (key, proof) = proved_on(&Cpu, model, subgraphs, inputs);
    verify(&key, &proof).expect("the proof is accepted")
}

/// Every stage on a device: the key and the proof.
pub fn proved_on<D: Device>(device: &D, model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> (ModelKey, Vec<u8>) {
    let cut = partition(model, Subgraphs::Count(subgraphs)).expect("the model can be cut");
    let graph = &model.graph;
    let key = setup(device, graph.clone(), &model.weights, cut, Security::Bits128).expect("the model can be set up");
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
    assert_eq!(inputs.len(), graph.inputs.len());
    graph.inputs.iter().zip(inputs).for_each(|(port, input)| values[port.tensor.index()] = Some(input));
    execute(graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    let public = |ports: &[Port]| -> Vec<Vec<i64>> {
        ports.iter().map(|p| values[p.tensor.index()].as_ref().map_or(vec![], Ints::to_vec)).collect()
    };
    let statement = Statement { inputs: public(&graph.inputs), outputs: public(&graph.outputs) };
    let digest = statement.digest(&key);
    let boundary = commit_boundary(device, &key, &values).expect("the boundary has values");
    let prove =
        |i| prove(device, &key, digest, boundary.root, i, &values).unwrap_or_else(|e| panic!("subgraph {i}: {e}"));
    let proofs = (0..subgraphs).map(prove).collect();
    let proof = aggregate(device, &key, statement, &boundary, proofs).expect("the proofs fit together");
    (key, proof)
}
