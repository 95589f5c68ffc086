//! The generated definition, and each of its CEL rules with one object that it takes and one that it refuses.

use std::{fs, path::Path};

use k8s_openapi::api::core::v1::EnvVar;
use proofmill_crds::{
    Format, InputSource, Model, Named, PodOverrides, ProofJob, ProofJobSpec, ProofModel, ProofModelSpec, SecurityBits,
    Store, Subgraphs, Temperature, Tokens, Visible, definitions, yaml,
};

/// `kubectl apply` keeps the whole object in an annotation of at most this many bytes.
const ANNOTATION_MAX_BYTES: usize = 262_144;

#[test]
fn the_committed_yaml_is_the_generated_one_and_small() {
    for (file, definition) in definitions() {
        let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(yaml(&definition).unwrap() == committed, "crds/{file} is stale: cargo run -p proofmill-crds");
        let bytes = serde_json::to_string(&definition).unwrap().len();
        assert!(bytes < ANNOTATION_MAX_BYTES / 3, "{file}: {bytes}");
    }
}

fn model() -> Model {
    Model { source: "digits.onnx".into(), ..Model::default() }
}

fn job() -> ProofJob {
    let input = InputSource::at("digit.png");
    ProofJob::new("digits", ProofJobSpec::new(model(), input))
}

fn proof_model() -> ProofModel {
    let spec: ProofModelSpec = serde_json::from_value(serde_json::json!({ "model": model() })).unwrap();
    ProofModel::new("digits", spec)
}

fn named(name: &str) -> Named {
    Named { name: name.into() }
}

fn store(url: Option<&str>, secret: Option<&str>, claim: Option<&str>) -> Store {
    Store { url: url.map(Into::into), secret_ref: secret.map(named), persistent_volume_claim: claim.map(named) }
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
    let source = |text: &'static str| move |j: &mut ProofJob| j.spec.model.as_mut().unwrap().source = text.into();
    assert_eq!(refused(source("")), ["spec.model.source"]);
    let samples = |n| move |j: &mut ProofJob| j.spec.model.as_mut().unwrap().calibration = vec!["a".into(); n];
    assert_eq!(refused(samples(256)), none);
    assert_eq!(refused(samples(257)), ["spec.model.calibration"]);
    assert_eq!(refused(|j| j.spec.input.as_mut().unwrap().url = None), ["spec.input"]);
    assert_eq!(refused(|j| j.spec.input.as_mut().unwrap().values = Some(vec![vec![1.0]])), ["spec.input"]);
    let inline = |lists| move |j: &mut ProofJob| j.spec.input = Some(InputSource::of(vec![vec![0.5]; lists]));
    assert_eq!(refused(inline(1)), none);
    assert_eq!(refused(inline(64)), none);
    assert_eq!(refused(inline(0)), ["spec.input.values"]);
    assert_eq!(refused(inline(65)), ["spec.input.values"]);
    assert_eq!(refused(|j| j.spec.input.as_mut().unwrap().url = Some(String::new())), ["spec.input.url"]);
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
}

#[test]
fn a_model_is_given_or_named_and_then_brings_its_store_and_partition() {
    let by_name = |change: fn(&mut ProofJob)| {
        refused(|j| {
            (j.spec.model, j.spec.model_ref) = (None, Some(named("digits")));
            change(j);
        })
    };
    assert_eq!(by_name(|_| {}), [""; 0]);
    assert_eq!(by_name(|j| j.spec.model = Some(model())), ["spec"]);
    assert_eq!(by_name(|j| j.spec.model_ref = None), ["spec"]);
    assert_eq!(by_name(|j| j.spec.model_ref = Some(named(""))), ["spec.modelRef.name"]);
    assert_eq!(by_name(|j| j.spec.store = Some(store(Some("s3://b"), None, None))), ["spec"]);
    assert_eq!(by_name(|j| j.spec.partition.subgraphs = Subgraphs::Count(2)), ["spec"]);
}

