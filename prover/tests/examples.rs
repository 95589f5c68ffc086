//! The models of `examples/` from ONNX to a proof that both verifiers accept, in four subgraphs.

mod common;

use common::imported::{proved, proved_on};
use kernels::cuda::emulator::device_under_test;
use kernels::{Cpu, Ints};
use model::{ImportOptions, Model, import_onnx, quantise_input};
use std::fs;
use std::path::Path;

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(path);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn image(name: &str) -> Vec<f32> {
    let json: serde_json::Value = serde_json::from_slice(&read(&format!("digits/{name}.json"))).expect("JSON");
    let pixels = json["input_data"][0].as_array().expect("a list of pixels");
    pixels.iter().map(|p| p.as_f64().expect("a number") as f32).collect()
}

/// A model, and what it reads of an image.
fn imported(model: &str, name: &str) -> (Model, Ints) {
    let pixels = image(name);
    let samples = ["digit-0-7", "digit-1-2", "digit-2-1", "digit-3-0"].map(|sample| vec![image(sample)]);
    let options = ImportOptions { samples: samples.into(), ..ImportOptions::default() };
    let model = import_onnx(&read(model), &options).expect("the example imports");
    let pixels = quantise_input(&model.graph, 0, &pixels).expect("the pixels are in range");
    (model, pixels)
}

/// Proves what the model says of an image; the class of the verified output.
fn proved_class(model: &str, name: &str) -> usize {
    let (model, pixels) = imported(model, name);
    let verified = proved(&model, 4, vec![pixels]);
    assert!(verified.soundness.total_bits >= 128.0, "{}", verified.soundness);
    let logits = &verified.inferences[0].outputs[0];
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

#[test]
fn every_stage_gives_the_same_bytes_on_the_gpu() {
    let Some(cuda) = device_under_test() else { return };
    let (model, pixels) = imported("digits/digits.onnx", "digit-0-7");
    assert!(proved_on(&Cpu, &model, 4, vec![pixels.clone()]) == proved_on(&cuda, &model, 4, vec![pixels]));
}
