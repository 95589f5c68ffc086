//! Real ONNX models: the benchmark's two and the collection, imported, executed and compared with the float run.

mod common;
#[path = "common/sample.rs"]
mod sample;
#[path = "common/shared.rs"]
mod shared;

use common::import_and_run;
use model::{Subgraphs, dequantise, partition};
use sample::read_sample;
use shared::shared;
use verifier::graph::Op;

#[test]
fn benchmark_models_stay_within_a_thousandth() {
    let Some(folder) = shared("bench") else { return };
    for name in ["mlp", "cnn"] {
        let bytes = std::fs::read(folder.join(format!("{name}.onnx"))).expect("the model is readable");
        let sample = read_sample(&folder.join(format!("{name}.input.json")));
        let (model, _) = import_and_run(&bytes, &sample).expect("the model is supported");
        let error = model.report.outputs[0].max_error;
        let lookups = model.graph.nodes.iter().filter(|n| matches!(n.op, Op::Lookup(_))).count();
        println!("{name}: max error {error:.2e}, {} nodes, {lookups} lookups", model.graph.nodes.len());
        assert!(error <= 1e-3, "{name}: {error}");
        for count in [1, 4] {
            let parts = partition(&model, Subgraphs::Count(count)).expect("the model can be cut");
            assert_eq!(parts.count, count);
            assert!((0..count).all(|s| parts.subgraph_of_node.contains(&s)));
            assert!(parts.subgraph_of_node.is_sorted());
        }
    }
}

/// Largest error of an output, relative to its largest element or 1.
const TOLERANCE: f64 = 5e-4;

/// Every model of the collection is imported, and close to its float run.
#[test]
fn collection_is_imported_and_accurate() {
    let Some(folder) = shared("onnx") else { return };
    let mut entries: Vec<_> = std::fs::read_dir(&folder).expect("the folder is readable").flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path().join("network.onnx")).expect("the model is readable");
        let mut sample = read_sample(&entry.path().join("input.json"));
        // Two files give inputs that their models do not read.
        match name.as_str() {
            "arange" => sample.clear(),
            "bitwise_ops" => drop(sample.drain(..2)),
            _ => {}
        }
        let (model, values) = import_and_run(&bytes, &sample).unwrap_or_else(|e| panic!("{name}: {e}"));
        let errors: Vec<String> = model.report.outputs.iter().map(|o| format!("{:.1e}", o.max_error)).collect();
        println!("| {name} | {} | {} |", model.graph.nodes.len(), errors.join(", "));
        for (port, accuracy) in model.graph.outputs.iter().zip(&model.report.outputs) {
            let output = values[port.tensor.index()].as_ref().expect("an output is computed");
            let largest = dequantise(port.exponent, output).into_iter().fold(1f64, |m, x| m.max(x.abs()));
            assert!(accuracy.max_error <= TOLERANCE * largest, "{name}: {}", accuracy.max_error);
        }
    }
}
