//! Samples in files.

use std::path::Path;

/// The sample of an `input.json` file: `{"input_data": [[flat], ...]}`, booleans as 0 and 1.
pub fn read_sample(path: &Path) -> Vec<Vec<f32>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let json: serde_json::Value = serde_json::from_str(&text).expect("an input file is JSON");
    let number = |x: &serde_json::Value| match x {
        serde_json::Value::Bool(b) => f32::from(u8::from(*b)),
        x => x.as_f64().expect("an element is a number") as f32,
    };
    let inputs = json["input_data"].as_array().expect("input_data is a list");
    inputs.iter().map(|input| input.as_array().expect("an input is a list").iter().map(number).collect()).collect()
}
