//! The models of `examples/` from ONNX to a proof that both verifiers accept, in four subgraphs.

mod common;

use common::imported::{proved, proved_on};
use kernels::cuda::emulator::{GPU, device_under_test};
use kernels::{Cpu, Ints};
use model::{ImportOptions, Model, import_onnx, quantise_input};
use std::path::Path;
use std::process::Command;
use std::{env, fs};
use verifier::commitment::{Code, Layout};
use verifier::key::ModelKey;
use verifier::weight_layout;

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

/// Names the number of subgraphs for [`without_room_for_a_codeword`].
const SUBGRAPHS: &str = "PROOFMILL_TEST_SUBGRAPHS";

#[test]
fn every_stage_gives_the_same_bytes_on_a_gpu_that_is_smaller_than_a_codeword() {
    if device_under_test().is_none() {
        return;
    }
    for (subgraphs, memory) in [("1", "4000000"), ("4", "2000000")] {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--nocapture", "without_room_for_a_codeword"]);
        let output = command
            .env_remove(GPU)
            .env(SUBGRAPHS, subgraphs)
            .env("PROOFMILL_EMULATOR_MEMORY", memory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn without_room_for_a_codeword() {
    let Ok(subgraphs) = env::var(SUBGRAPHS) else { return println!("skipped: {SUBGRAPHS} is not set") };
    let subgraphs = subgraphs.parse().expect("a number");
    let Some(cuda) = device_under_test() else { return };
    let (model, pixels) = imported("digits/digits.onnx", "digit-0-7");
    let on_gpu = proved_on(&cuda, &model, subgraphs, vec![pixels.clone()]);
    assert!(on_gpu == proved_on(&Cpu, &model, subgraphs, vec![pixels]));
    let key = ModelKey::from_bytes(&on_gpu[0]).expect("it has just been made");
    let codeword = |layout: Layout| 8 << (layout.num_variables() + Code::new(layout.num_variables()).log_inv_rate);
    let weights = (0..subgraphs).map(|index| codeword(weight_layout(&key, index)));
    let witnesses = key.plan().subgraphs.iter().map(|plan| codeword(Layout::new(&plan.column_shapes)));
    let largest = weights.chain(witnesses).max().unwrap_or_default();
    let usage = cuda.usage();
    assert!(usage.peak_memory_bytes < largest, "a codeword of {largest} bytes, {usage:?}");
}