#[test]
fn a_prompt_is_for_a_language_model() {
    let none: [&str; 0] = [];
    let tokens = |sequence, answer| Some(Tokens { sequence, answer, sampling: false });
    let with = |change: fn(&mut Model), input: fn(&mut InputSource)| {
        refused(|j| {
            j.spec.input = Some(InputSource { prompt: Some("Once".into()), ..InputSource::default() });
            let model = j.spec.model.as_mut().unwrap();
            model.format = Format::Gguf;
            change(model);
            input(j.spec.input.as_mut().unwrap());
        })
    };
    assert_eq!(with(|_| {}, |_| {}), none);
    assert_eq!(with(|m| m.format = Format::HuggingFace, |_| {}), none);
    assert_eq!(with(|m| m.format = Format::Onnx, |_| {}), ["spec"]);
    assert_eq!(with(|_| {}, |i| i.prompt = Some(String::new())), ["spec.input.prompt"]);
    assert_eq!(with(|_| {}, |i| i.url = Some("prompt.json".into())), ["spec.input"]);
    assert_eq!(with(|_| {}, |i| i.values = Some(vec![vec![1.0]])), ["spec.input"]);
    assert_eq!(with(|_| {}, |i| (i.max_new_tokens, i.stop) = (Some(1), vec!["\n".into()])), none);
    assert_eq!(with(|_| {}, |i| i.max_new_tokens = Some(0)), ["spec.input.maxNewTokens"]);
    assert_eq!(with(|_| {}, |i| i.stop = vec![String::new()]), ["spec.input.stop"]);
    assert_eq!(with(|_| {}, |i| (i.prompt, i.max_new_tokens) = (None, Some(1))), ["spec.input", "spec.input"]);
    let set_up = |tokens: Option<Tokens>| {
        refused(|j| {
            j.spec.model.as_mut().unwrap().format = Format::Gguf;
            j.spec.model.as_mut().unwrap().tokens = tokens;
        })
    };
    assert_eq!((set_up(tokens(1, 1)), set_up(tokens(65536, 65536))), (vec![], vec![]));
    assert_eq!(set_up(tokens(8, 9)), ["spec.model.tokens"]);
    assert_eq!(set_up(tokens(65537, 1)), ["spec.model.tokens.sequence"]);
    assert_eq!(set_up(tokens(8, 0)), ["spec.model.tokens.answer"]);
    assert_eq!(refused(|j| j.spec.model.as_mut().unwrap().tokens = tokens(8, 8)), ["spec.model"]);
}

#[test]
fn a_list_of_inputs_takes_the_place_of_one() {
    let none: [&str; 0] = [];
    let prompt = || InputSource { prompt: Some("Once".into()), ..InputSource::default() };
    let listed = |inputs: Vec<InputSource>| move |j: &mut ProofJob| (j.spec.input, j.spec.inputs) = (None, inputs);
    let values = |count| vec![InputSource::of(vec![vec![0.5]]); count];
    assert_eq!(refused(listed(values(1))), none);
    assert_eq!(refused(listed(values(64))), none);
    assert_eq!(refused(listed(values(65))), ["spec.inputs"]);
    assert_eq!(refused(listed(vec![])), ["spec"]);
    assert_eq!(refused(|j| j.spec.inputs = vec![InputSource::of(vec![vec![0.5]])]), ["spec"]);
    assert_eq!(refused(listed(vec![InputSource::at("digit.png")])), ["spec.inputs"]);
    assert_eq!(refused(listed(vec![InputSource::default()])), ["spec.inputs[0]"]);
    // What holds for one input holds for each.
    assert_eq!(refused(listed([values(1), vec![prompt()]].concat())), ["spec"]);
    let with = |sampling: bool, inputs: Vec<InputSource>| {
        refused(|j| {
            let model = j.spec.model.as_mut().unwrap();
            (model.format, model.tokens) = (Format::Gguf, Some(Tokens { sampling, ..Tokens::default() }));
            listed(inputs)(j);
        })
    };
    let drawn = || InputSource { seed: Some(1), ..prompt() };
    assert_eq!(with(false, vec![prompt(); 2]), none);
    assert_eq!(with(false, vec![prompt(), drawn()]), ["spec"]);
    assert_eq!(with(true, vec![drawn(); 2]), none);
    assert_eq!(with(true, vec![drawn(), prompt()]), ["spec"]);
    let file = |inputs: Vec<InputSource>| {
        let mut job = job();
        listed(inputs)(&mut job);
        (job.spec.input_count(), String::from_utf8(job.spec.input_file().unwrap()).unwrap())
    };
    let json = r#"{"inputs":[{"input_data":[[0.5]]},{"maxNewTokens":null,"prompt":"Once","stop":[]}]}"#;
    assert_eq!(file([values(1), vec![prompt()]].concat()), (2, json.into()));
}

