//! Transformers from weights to a proof that both verifiers accept: every architecture, and a trained model that sorts.

mod common;
#[path = "../../model/tests/language/fixture.rs"]
mod fixture;

use fixture::Fixture;
use kernels::Ints;
use model::language::{Output, Prompt, import, open};
use model::{ImportOptions, Model, dequantise};
use std::path::Path;
use verifier::generation::{self, Generated, Lengths};
use verifier::sampling::Sampling;

fn generate(model: &Model, prompt: &[u32], sampling: Option<Sampling>) -> Generated {
    let placed = Prompt::new(&model.graph, prompt).expect("the prompt fits");
    let answer = placed.answer(&model.weights, sampling).expect("the model is causal");
    Generated { prompt: prompt.to_vec(), answer: answer.map(|token| token.expect("the model runs")).collect() }
}

/// Proves that the model gives this answer.
fn proved(model: &Model, generated: &Generated, sampling: Option<Sampling>) -> Option<Generated> {
    let lengths = Lengths::of(&model.graph).expect("the model generates");
    let inputs = generation::inputs(lengths, generated).expect("the answer fits");
    let verified = common::imported::proved_drawn(model, 3, inputs.map(Ints::from).to_vec(), sampling);
    assert_eq!(verified.sampling, sampling);
    verified.generated
}

#[test]
fn every_architecture_is_proved() {
    for name in ["gpt2", "gpt2-digits", "llama", "gemma3"] {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Answers(4));
        let mut generated = generate(&model, &f.tokens[..3], None);
        assert_eq!(generated.answer.len(), 4);
        // An answer may end anywhere.
        for length in [4, 1] {
            generated.answer.truncate(length);
            assert_eq!(proved(&model, &generated, None), Some(generated.clone()), "{name}");
        }
        let model = f.import(8, Output::Samples(4));
        let sampling = Some(Sampling { seed: 5, temperature: 5000 });
        let generated = generate(&model, &f.tokens[..3], sampling);
        assert_eq!(proved(&model, &generated, sampling), Some(generated), "{name}");
    }
    let f = Fixture::load("bert");
    let model = f.import(8, f.whole());
    let tokens: Vec<i64> = f.tokens.iter().map(|&t| t.into()).collect();
    let outputs = common::imported::proved(&model, 3, vec![Ints::from(tokens)]).outputs;
    let embedding = dequantise(model.graph.outputs[0].exponent, &Ints::from(outputs[0].clone()));
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
    let checkpoint = formats::open(&folder).expect("the files are well formed");
    let (config, weights) = open(&checkpoint).expect("the model is supported");
    let sample = |digits: [u32; 11]| vec![digits.map(|t| t as f32).to_vec()];
    let samples = vec![
        sample([2, 0, 1, 1, 0, 2, 0, 0, 1, 1, 2]),
        sample([0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 2]),
        sample([1, 2, 1, 2, 1, 2, 1, 1, 1, 2, 2]),
        sample([2, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2]),
    ];
    let options = ImportOptions { samples, ..ImportOptions::default() };
    let model = import(&config, weights.as_ref(), 11, Output::Answers(6), &options).unwrap_or_else(|e| panic!("{e}"));
    let prompt = [2, 1, 0, 2, 0, 1];
    let generated = generate(&model, &prompt, None);
    assert_eq!(generated.answer, [0, 0, 1, 1, 2, 2]);
    assert_eq!(proved(&model, &generated, None), Some(generated));
}
