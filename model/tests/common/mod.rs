//! Running a model.

use model::{ImportOptions, Model, Values, execute, import_onnx, quantise_input};

/// Imports a model with one calibration sample, and runs it on that.
pub fn import_and_run(bytes: &[u8], sample: &[Vec<f32>]) -> Result<(Model, Values), String> {
    let options = ImportOptions { samples: vec![sample.to_vec()], ..ImportOptions::default() };
    let model = import_onnx(bytes, &options).map_err(|e| e.to_string())?;
    let mut values: Values = vec![None; model.graph.tensors.len()];
    for (id, weight) in &model.weights {
        values[id.index()] = Some(weight.clone());
    }
    for (index, input) in sample.iter().enumerate() {
        let port = model.graph.inputs[index];
        values[port.tensor.index()] = Some(quantise_input(&model.graph, index, input).map_err(|e| e.to_string())?);
    }
    execute(&kernels::Cpu, &model.graph, 0..model.graph.nodes.len() as u32, &mut values).map_err(|e| e.to_string())?;
    Ok((model, values))
}
