//! Manifests as people write them, well and badly.

use proofmill_crds::{Device, Subgraphs, manifest::parse};
use proptest::prelude::*;

const HEAD: &str = "apiVersion: proofmill.dev/v1alpha1\nkind: ProofJob\nmetadata: {name: digits}\n";

#[test]
fn a_short_manifest_has_the_defaults() {
    let job = parse(&format!("{HEAD}spec:\n  model: {{source: digits.onnx}}\n  input: {{url: digit.png}}\n")).unwrap();
    assert_eq!(job.metadata.name.as_deref(), Some("digits"));
    assert_eq!(job.spec.partition.subgraphs, Subgraphs::Auto);
    assert_eq!((job.spec.security_bits.0, job.spec.retries, job.spec.device), (128, 2, Device::Auto));
}

#[test]
fn bad_manifests_are_refused_by_field() {
    let good = "model: {source: m.onnx}, input: {values: [[1, 2.5]]}";
    let spec = |fields: &str| format!("{HEAD}spec: {{{fields}}}\n");
    assert!(parse(&spec(good)).is_ok());
    let table = [
        ("", "apiVersion is missing; expected proofmill.dev/v1alpha1"),
        ("{", "the manifest is not YAML"),
        ("apiVersion: proofmill.dev/v2\nkind: ProofJob", "apiVersion is \"proofmill.dev/v2\""),
        ("apiVersion: proofmill.dev/v1alpha1\nkind: Job", "kind is \"Job\"; expected ProofJob"),
        (&format!("{HEAD}specs: {{}}"), "specs: no such field"),
        (HEAD, "missing field `spec`"),
        (&spec(good).replace("{name: digits}", "{}"), "metadata.name: missing"),
        (&spec("input: {url: i}"), "spec: must have exactly one of model and modelRef"),
        (&spec("model: {sauce: m.onnx}, input: {url: i}"), "spec.model.sauce: no such field"),
        (&spec(&format!("{good}, paralelism: 2")), "spec.paralelism: no such field"),
        (
            &spec("model: {source: m.onnx, format: Pickle}, input: {url: i}"),
            "spec.model.format: unknown variant `Pickle`",
        ),
        (&spec("model: {source: m.onnx}, input: {}"), "spec.input: must have exactly one of values, url and prompt"),
        (&spec("model: {source: m.onnx}, input: {prompt: Once}"), "spec: a prompt is for a language model"),
        (
            &spec("model: {source: m.onnx}, input: {url: i, stop: [x]}"),
            "spec.input: maxNewTokens and stop go with a prompt",
        ),
        (&spec("model: {source: m.onnx}, input: {values: [[x]]}"), "spec.input.values[0][0]: invalid type"),
        (&spec(&format!("{good}, partition: {{subgraphs: auto}}")), "spec.partition.subgraphs: \"auto\" is not"),
        (&spec(&format!("{good}, partition: {{subgraphs: 0}}")), "spec.partition.subgraphs: \"0\" is not"),
        (&spec(&format!("{good}, partition: {{subgraphs: -1}}")), "spec.partition.subgraphs: \"-1\" is not"),
        (&spec(&format!("{good}, partition: {{subgraphs: '4'}}")), "spec.partition.subgraphs: \"4\" is not"),
        (&spec(&format!("{good}, securityBits: 80")), "spec.securityBits: must be 128 or 100"),
        (&spec(&format!("{good}, device: Tpu")), "spec.device: unknown variant `Tpu`"),
        (&spec(&format!("{good}, store: s3://b")), "spec.store: invalid type"),
        (&spec(&format!("{good}, visibility: {{input: Private}}")), "spec.visibility.input: Private is not built yet"),
        (
            &spec(&format!("{good}, stages: {{prove: {{resources: {{limit: {{}}}}}}}}")),
            "spec.stages.prove.resources.limit: no such field",
        ),
        (&spec(&format!("{good}, retries: -1")), "spec.retries: invalid value"),
        (&spec(&format!("{good}, parallelism: 0")), "spec.parallelism: must be from 1 to 1024"),
    ];
    for (text, expected) in table {
        let message = parse(text).expect_err(text).to_string();
        assert!(message.contains(expected), "{text}\ngave   {message}\nwanted {expected}");
    }
}

#[test]
fn a_long_manifest_is_not_read() {
    assert!(parse(&" ".repeat(5 << 20)).unwrap_err().to_string().contains("at most"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}", cut in 0usize..400) {
        let _ = parse(&text);
        let whole = format!("{HEAD}spec:\n  model: {{source: m.onnx, calibration: [a, b]}}\n  input:\n    values: [[1.5, .nan], [2e3]]\n  partition: {{subgraphs: 3}}\n");
        let _ = parse(whole.get(..cut).unwrap_or(&whole));
    }
}
