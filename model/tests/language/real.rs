//! Trained models from outside the repository: perplexity in integers against floating point.

use crate::answer;
use crate::shared::shared;
use model::language::{Config, Output, Perplexity, Reference, Tensors, import, open, perplexity};
use model::{Cache, ImportOptions, Model};
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
) -> (Model, Perplexity) {
    let sample = |w: &Vec<u32>| vec![w[..length].iter().map(|&t| t as f32).collect()];
    let options = ImportOptions { samples: seen.iter().map(sample).collect(), ..ImportOptions::default() };
    let model = import(config, weights, length, Output::Logits(length), &options).unwrap_or_else(|e| panic!("{e}"));
    let reference = Reference::new(config, weights, length, Output::Logits(length)).expect("the model is supported");
    let result = perplexity(&model, &reference, unseen).expect("the model runs");
    (model, result)
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
    let (model, result) = measure(&config, weights.as_ref(), 128, &windows(&tokens, 128, 4), &unseen);
    assert_close("char-gpt2-shakespeare", &result);
    // What `gpt2` of reference.py gives for the same four windows.
    assert!((result.float - 7.662_400_584_754_4).abs() < 1e-4, "{result:?}");
    assert!(Cache::new(&model.graph, &model.weights).is_ok());
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
        assert_eq!(answer(&model, &digits(n)), sorted(n), "{:?}", digits(n));
    }
}
