//! What the tests share: the models outside the repository, and running a model.

use model::{ImportOptions, Model, Values, execute, import_onnx, quantise_input};
use std::path::PathBuf;

/// A folder of models beside the repository; `None`, with the reason printed, where it is absent.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

/// The sample of an `input.json` file: `{"input_data": [[flat], ...]}`, booleans as 0 and 1.
pub fn read_sample(path: &PathBuf) -> Vec<Vec<f32>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let json: serde_json::Value = serde_json::from_str(&text).expect("an input file is JSON");
    let number = |x: &serde_json::Value| match x {
        serde_json::Value::Bool(b) => f32::from(u8::from(*b)),
        x => x.as_f64().expect("an element is a number") as f32,
    };
    let inputs = json["input_data"].as_array().expect("input_data is a list");
    inputs.iter().map(|input| input.as_array().expect("an input is a list").iter().map(number).collect()).collect()
}

/// Imports a model with one calibration sample, and runs it on that.
pub fn import_and_run(bytes: &[u8], sample: &[Vec<f32>]) -> Result<(Model, Values), String> {
    import_and_run_with(bytes, sample, ImportOptions::default())
}

/// As [`import_and_run`], with other options.
pub fn import_and_run_with(
    bytes: &[u8],
    sample: &[Vec<f32>],
    options: ImportOptions,
) -> Result<(Model, Values), String> {
    let options = ImportOptions { samples: vec![sample.to_vec()], ..options };
    let model = import_onnx(bytes, &options).map_err(|e| e.to_string())?;
    let mut values: Values = vec![None; model.graph.tensors.len()];
    for (id, weight) in &model.weights {
        values[id.index()] = Some(weight.clone());
    }
    for (index, input) in sample.iter().enumerate() {
        let port = model.graph.inputs[index];
        values[port.tensor.index()] = Some(quantise_input(&model.graph, index, input).map_err(|e| e.to_string())?);
    }
    execute(&model.graph, 0..model.graph.nodes.len() as u32, &mut values).map_err(|e| e.to_string())?;
    Ok((model, values))
}
