//! `bench` on a GPU: the one that `PROOFMILL_TEST_GPU` numbers, else the emulator.

use std::{collections::BTreeSet, env, process::Command};

use kernels::cuda::emulator::{GPU, folder};
use serde_json::Value;

use crate::common::{events, example, proofmill, text};

/// `proofmill bench` on the GPU under test; `None` where there is no compiler for the emulator.
fn bench(args: &[&str]) -> Option<Command> {
    let mut command = proofmill(["bench"].iter().chain(args));
    match env::var(GPU) {
        Ok(number) => command.arg("--device").arg(format!("cuda:{number}")),
        Err(_) => command.args(["--device", "cuda"]).env("LD_LIBRARY_PATH", folder()?),
    };
    Some(command)
}

/// What it reports in JSON.
fn report(args: &[&str]) -> Option<Value> {
    let output = bench(args)?.arg("--json").output().unwrap();
    Some(events(&output).remove(0))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn kernels_are_measured_beside_what_the_gpu_does_at_best() {
    let Some(report) = report(&["--kernels", "--log-cells", "12"]) else { return };
    let machine = &report["machine"];
    let name = machine["gpu"].as_str().unwrap();
    assert!(name.starts_with("GPU "), "{machine}");
    let rates = ["copiedBytes", "multiplyAdds", "multiplications", "additions", "compressions", "byteProducts"];
    let rates = rates.map(|rate| (rate, number(&machine[format!("{rate}PerSecond")])));
    assert!(rates.iter().all(|(_, rate)| *rate > 1e3), "{machine}");
    let rows = report["kernels"].as_array().unwrap();
    for row in rows {
        let [seconds, floor] = ["seconds", "floorSeconds"].map(|key| number(&row[key]));
        assert!(seconds > 0.0 && number(&row["bytes"]) > 0.0, "{row}");
        // The floor is that of the rates in the same report.
        let of = |rate: &str| row[if rate == "copiedBytes" { "bytes" } else { rate }].as_f64().unwrap();
        let [moving, computing @ ..] = rates.map(|(name, rate)| of(name) / rate);
        let expected = moving.max(computing.iter().sum());
        assert!((floor - expected).abs() <= 1e-9 * expected, "{row}");
        assert_eq!(row["boundBy"], if floor > moving { "arithmetic" } else { "memory" });
        assert!((number(&row["partOfFloor"]) - floor / seconds).abs() < 1e-9, "{row}");
        let target = row["target"].as_f64();
        assert_eq!(row["reachesTarget"].as_bool(), target.map(|target| floor / seconds >= target), "{row}");
        let kernels = row["kernels"].as_array().unwrap();
        let sum: f64 = kernels.iter().map(|kernel| number(&kernel["seconds"])).sum();
        assert!((sum - seconds).abs() <= 1e-9 * seconds, "{row}");
    }
    // A table for people has the same rows, and says of which GPU they are.
    let shown = text(&bench(&["--kernels", "--log-cells", "12"]).unwrap().output().unwrap().stdout);
    assert!(shown.starts_with(name) && shown.contains("at best in a second: "), "{shown}");
    let names: BTreeSet<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let lines: BTreeSet<&str> =
        shown.lines().filter(|line| line.ends_with("memory") || line.ends_with("arithmetic")).collect();
    assert_eq!(lines.len(), names.len(), "{shown}");
    assert!(names.iter().all(|name| lines.iter().any(|line| line.starts_with(name))), "{shown}");
}

#[test]
fn primitives_and_stages_have_a_floor_on_a_gpu() {
    let Some(report_of) =
        report(&["--security-bits", "100", "--primitive", "commit=12", "--primitive", "lookup=300x5"])
    else {
        return;
    };
    let primitives = report_of["primitives"].as_array().unwrap();
    assert_eq!(primitives.len(), 2);
    for primitive in primitives {
        assert_eq!(primitive["device"], report_of["machine"]["gpu"]);
        let ratio = number(&primitive["seconds"]) / number(&primitive["floorGpuSeconds"]);
        assert!((number(&primitive["ratioToFloor"]) - ratio).abs() <= 1e-9 * ratio, "{primitive}");
        assert!(primitive["floorCpuSeconds"].is_null(), "{primitive}");
    }
    // Chosen primitives come without the kernels.
    assert_eq!(report_of["kernels"].as_array().unwrap().len(), 0);

    let (model, input) = (example("digits/digits.onnx"), example("digits/digit-0-7.png"));
    let args = ["--security-bits", "100", "--subgraphs", "1", "--input", input.to_str().unwrap()];
    let mut args = args.to_vec();
    args.push(model.to_str().unwrap());
    let report_of = report(&args).unwrap();
    // The weights are few enough to be sent in the clear, so setup has nothing to do for a GPU.
    for stage in ["execute", "prove"] {
        let cost = &report_of["stages"][stage];
        assert!(number(&cost["kernelSeconds"]) > 0.0 && number(&cost["floorGpuSeconds"]) > 0.0, "{report_of}");
    }
    let prove = &report_of["stages"]["prove"];
    let ratio = number(&prove["kernelSeconds"]) / number(&prove["floorGpuSeconds"]);
    assert!((number(&prove["ratioToFloor"]) - ratio).abs() <= 1e-9 * ratio, "{prove}");
}

#[test]
fn proofs_of_a_model_that_stays_on_a_gpu_are_counted() {
    let (model, input) = (example("digits/digits.onnx"), example("digits/digit-0-7.png"));
    let args = ["--security-bits", "100", "--subgraphs", "1", "--proofs", "2", "--at-once", "2"];
    let args = args.into_iter().chain(["--input", input.to_str().unwrap()]);
    let args: Vec<&str> = args.chain(model.to_str()).collect();
    let Some(report) = report(&args) else { return };
    assert!(report["device"].as_str().unwrap().starts_with("GPU "), "{report}");
    assert!(number(&report["launchesPerProof"]) > number(&report["waitsPerProof"]), "{report}");
    assert!(number(&report["peakGpuMemoryBytes"]) > 1e5, "{report}");
}