#[test]
fn a_model_that_samples_takes_a_seed() {
    let none: [&str; 0] = [];
    let with = |sampling: bool, input: fn(&mut InputSource)| {
        refused(|j| {
            let model = j.spec.model.as_mut().unwrap();
            (model.format, model.tokens) = (Format::Gguf, Some(Tokens { sampling, ..Tokens::default() }));
            j.spec.input = Some(InputSource { prompt: Some("Once".into()), ..InputSource::default() });
            input(j.spec.input.as_mut().unwrap());
        })
    };
    let temperature = |thousandths| Some(Temperature(thousandths));
    assert_eq!(with(true, |i| i.seed = Some(0)), none);
    assert_eq!(with(true, |i| i.seed = Some(i64::MAX)), none);
    assert_eq!(with(true, |i| i.seed = Some(-1)), ["spec.input.seed"]);
    assert_eq!(with(true, |i| (i.seed, i.temperature) = (Some(1), Some(Temperature(1)))), none);
    assert_eq!(with(true, |i| (i.seed, i.temperature) = (Some(1), Some(Temperature(10_000)))), none);
    assert_eq!(
        with(true, |i| (i.seed, i.temperature) = (Some(1), Some(Temperature(10_001)))),
        ["spec.input.temperature"]
    );
    // The most likely tokens are no draw.
    assert_eq!(with(true, |i| i.temperature = Some(Temperature(0))), none);
    assert_eq!(with(true, |i| (i.seed, i.temperature) = (Some(1), Some(Temperature(0)))), ["spec.input"]);
    assert_eq!(with(true, |i| i.temperature = Some(Temperature::ONE)), ["spec.input"]);
    assert_eq!(with(true, |_| {}), ["spec"]);
    assert_eq!(with(false, |i| i.seed = Some(1)), ["spec"]);
    assert_eq!(with(false, |i| i.temperature = Some(Temperature(0))), none);
    // Tokens may be given as values; a file has its own seed, which is not seen here.
    let values = |i: &mut InputSource| (i.prompt, i.values) = (None, Some(vec![vec![1.0]]));
    let url = |i: &mut InputSource| (i.prompt, i.url) = (None, Some("prompt.json".into()));
    let change = |form: fn(&mut InputSource), seed, temperature| {
        refused(move |j| {
            let model = j.spec.model.as_mut().unwrap();
            (model.format, model.tokens) = (Format::Gguf, Some(Tokens { sampling: true, ..Tokens::default() }));
            j.spec.input =
                Some(InputSource { prompt: Some("Once".into()), seed, temperature, ..InputSource::default() });
            form(j.spec.input.as_mut().unwrap());
        })
    };
    assert_eq!(change(values, Some(1), None), none);
    assert_eq!(change(url, None, None), none);
    assert_eq!(change(url, Some(1), None), ["spec.input"]);
    assert_eq!(change(url, None, temperature(0)), ["spec.input"]);
    // Of a model that is named nothing is known.
    let named_model = |seed| {
        refused(move |j| {
            (j.spec.model, j.spec.model_ref) = (None, Some(named("digits")));
            j.spec.input = Some(InputSource { prompt: Some("Once".into()), seed, ..InputSource::default() });
        })
    };
    assert_eq!((named_model(None), named_model(Some(1))), (vec![], vec![]));
}

