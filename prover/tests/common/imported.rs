//! Imported models, from their integers to a proof that both verifiers accept.

use super::verdict::verify;
use kernels::{Cpu, Device, Ints};
use model::{Model, Subgraphs, execute, partition};
use prover::{Boundary, Job, Values, aggregate, commit_boundary, prove, setup};
use verifier::Verified;
use verifier::graph::Port;
use verifier::key::{ModelKey, Security};
use verifier::sampling::Sampling;
use verifier::statement::{Inference, Statement};

/// What a model is run on: its inputs, but for noise, which follows from the sampling.
pub type Given = (Vec<Ints>, Option<Sampling>);

/// Proves a run of a model, cut into so many subgraphs.
pub fn proved(model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> Verified {
    proved_drawn(model, subgraphs, inputs, None)
}

/// As [`proved`]; the inputs are those given, and the noise follows from the sampling.
pub fn proved_drawn(model: &Model, subgraphs: u32, inputs: Vec<Ints>, sampling: Option<Sampling>) -> Verified {
    proved_together(model, subgraphs, vec![(inputs, sampling)])
}

/// As [`proved`], on several inputs in one proof.
pub fn proved_together(model: &Model, subgraphs: u32, given: Vec<Given>) -> Verified {
    let (key, _, proof) = proved_by(&Cpu, model, subgraphs, given);
    verify(&key, &proof).expect("the proof is accepted")
}

/// Every stage on a device: bytes of the key, what execute stores, and the proof.
pub fn proved_on<D: Device>(device: &D, model: &Model, subgraphs: u32, inputs: Vec<Ints>) -> [Vec<u8>; 3] {
    let (key, boundary, proof) = proved_by(device, model, subgraphs, vec![(inputs, None)]);
    [key.to_bytes(), postcard::to_allocvec(&boundary).expect("it is plain data"), proof]
}

fn proved_by<D: Device>(device: &D, model: &Model, subgraphs: u32, given: Vec<Given>) -> (ModelKey, Boundary, Vec<u8>) {
    let cut = partition(model, Subgraphs::Count(subgraphs)).expect("the model can be cut");
    let model_key =
        setup(device, model.graph.clone(), &model.weights, cut, Security::Bits128).expect("the model can be set up");
    let key = model_key.for_batch(given.len()).expect("the inputs can be proved together");
    let inference = |(inputs, sampling): Given| {
        assert_eq!(inputs.len(), model.graph.given().len());
        Inference { inputs: inputs.iter().map(Ints::to_vec).collect(), outputs: Vec::new(), sampling }
    };
    let mut statement = Statement { inferences: given.into_iter().map(inference).collect() };
    let graph = key.graph();
    let mut values: Values<D> = vec![None; graph.tensors.len()];
    let held = |integers: &Ints| Some(device.upload_integers(integers.clone()));
    model.weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = held(weight));
    for tensor in graph.inputs.iter().map(|port| port.tensor) {
        values[tensor.index()] = statement.values(&key, tensor).and_then(|input| held(&Ints::from(input.into_owned())));
    }
    execute(device, graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    for (index, inference) in statement.inferences.iter_mut().enumerate() {
        let computed = |port: &Port| {
            let all =
                values[port.tensor.index()].as_ref().map(|v| device.download_integers(v).to_vec()).unwrap_or_default();
            let length = model.graph.tensor(port.tensor).len();
            all[index * length..][..length].to_vec()
        };
        inference.outputs = graph.outputs.iter().map(computed).collect();
    }
    let boundary = commit_boundary(device, &key, &values).expect("the boundary has values");
    let job = Job { key: &key, statement: statement.digest(&key), boundary: boundary.root };
    let prove = |i| prove(device, job, i, &values, None).unwrap_or_else(|e| panic!("subgraph {i}: {e}"));
    let proofs = (0..subgraphs).map(prove).collect();
    let proof = aggregate(device, &key, statement, &boundary, proofs).expect("the proofs fit together");
    (model_key, boundary, proof)
}
