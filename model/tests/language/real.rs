//! Trained models from outside the repository: perplexity in integers against floating point.

use crate::files::fetched;
use crate::shared::shared;
use crate::{answer, output, run};
use kernels::Ints;
use model::language::{Config, Evaluation, Head, Output, Perplexity, Tensors, import, open};
use model::{Cache, ImportOptions, dequantise};
use serde_json::Value as Json;
use std::path::Path;

fn json(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("the file is JSON")
}

fn loaded(folder: &Path) -> (Config, Box<dyn Tensors>) {
    let checkpoint = formats::open(folder).unwrap_or_else(|e| panic!("{e}"));
    open(&checkpoint).unwrap_or_else(|e| panic!("{e}"))
}

fn windows(tokens: &[u32], length: usize, count: usize) -> Vec<Vec<u32>> {
    tokens.chunks_exact(length + 1).take(count).map(<[u32]>::to_vec).collect()
}

/// Calibrates on some windows, measures on others.
fn measure(
    config: &Config,
    weights: &dyn Tensors,
    length: usize,
    seen: &[Vec<u32>],
    unseen: &[Vec<u32>],
) -> Evaluation {
    let sample = |w: &Vec<u32>| vec![w[..length].iter().map(|&t| t as f32).collect()];
    let options = ImportOptions { samples: seen.iter().map(sample).collect(), ..ImportOptions::default() };
    let mut evaluation = Evaluation::new(config, weights, length, &options).unwrap_or_else(|e| panic!("{e}"));
    unseen.iter().for_each(|window| evaluation.window(window).unwrap_or_else(|e| panic!("{e}")));
    evaluation
}

fn assert_close(name: &str, p: &Perplexity) {
    println!("{name}: {p:?}, {:+.4} %", (p.integer / p.float - 1.0) * 100.0);
    assert!(p.integer < p.float * 1.01, "{name}: {p:?}");
}

#[test]
fn characters_of_shakespeare() {
    let (Some(folder), Some(text)) = (shared("models/char-gpt2-shakespeare"), shared("text")) else { return };
    let text = std::fs::read_to_string(text.join("tinyshakespeare.txt")).expect("the text is readable");
    let vocabulary: Vec<String> =
        serde_json::from_value(json(&folder.join("chars.json"))).expect("a list of characters");
    let number = |c: char| vocabulary.iter().position(|v| v.chars().eq([c])).expect("the character is known") as u32;
    let tokens: Vec<u32> = text.chars().map(number).collect();
    let (config, weights) = loaded(&folder);
    // The last tenth is the text that the model was validated on.
    let unseen = windows(&tokens[tokens.len() * 9 / 10..], 128, 4);
    let evaluation = measure(&config, weights.as_ref(), 128, &windows(&tokens, 128, 4), &unseen);
    let result = evaluation.perplexity();
    assert_close("char-gpt2-shakespeare", &result);
    // What `gpt2` of reference.py gives for the same four windows.
    assert!((result.float - 7.662_400_584_754_4).abs() < 1e-4, "{result:?}");
    assert!(Cache::new(&kernels::Cpu, &evaluation.model().graph, &evaluation.model().weights).is_ok());
}

/// All triples of a first and a second half would be 729 inputs; every ninth is run.
#[test]
fn a_tiny_model_sorts() {
    let Some(folder) = shared("models/gpt-nano-sort") else { return };
    let (config, weights) = loaded(&folder);
    let digits = |n: u32| -> Vec<u32> { (0..6).map(|i| n / 3u32.pow(i) % 3).collect() };
    let sorted = |n: u32| {
        let mut digits = digits(n);
        digits.sort_unstable();
        digits
    };
    let sample = |n: u32| {
        let whole = digits(n).into_iter().chain(sorted(n)).take(11);
        vec![whole.map(|t| t as f32).collect()]
    };
    let options = ImportOptions { samples: (0..729).step_by(23).map(sample).collect(), ..ImportOptions::default() };
    let model = import(&config, weights.as_ref(), 11, Output::Answers(6), &options).unwrap_or_else(|e| panic!("{e}"));
    for n in (0..729).step_by(9) {
        assert_eq!(answer(&model, &digits(n), None), sorted(n), "{:?}", digits(n));
    }
}

/// The example of the model's card.
#[test]
fn sentences_are_as_close_as_the_model_card_says() {
    let Some(folder) = fetched("minilm") else { return };
    let checkpoint = formats::open(&folder).unwrap_or_else(|e| panic!("{e}"));
    let tokenizer = checkpoint.tokenizer().unwrap_or_else(|e| panic!("{e}")).expect("the model brings a tokenizer");
    let (config, weights) = open(&checkpoint).unwrap_or_else(|e| panic!("{e}"));
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let tokens = sentences.map(|sentence| tokenizer.encode(sentence).expect("the tokens are known"));
    // The sentences have 7 or 8 tokens, in an encoder of 16; none of them is seen at calibration.
    let others = "The weather in the mountains was cold and we had not taken warm clothes with us when we left the valley in the morning";
    let others = tokenizer.encode(others).expect("the tokens are known");
    let sample = |t: &[u32]| vec![t.iter().map(|&t| t as f32).collect()];
    let samples = others.windows(16).step_by(3).map(sample).collect();
    let options = ImportOptions { samples, ..ImportOptions::default() };
    let model = import(&config, weights.as_ref(), 16, Output::Embedding, &options).unwrap_or_else(|e| panic!("{e}"));
    let embeddings = tokens.map(|tokens| {
        let padded = tokens.iter().map(|&t| t.into()).chain(std::iter::repeat(0)).take(16).collect();
        let found = output(&model, &run(&model, &[padded, vec![tokens.len() as i64 - 1]]));
        dequantise(model.graph.outputs[0].exponent, &Ints::from(found))
    });
    let cosine = |other: usize| -> f64 {
        let (a, b) = (&embeddings[0], &embeddings[other]);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let found = [1, 2, 3].map(cosine);
    println!("minilm: {found:?}");
    assert!(found.iter().zip([0.695, 0.943, 0.257]).all(|(found, card)| (found - card).abs() < 6e-4), "{found:?}");
}

/// Their tensors are read by `proofmill eval`; here their numbers.
#[test]
fn fetched_files_are_known_models() {
    for (file, vocabulary, context) in [("gemma-3-270m-q4_k_m.gguf", 262_144, 32_768), ("smollm2.gguf", 49_152, 8192)] {
        let Some(path) = fetched(file) else { continue };
        let (config, weights) = loaded(&path);
        assert_eq!((config.vocabulary(), config.context(), config.head()), (vocabulary, context, Head::Vocabulary));
        assert_eq!(weights.rows("token_embd.weight"), Some(vocabulary));
    }
}