#[test]
fn a_store_is_a_url_or_a_claim() {
    let with = |store| refused(move |j| j.spec.store = Some(store));
    assert_eq!(with(store(Some("s3://b"), None, None)), [""; 0]);
    assert_eq!(with(store(Some("s3://b"), Some("keys"), None)), [""; 0]);
    assert_eq!(with(store(None, None, Some("disk"))), [""; 0]);
    assert_eq!(with(store(None, None, None)), ["spec.store"]);
    assert_eq!(with(store(Some("s3://b"), None, Some("disk"))), ["spec.store"]);
    assert_eq!(with(store(None, Some("keys"), Some("disk"))), ["spec.store"]);
    assert_eq!(with(store(Some(""), None, None)), ["spec.store.url"]);
    assert_eq!(with(store(Some("s3://b"), Some(""), None)), ["spec.store.secretRef.name"]);
    assert_eq!(with(store(None, None, Some(""))), ["spec.store.persistentVolumeClaim.name"]);
}

#[test]
fn what_is_not_built_is_refused() {
    assert_eq!(refused(|j| j.spec.visibility.input = Visible::Private), ["spec.visibility.input"]);
    assert_eq!(refused(|j| j.spec.visibility.output = Visible::Private), ["spec.visibility.output"]);
}

#[test]
fn queue_and_manager_are_names() {
    assert_eq!(refused(|j| j.spec.queue_name = Some("team".into())), [""; 0]);
    assert_eq!(refused(|j| j.spec.queue_name = Some(String::new())), ["spec.queueName"]);
    assert_eq!(refused(|j| j.spec.managed_by = Some("kueue.x-k8s.io/multikueue".into())), [""; 0]);
    assert_eq!(refused(|j| j.spec.managed_by = Some(String::new())), ["spec.managedBy"]);
}

#[test]
fn what_a_pod_needs_is_checked_where_kubernetes_would_not_name_the_field() {
    let with = |change: fn(&mut PodOverrides)| refused(|j| change(&mut j.spec.stages.prove));
    let variable = |name: &str| EnvVar { name: name.into(), value: Some("1".into()), value_from: None };
    assert_eq!(with(|p| p.image = Some("registry.example/worker:1".into())), [""; 0]);
    assert_eq!(with(|p| p.image = Some(String::new())), ["spec.stages.prove.image"]);
    assert_eq!(with(|p| p.memory_classes = vec!["512Mi".into(), "4Gi".into(), "1000000".into()]), [""; 0]);
    for wrong in ["4GB", "", "0", "-1Gi", "1.5Gi"] {
        let classes = vec!["1Gi".to_owned(), wrong.to_owned()];
        assert_eq!(
            refused(|j| j.spec.stages.prove.memory_classes = classes),
            ["spec.stages.prove.memoryClasses"],
            "{wrong}"
        );
    }
    assert_eq!(with(|p| p.gpu_resource = Some("amd.com/gpu".into())), [""; 0]);
    assert_eq!(with(|p| p.gpu_resource = Some("gpu".into())), ["spec.stages.prove.gpuResource"]);
    assert_eq!(refused(|j| j.spec.stages.setup.env = vec![variable("RUST_LOG")]), [""; 0]);
    assert_eq!(
        refused(|j| j.spec.stages.setup.env = vec![variable("JOB_COMPLETION_INDEX")]),
        ["spec.stages.setup.env"]
    );
}

#[test]
fn a_model_has_the_same_bounds() {
    let refused = |change: fn(&mut ProofModel)| {
        let mut model = proof_model();
        change(&mut model);
        let fields = |errors: kube::core::cel::ValidationErrors| {
            errors.as_slice().iter().map(|error| error.field_path.clone()).collect::<Vec<_>>()
        };
        model.validate_cel().map_err(fields)
    };
    assert_eq!(refused(|_| {}), Ok(()));
    assert_eq!(refused(|m| m.metadata.name = Some("n".repeat(53))), Err(vec!["".into()]));
    assert_eq!(refused(|m| m.spec.security_bits = SecurityBits(64)), Err(vec!["spec.securityBits".into()]));
    assert_eq!(refused(|m| m.spec.retries = 21), Err(vec!["spec.retries".into()]));
    assert_eq!(refused(|m| m.spec.active_deadline_seconds = Some(0)), Err(vec!["spec.activeDeadlineSeconds".into()]));
    assert_eq!(refused(|m| m.spec.store = Some(Store::default())), Err(vec!["spec.store".into()]));
    let updated = |change: fn(&mut ProofModel)| {
        let mut new = proof_model();
        change(&mut new);
        new.validate_cel_update(&proof_model()).map_err(|errors| errors.as_slice()[0].field_path.clone())
    };
    assert_eq!(updated(|m| m.spec.suspend = true), Ok(()));
    assert_eq!(updated(|m| m.spec.model.source = "other.onnx".into()), Err("spec.model".into()));
    assert_eq!(updated(|m| m.spec.partition.subgraphs = Subgraphs::Count(3)), Err("spec.partition".into()));
    assert_eq!(updated(|m| m.spec.security_bits = SecurityBits(100)), Err("spec.securityBits".into()));
    assert_eq!(updated(|m| m.spec.queue_name = Some("team".into())), Err("spec".into()));
}

