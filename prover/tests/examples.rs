//! The models of `examples/` from ONNX to a proof that both verifiers accept, in four subgraphs.

mod common;

use common::verdict::verify;
use kernels::{Cpu, Ints};
use model::{ImportOptions, Subgraphs, execute, import_onnx, partition, quantise_input};
use prover::{Values, aggregate, commit_boundary, prove, setup};
use std::fs;
use std::path::Path;
use verifier::graph::Port;
use verifier::key::Security;
use verifier::statement::Statement;

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn image(name: &str) -> Vec<f32> {
    let json: serde_json::Value = serde_json::from_slice(&read(&format!("digits/{name}.json"))).expect("JSON");
    let pixels = json["input_data"][0].as_array().expect("a list of pixels");
    pixels.iter().map(|p| p.as_f64().expect("a number") as f32).collect()
}

/// Proves what the model says of an image; the class of the verified output.
fn proved_class(model: &str, name: &str) -> usize {
    let pixels = image(name);
    let samples = ["digit-0-7", "digit-1-2", "digit-2-1", "digit-3-0"].map(|sample| vec![image(sample)]);
    let options = ImportOptions { samples: samples.into(), ..ImportOptions::default() };
    let model = import_onnx(&read(model), &options).expect("the example imports");
    let cut = partition(&model, Subgraphs::Count(4)).expect("the example can be cut");
    let graph = &model.graph;
    let key = setup(&Cpu, graph.clone(), &model.weights, cut, Security::Bits128).expect("the example can be set up");

    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
    values[graph.inputs[0].tensor.index()] = Some(quantise_input(graph, 0, &pixels).expect("the pixels are in range"));
    execute(graph, 0..graph.nodes.len() as u32, &mut values).expect("the example runs");

    let public = |ports: &[Port]| -> Vec<Vec<i64>> {
        ports.iter().map(|p| values[p.tensor.index()].as_ref().map_or(vec![], Ints::to_vec)).collect()
    };
    let statement = Statement { inputs: public(&graph.inputs), outputs: public(&graph.outputs) };
    let digest = statement.digest(&key);
    let boundary = commit_boundary(&Cpu, &key, &values).expect("the boundary has values");
    let prove =
        |i| prove(&Cpu, &key, digest, boundary.root, i, &values).unwrap_or_else(|e| panic!("subgraph {i}: {e}"));
    let proofs = (0..4).map(prove).collect();
    let proof = aggregate(&Cpu, &key, statement, &boundary, proofs).expect("the proofs fit together");

    let verified = verify(&key, &proof).expect("the proof is accepted");
    assert!(verified.soundness.total_bits >= 128.0, "{}", verified.soundness);
    let logits = &verified.outputs[0];
    (0..logits.len()).max_by_key(|&i| (logits[i], std::cmp::Reverse(i))).expect("there are logits")
}

#[test]
fn the_digit_classifier_reads_a_seven() {
    assert_eq!(proved_class("digits/digits.onnx", "digit-0-7"), 7);
}

#[test]
fn the_transformer_reads_a_two() {
    assert_eq!(proved_class("transformer/transformer.onnx", "digit-1-2"), 2);
}
