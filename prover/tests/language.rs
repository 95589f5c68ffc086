//! Transformers from weights to a proof that both verifiers accept: every architecture, and a trained model that sorts.

#[path = "../../model/tests/language/checkpoint.rs"]
mod checkpoint;
mod common;
#[path = "../../model/tests/language/fixture.rs"]
mod fixture;

use checkpoint::Checkpoint;
use fixture::Fixture;
use kernels::Ints;
use model::language::{Config, Generation, Output, import};
use model::{ImportOptions, Model, dequantise};
use std::path::Path;

/// Proves a run on these tokens; the verified output.
fn proved(model: &Model, tokens: &[u32]) -> Vec<i64> {
    let input: Vec<i64> = tokens.iter().map(|&t| t.into()).collect();
    common::imported::proved(model, 3, Ints::from(input)).outputs[0].clone()
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