#[test]
fn what_the_proof_depends_on_is_immutable_and_the_rest_is_not() {
    let changed = |old: fn(&mut ProofJob), new: fn(&mut ProofJob)| {
        let (mut before, mut after) = (job(), job());
        old(&mut before);
        new(&mut after);
        after.validate_cel_update(&before).map_err(|errors| errors.as_slice()[0].field_path.clone())
    };
    let updated = |change| changed(|_| {}, change);
    assert_eq!(updated(|j| j.spec.model.as_mut().unwrap().source = "other.onnx".into()), Err("spec.model".into()));
    assert_eq!(updated(|j| j.spec.input.as_mut().unwrap().url = Some("other.png".into())), Err("spec.input".into()));
    assert_eq!(updated(|j| j.spec.partition.subgraphs = Subgraphs::Count(3)), Err("spec.partition".into()));
    assert_eq!(updated(|j| j.spec.security_bits = SecurityBits(100)), Err("spec.securityBits".into()));
    let by_name = |j: &mut ProofJob| (j.spec.model, j.spec.model_ref) = (None, Some(named("digits")));
    assert_eq!(updated(by_name), Err("spec".into()));
    let by_other_name = |j: &mut ProofJob| (j.spec.model, j.spec.model_ref) = (None, Some(named("other")));
    assert_eq!(changed(by_name, by_other_name), Err("spec.modelRef".into()));
    let stored = |j: &mut ProofJob| j.spec.store = Some(store(Some("s3://b"), None, None));
    assert_eq!((updated(stored), changed(stored, |_| {})), (Err("spec".into()), Err("spec".into())));
    assert_eq!(changed(stored, |j| j.spec.store = Some(store(Some("s3://c"), None, None))), Err("spec.store".into()));
    let queued = |j: &mut ProofJob| j.spec.queue_name = Some("team".into());
    assert_eq!((updated(queued), changed(queued, |_| {})), (Err("spec".into()), Err("spec".into())));
    assert_eq!(changed(queued, |j| j.spec.queue_name = Some("other".into())), Err("spec.queueName".into()));
    let managed = |j: &mut ProofJob| j.spec.managed_by = Some("example.org/other".into());
    assert_eq!((updated(managed), changed(managed, |_| {})), (Err("spec".into()), Err("spec".into())));
    assert_eq!(
        changed(managed, |j| j.spec.managed_by = Some("example.org/third".into())),
        Err("spec.managedBy".into())
    );
    for change in [
        (|j| j.spec.parallelism = Some(7)) as fn(&mut ProofJob),
        |j| j.spec.retries = 7,
        |j| j.spec.suspend = true,
        |j| j.spec.active_deadline_seconds = Some(7),
        |j| j.spec.ttl_seconds_after_finished = Some(0),
        |j| j.spec.stages.prove.image = Some("worker:2".into()),
    ] {
        assert_eq!(updated(change), Ok(()));
    }
}

#[test]
fn formats_are_those_that_an_api_server_knows() {
    for (file, definition) in definitions() {
        let yaml = yaml(&definition).unwrap();
        let formats: std::collections::BTreeSet<&str> =
            yaml.lines().filter_map(|line| line.trim().strip_prefix("format: ")).collect();
        for format in formats {
            assert!(["date-time", "double", "int32", "int64"].contains(&format), "{file}: format {format}");
        }
    }
}
