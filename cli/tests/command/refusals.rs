//! Manifests, models and keys that are wrong, and what the user is told.

use std::fs;

use crate::common::{Workplace, example, proofmill, text};

/// Runs a changed manifest, and gives the error.
fn refusal(change: impl Fn(&str) -> String) -> String {
    let place = Workplace::new(2, "");
    let path = place.path("job.yaml");
    fs::write(&path, change(&fs::read_to_string(&path).unwrap())).unwrap();
    // A machine with a GPU shows none.
    let output = place.run().env("CUDA_VISIBLE_DEVICES", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

#[test]
fn a_wrong_manifest_is_refused_by_field() {
    let replaced = |from: &'static str, to: &'static str| {
        refusal(move |manifest| {
            assert!(manifest.contains(from));
            manifest.replace(from, to)
        })
    };
    for (from, to, expected) in [
        ("partition:", "partitions:", "job.yaml: spec.partitions: no such field"),
        ("digits.onnx", "absent.onnx", "spec.model.source: cannot read"),
        ("digit-0-7.png", "absent.png", "spec.input.url: cannot read"),
        ("calibration-1.png", "absent.png", "spec.model.calibration[1]: cannot read"),
        ("subgraphs: 2", "subgraphs: 0", "spec.partition.subgraphs"),
        ("subgraphs: 2", "subgraphs: 1000", "spec.partition.subgraphs: 1000 subgraphs were asked for"),
        ("securityBits: 100", "securityBits: 256", "spec.securityBits: must be 128 or 100"),
        ("securityBits: 100", "device: Gpu", "spec.device is Gpu: there is no"),
        ("securityBits: 100", "suspend: true", "spec.suspend: only a cluster can honour this"),
        (
            "securityBits: 100",
            "store: {url: s3://b, secretRef: {name: keys}}",
            "spec.store.secretRef: only a cluster can honour this",
        ),
        ("securityBits: 100", "visibility: {output: Private}", "spec.visibility.output: Private is not built yet"),
        ("name: digits", "name: ../digits", "metadata.name: \"../digits\" is not a name"),
        ("{name: digits}", "{}", "metadata.name: missing"),
        ("digit-0-7.png", "digits.onnx", "neither a PNG or PGM picture nor JSON"),
        ("digits.onnx", "digit-0-7.png", "not an ONNX model"),
    ] {
        let message = replaced(from, to);
        assert!(message.contains(expected), "{message}\nwanted {expected}");
    }
}

#[test]
fn a_deterministic_failure_is_not_tried_again() {
    let message = refusal(|manifest| manifest.replace("subgraphs: 2", "subgraphs: 1000"));
    assert!(message.contains("DeterministicFailure"), "{message}");
}

#[test]
fn other_files_are_no_proofs_keys_or_models() {
    let image = example("digits/digit-0-7.png");
    let fails = |args: &[&std::ffi::OsStr]| {
        let output = proofmill(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let image = image.as_os_str();
    assert!(fails(&["verify".as_ref(), image, "--model".as_ref(), image]).contains("not a model key"));
    assert!(
        fails(&["verify".as_ref(), image, "--model".as_ref(), "absent.key".as_ref()])
            .contains("cannot read absent.key")
    );
    assert!(fails(&["model".as_ref(), "inspect".as_ref(), image]).contains("not a model key"));
    assert!(fails(&["run".as_ref(), image]).contains("cannot read"));
}
