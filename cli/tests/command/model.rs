//! `model` and `bench` on the example model.

use std::fs;

use crate::common::{events, example, proofmill, text};

#[test]
fn import_writes_a_key_that_inspect_reads_and_draws() {
    let directory = tempfile::tempdir().unwrap();
    let model = example("digits/digits.onnx");
    let imported =
        proofmill(["model", "import", "--subgraphs", "3"]).arg(&model).arg("-o").arg(directory.path()).output();
    let imported = imported.unwrap();
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert!(text(&imported.stdout).contains("warning: no calibration samples"));
    assert!(directory.path().join("report.json").is_file());

    let (key, svg) = (directory.path().join("model.key"), directory.path().join("graph.svg"));
    let inspected = proofmill(["model", "inspect"]).arg(&key).arg("--svg").arg(&svg).output().unwrap();
    assert!(inspected.status.success(), "{}", text(&inspected.stderr));
    let (shown, drawn) = (text(&inspected.stdout), fs::read_to_string(svg).unwrap());
    assert!(shown.contains("subgraphs  3\n") && shown.contains("widest accumulator: "), "{shown}");
    for subgraph in 0..3 {
        assert_eq!(drawn.matches(&format!(">subgraph {subgraph}<")).count(), 1);
    }
    let nodes: usize = shown.lines().find_map(|line| line.strip_prefix("nodes")).unwrap().trim().parse().unwrap();
    assert_eq!(drawn.matches("<g><title>").count(), nodes);
}

#[test]
fn bench_measures_every_stage() {
    let args = ["bench", "--json", "--security-bits", "100", "--subgraphs", "2", "--input"];
    let bench =
        proofmill(args).arg(example("digits/digit-0-7.png")).arg(example("digits/digits.onnx")).output().unwrap();
    let report = &events(&bench)[0];
    for stage in ["setup", "execute", "prove", "aggregate"] {
        let cost = &report["stages"][stage];
        assert!(
            cost["cpuSeconds"].as_f64().unwrap() > 0.0 && cost["peakMemoryBytes"].as_u64().unwrap() > 1 << 20,
            "{report}"
        );
    }
    assert!(report["verifySeconds"].as_f64().unwrap() > 0.0 && report["proofBytes"].as_u64().unwrap() > 0);
    assert_eq!(report["subgraphs"], 2);
}

#[test]
fn bench_measures_primitives_beside_the_floor() {
    let sizes = ["commit=14", "open=14", "dense=4x32x16", "attention=2x8x4", "lookup=500x6", "view=2x9"];
    let args = ["bench", "--json", "--security-bits", "100"].into_iter();
    let bench = proofmill(args.chain(sizes.iter().flat_map(|size| ["--primitive", size]))).output().unwrap();
    let report = &events(&bench)[0];
    assert!(report["machine"]["multiplicationsPerCpuSecond"].as_f64().unwrap() > 1e6);
    let primitives = report["primitives"].as_array().unwrap();
    assert_eq!(primitives.iter().map(|p| p["primitive"].as_str().unwrap()).collect::<Vec<_>>(), sizes);
    for primitive in primitives {
        let number = |key: &str| primitive[key].as_f64().unwrap();
        assert!(number("cpuSeconds") > 0.0 && number("peakMemoryBytes") > 1e6 && number("bytes") > 0.0, "{primitive}");
        assert!(number("floorCpuSeconds") > 0.0 && number("ratioToFloor") > 0.0, "{primitive}");
        let verified = primitive["primitive"] != "commit=14";
        assert_eq!(primitive["verifySeconds"].as_f64().is_some_and(|seconds| seconds > 0.0), verified, "{primitive}");
    }
    // Chosen primitives come without the table of commitments.
    assert_eq!(report["commitment"].as_array().unwrap().len(), 0);
}

#[test]
fn proofs_are_counted_one_by_one_and_by_inputs() {
    let directory = tempfile::tempdir().unwrap();
    let batch = directory.path().join("batch.json");
    let digit = fs::read_to_string(example("digits/digit-0-7.json")).unwrap();
    fs::write(&batch, format!("{{\"inputs\": [{digit}, {digit}, {digit}]}}")).unwrap();
    let run = |input: &std::path::Path, more: &[&str]| {
        let args = ["bench", "--security-bits", "100", "--subgraphs", "2", "--proofs", "3", "--input"];
        proofmill(args).arg(input).arg(example("digits/digits.onnx")).args(more).output().unwrap()
    };
    let one = example("digits/digit-0-7.png");
    let cases: [(_, &[&str]); 3] = [(&one, &["--json"]), (&batch, &["--json"]), (&one, &["--json", "--at-once", "2"])];
    let reports = cases.map(|(input, args)| events(&run(input, args)).remove(0));
    for (report, (inputs, at_once)) in reports.iter().zip([(1.0, 1.0), (3.0, 1.0), (1.0, 2.0)]) {
        let number = |value: &serde_json::Value| value.as_f64().unwrap();
        let counted = ["proofs", "inferences", "atOnce"].map(|name| number(&report[name]));
        assert_eq!((&report["device"], counted), (&"cpu".into(), [3.0, inputs, at_once]));
        // What is said of a second is what was counted, no job left out.
        let seconds = number(&report["seconds"]);
        assert!((number(&report["proofsPerSecond"]) * seconds - 3.0).abs() < 1e-9, "{report}");
        assert!((number(&report["inferencesPerSecond"]) * seconds - 3.0 * inputs).abs() < 1e-9, "{report}");
        let mean = |part: &str| number(&report["parts"][part]["meanSeconds"]);
        assert!((mean("execute") + mean("prove") + mean("aggregate") - mean("all")).abs() < 1e-9, "{report}");
        assert!(
            3.0 * mean("all") <= at_once * seconds && number(&report["parts"]["all"]["leastSeconds"]) <= mean("all"),
            "{report}"
        );
    }
    assert!(reports[0]["proofBytes"].as_u64() < reports[1]["proofBytes"].as_u64(), "{reports:?}");
    let shown = text(&run(&batch, &["--at-once", "2"]).stdout);
    assert!(
        shown.contains("3 proofs of 3 inputs each, 2 at a time, on cpu in ") && shown.contains("all verified, "),
        "{shown}"
    );
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |args: &[&str]| {
        let output = proofmill(["bench"].iter().chain(args)).env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
        assert!(!output.status.success(), "{}", text(&output.stdout));
        text(&output.stderr)
    };
    assert!(refused(&["--log-cells", "20"]).contains("--log-cells is a size for the kernels of a GPU"));
    assert!(refused(&["--kernels"]).contains("--kernels measures the kernels of a GPU: say --device cuda"));
    assert!(refused(&["--kernels", "--device", "cuda:999"]).contains("there is no "));
    assert!(refused(&["--kernels", "--shape", "gpt2"]).contains("cannot be used with"));
    assert!(refused(&["--log-cells", "11", "--device", "cuda"]).contains("11 is not in 12..=30"));
    assert!(refused(&["--proofs", "2"]).contains("give a model with --input, or a --shape"));
    assert!(refused(&["--proofs", "0", "--shape", "gpt2"]).contains("0 is not in 1..=1000"));
    assert!(refused(&["--at-once", "2", "--shape", "gpt2"]).contains("--proofs <N>"));
}
