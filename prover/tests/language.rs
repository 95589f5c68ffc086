//! Transformers from weights to a proof that both verifiers accept: every architecture, and a trained model that sorts.

#[path = "../../model/tests/language/checkpoint.rs"]
mod checkpoint;
mod common;
#[path = "../../model/tests/language/fixture.rs"]
mod fixture;

use checkpoint::Checkpoint;
use common::verdict::verify;
use fixture::Fixture;
use kernels::{Cpu, Ints};
use model::language::{Config, Generation, Output, import};
use model::{ImportOptions, Model, Subgraphs, dequantise, execute, partition};
use prover::{Values, aggregate, commit_boundary, prove, setup};
use std::path::Path;
use verifier::graph::Port;
use verifier::key::Security;
use verifier::statement::Statement;

/// Proves a run on these tokens in three subgraphs; the verified output.
fn proved(model: &Model, tokens: &[u32]) -> Vec<i64> {
    let cut = partition(model, Subgraphs::Count(3)).expect("the model can be cut");
    let graph = &model.graph;
    let key = setup(&Cpu, graph.clone(), &model.weights, cut, Security::Bits128).expect("the model can be set up");
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
    let input: Vec<i64> = tokens.iter().map(|&t| t.into()).collect();
    values[graph.inputs[0].tensor.index()] = Some(Ints::from(input));
    execute(graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    let public = |ports: &[Port]| -> Vec<Vec<i64>> {
        ports.iter().map(|p| values[p.tensor.index()].as_ref().map_or(vec![], Ints::to_vec)).collect()
    };
    let statement = Statement { inputs: public(&graph.inputs), outputs: public(&graph.outputs) };
    let digest = statement.digest(&key);
    let boundary = commit_boundary(&Cpu, &key, &values).expect("the boundary has values");
    let prove =
        |i| prove(&Cpu, &key, digest, boundary.root, i, &values).unwrap_or_else(|e| panic!("subgraph {i}: {e}"));
    let proofs = (0..3).map(prove).collect();
    let proof = aggregate(&Cpu, &key, statement, &boundary, proofs).expect("the proofs fit together");
    verify(&key, &proof).expect("the proof is accepted").outputs[0].clone()
}

fn generate(model: &Model, prompt: &[u32]) -> Vec<u32> {
    let generation = Generation::new(model, prompt).expect("the prompt fits");
    generation.map(|token| token.expect("the model runs")).collect()
}

#[test]
fn every_architecture_is_proved() {
    for name in ["gpt2", "gpt2-digits", "llama", "gemma3"] {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Tokens(4));
        let generated = generate(&model, &f.tokens[..5]);
        let sequence: Vec<u32> = f.tokens[..5].iter().chain(&generated).copied().take(8).collect();
        let expected: Vec<i64> = generated.iter().map(|&t| t.into()).collect();
        assert_eq!(proved(&model, &sequence), expected, "{name}");
    }
    let f = Fixture::load("bert");
    let model = f.import(8, f.whole());
    let embedding = dequantise(model.graph.outputs[0].exponent, &Ints::from(proved(&model, &f.tokens)));
    let error = embedding.iter().zip(&f.output[0]).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(embedding.len() == f.output[0].len() && error < 1e-3, "{error}");
}

#[test]
fn a_trained_model_is_proved_to_sort() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/models/gpt-nano-sort");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let text = std::fs::read_to_string(folder.join("config.json")).expect("the configuration is readable");
    let json = serde_json::from_str(&text).expect("the configuration is JSON");
    let config = Config::from_json(&json).expect("the configuration is supported");
    let weights = Checkpoint::load(&folder.join("model.safetensors"));
    let sample = |digits: [u32; 11]| vec![digits.map(|t| t as f32).to_vec()];
    let samples = vec![
        sample([2, 0, 1, 1, 0, 2, 0, 0, 1, 1, 2]),
        sample([0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 2]),
        sample([1, 2, 1, 2, 1, 2, 1, 1, 1, 2, 2]),
        sample([2, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2]),
    ];
    let options = ImportOptions { samples, ..ImportOptions::default() };
    let model = import(&config, &weights, 11, Output::Tokens(6), &options).unwrap_or_else(|e| panic!("{e}"));
    let prompt = [2, 1, 0, 2, 0, 1];
    let generated = generate(&model, &prompt);
    assert_eq!(generated, [0, 0, 1, 1, 2, 2]);
    let sequence: Vec<u32> = prompt.iter().chain(&generated[..5]).copied().collect();
    assert_eq!(proved(&model, &sequence), [0, 0, 1, 1, 2, 2]);
}
