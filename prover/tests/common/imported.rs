//! Imported models, from their integers to a proof that both verifiers accept.

use super::verdict::verify;
use kernels::{Cpu, Device, Ints};
use model::{Model, Subgraphs, execute, partition};
use prover::{Values, aggregate, commit_boundary, prove, setup};
use verifier::Verified;
use verifier::graph::Port;
use verifier::key::{ModelKey, Security};
use verifier::sampling::Sampling;
use verifier::statement::Statement;

/// Proves a run of a model, cut into so many subgraphs.
pub fn proved(model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> Verified {
    proved_drawn(model, subgraphs, inputs, None)
}

/// As [`proved`]; the inputs are those given, and the noise follows from the sampling.
pub fn proved_drawn(model: &Model, subgraphs: u32, inputs: Vec<Ints>, sampling: Option<Sampling>) -> Verified {
    let (key, proof) = proved_by(&Cpu, model, subgraphs, inputs, sampling);
    verify(&key, &proof).expect("the proof is accepted")
}

/// Every stage on a device: the key and the proof.
pub fn proved_on<D: Device>(device: &D, model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> (ModelKey, Vec<u8>) {
    proved_by(device, model, subgraphs, inputs, None)
}

fn proved_by<D: Device>(
    device: &D,
    model: &Model,
    subgraphs: u32,
    inputs: Vec<Ints>,
    sampling: Option<Sampling>,
) -> (ModelKey, Vec<u8>) {
    let cut = partition(model, Subgraphs::Count(subgraphs)).expect("the model can be cut");
    let graph = &model.graph;
    let key = setup(device, graph.clone(), &model.weights, cut, Security::Bits128).expect("the model can be set up");
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
    assert_eq!(inputs.len(), graph.given().len());
    let inputs = inputs.iter().map(Ints::to_vec).collect();
    let mut statement = Statement { inputs, outputs: Vec::new(), sampling };
    for tensor in graph.inputs.iter().map(|port| port.tensor) {
        values[tensor.index()] = statement.input(graph, tensor).map(|input| Ints::from(input.into_owned()));
    }
    execute(graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    let computed = |port: &Port| values[port.tensor.index()].as_ref().map_or(vec![], Ints::to_vec);
    statement.outputs = graph.outputs.iter().map(computed).collect();
    let digest = statement.digest(&key);
    let boundary = commit_boundary(device, &key, &values).expect("the boundary has values");
    let prove =
        |i| prove(device, &key, digest, boundary.root, i, &values).unwrap_or_else(|e| panic!("subgraph {i}: {e}"));
    let proofs = (0..subgraphs).map(prove).collect();
    let proof = aggregate(device, &key, statement, &boundary, proofs).expect("the proofs fit together");
    (key, proof)
}
