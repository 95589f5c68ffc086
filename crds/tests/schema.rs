//! The generated definition, and each of its CEL rules with one object that it takes and one that it refuses.

use kube::CustomResourceExt;
use proofmill_crds::{InputSource, Model, Partition, ProofJob, ProofJobSpec, SecurityBits, Subgraphs};

/// `kubectl apply` keeps the whole object in an annotation of at most this many bytes.
const ANNOTATION_MAX_BYTES: usize = 262_144;

#[test]
fn the_committed_yaml_is_the_generated_one() {
    let generated = serde_saphyr::to_string(&ProofJob::crd()).unwrap();
    let committed = include_str!("../proofjobs.yaml");
    assert!(generated == committed, "crds/proofjobs.yaml is stale: cargo run -p proofmill-crds > crds/proofjobs.yaml");
    assert!(serde_json::to_string(&ProofJob::crd()).unwrap().len() < ANNOTATION_MAX_BYTES / 4);
}

fn job() -> ProofJob {
    let model = Model { source: "digits.onnx".into(), format: Default::default(), calibration: vec![] };
    let input = InputSource { values: None, url: Some("digit.png".into()) };
    let spec = ProofJobSpec {
        model,
        input,
        partition: Partition::default(),
        security_bits: SecurityBits::default(),
        device: Default::default(),
        parallelism: None,
        retries: 2,
        active_deadline_seconds: None,
        store: None,
    };
    ProofJob::new("digits", spec)
}

/// Says at which fields the rules refuse a changed job.
fn refused(change: impl FnOnce(&mut ProofJob)) -> Vec<String> {
    let mut job = job();
    change(&mut job);
    match job.validate_cel() {
        Ok(()) => vec![],
        Err(errors) => errors.as_slice().iter().map(|error| error.field_path.clone()).collect(),
    }
}

#[test]
fn every_creation_rule_takes_its_bounds_and_refuses_beyond() {
    let none: [&str; 0] = [];
    assert_eq!(refused(|_| {}), none);
    assert_eq!(refused(|j| j.metadata.name = Some("n".repeat(52))), none);
    assert_eq!(refused(|j| j.metadata.name = Some("n".repeat(53))), [""]);
    assert_eq!(refused(|j| j.spec.model.source.clear()), ["spec.model.source"]);
    assert_eq!(refused(|j| j.spec.model.calibration = vec!["a".into(); 256]), none);
    assert_eq!(refused(|j| j.spec.model.calibration = vec!["a".into(); 257]), ["spec.model.calibration"]);
    assert_eq!(refused(|j| j.spec.input.url = None), ["spec.input"]);
    assert_eq!(refused(|j| j.spec.input.values = Some(vec![vec![1.0]])), ["spec.input"]);
    let inline =
        |lists| move |j: &mut ProofJob| j.spec.input = InputSource { values: Some(vec![vec![0.5]; lists]), url: None };
    assert_eq!(refused(inline(1)), none);
    assert_eq!(refused(inline(64)), none);
    assert_eq!(refused(inline(0)), ["spec.input.values"]);
    assert_eq!(refused(inline(65)), ["spec.input.values"]);
    assert_eq!(refused(|j| j.spec.input.url = Some(String::new())), ["spec.input.url"]);
    for (count, expected) in
        [(1, &none[..]), (1024, &none), (0, &["spec.partition.subgraphs"]), (1025, &["spec.partition.subgraphs"])]
    {
        assert_eq!(refused(|j| j.spec.partition.subgraphs = Subgraphs::Count(count)), expected, "{count}");
    }
    for (bits, expected) in
        [(100, &none[..]), (128, &none), (99, &["spec.securityBits"]), (256, &["spec.securityBits"])]
    {
        assert_eq!(refused(|j| j.spec.security_bits = SecurityBits(bits)), expected, "{bits}");
    }
    for (parallelism, expected) in
        [(1, &none[..]), (1024, &none), (0, &["spec.parallelism"]), (1025, &["spec.parallelism"])]
    {
        assert_eq!(refused(|j| j.spec.parallelism = Some(parallelism)), expected, "{parallelism}");
    }
    assert_eq!(refused(|j| j.spec.retries = 20), none);
    assert_eq!(refused(|j| j.spec.retries = 21), ["spec.retries"]);
    assert_eq!(refused(|j| j.spec.active_deadline_seconds = Some(1)), none);
    assert_eq!(refused(|j| j.spec.active_deadline_seconds = Some(0)), ["spec.activeDeadlineSeconds"]);
    assert_eq!(refused(|j| j.spec.store = Some("s3://bucket".into())), none);
    assert_eq!(refused(|j| j.spec.store = Some(String::new())), ["spec.store"]);
}

#[test]
fn what_the_proof_depends_on_is_immutable_and_the_rest_is_not() {
    let updated = |change: fn(&mut ProofJob)| {
        let mut new = job();
        change(&mut new);
        new.validate_cel_update(&job()).map_err(|errors| errors.as_slice()[0].field_path.clone())
    };
    assert_eq!(updated(|j| j.spec.model.source = "other.onnx".into()), Err("spec.model".into()));
    assert_eq!(updated(|j| j.spec.input.url = Some("other.png".into())), Err("spec.input".into()));
    assert_eq!(updated(|j| j.spec.partition.subgraphs = Subgraphs::Count(3)), Err("spec.partition".into()));
    assert_eq!(updated(|j| j.spec.security_bits = SecurityBits(100)), Err("spec.securityBits".into()));
    assert_eq!(updated(|j| j.spec.parallelism = Some(7)), Ok(()));
    assert_eq!(updated(|j| j.spec.retries = 7), Ok(()));
}
