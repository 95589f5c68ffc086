//! Any bytes are an ONNX model that runs on some input, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{ImportOptions, import_onnx};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(model) = import_onnx(bytes, &ImportOptions::default()) {
        model.graph.check().expect("an imported model obeys the rules of a graph");
    }
});
