//! The four stages on the example model: reuse, and what is said of artifacts that are lost or altered.

use std::{fs, path::Path};

use crds::{
    Digest, Format, Subgraphs,
    contract::{
        AggregateArgs, ArtifactRef, ExecuteArgs, ExecutionManifest, FailureKind, ProofManifest, ProveArgs, SetupArgs,
        SetupManifest, StageArgs, Task,
    },
};
use kernels::Cpu;
use prover_worker::{Finished, Resident, StageError, run_stage, store::Store};
use serde::de::DeserializeOwned;
use url::Url;
use verifier::key::ModelKey;

const SUBGRAPHS: u32 = 2;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits").join(name).canonicalize().unwrap();
    Url::from_file_path(path).unwrap().into()
}

fn setup() -> StageArgs {
    let calibration = vec![example("calibration-0.png"), example("calibration-1.png")];
    StageArgs::Setup(SetupArgs {
        source: example("digits.onnx"),
        format: Format::Onnx,
        calibration,
        sequence: 64,
        answer: 16,
        sampling: false,
        subgraphs: Subgraphs::Count(SUBGRAPHS),
        security_bits: 100,
    })
}

fn execute(setup: Digest, input: &str) -> StageArgs {
    StageArgs::Execute(ExecuteArgs { setup, input: input.into() })
}

fn prove(execution: Digest, subgraph: u32) -> StageArgs {
    StageArgs::Prove(ProveArgs::of(execution, subgraph))
}

fn aggregate(execution: Digest) -> StageArgs {
    StageArgs::Aggregate(AggregateArgs { execution })
}

/// A store on a disk, and everything that a job left in it.
struct Run {
    directory: tempfile::TempDir,
    store: Store,
    setup: Digest,
    execution: Digest,
    subgraphs: Vec<Digest>,
    proof: Digest,
}

impl Run {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(Url::from_directory_path(directory.path()).unwrap().as_str()).unwrap();
        let made = |stage: StageArgs| {
            let Finished { artifact, reused, .. } = run_stage(&Cpu, &store, &stage).unwrap();
            assert!(!reused);
            artifact.digest
        };
        let setup = made(setup());
        let execution = made(execute(setup, &example("digit-0-7.png")));
        let subgraphs = (0..SUBGRAPHS).map(|subgraph| made(prove(execution, subgraph))).collect();
        let proof = made(aggregate(execution));
        Self { directory, store, setup, execution, subgraphs, proof }
    }

    fn read<T: DeserializeOwned>(&self, digest: Digest) -> T {
        serde_json::from_slice(&self.store.get(digest).unwrap()).unwrap()
    }

    fn alter(&self, digest: Digest) {
        let path = self.directory.path().join("artifacts").join(digest.to_string());
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    fn remove(&self, digest: Digest) {
        fs::remove_file(self.directory.path().join("artifacts").join(digest.to_string())).unwrap();
    }

    fn again(&self, stage: &StageArgs) -> Result<Finished, StageError> {
        run_stage(&Cpu, &self.store, stage)
    }
}

fn assert_lost(result: Result<Finished, StageError>, expected: Task) {
    let error = result.unwrap_err();
    assert_eq!((error.kind, error.lost), (FailureKind::Retryable, Some(expected)), "{error}");
}

/// The same proof comes of a model that stays loaded.
fn proved_in_one_process(run: &Run, proof: &[u8]) {
    let mut resident = Resident::load(&Cpu, &run.store, run.setup, u64::MAX).unwrap();
    let input = Url::parse(&example("digit-0-7.png")).unwrap().to_file_path().unwrap();
    assert!(resident.prove(&fs::read(input).unwrap()).unwrap().proof == proof);
}

/// One run serves the whole test: it is the slow part.
#[test]
fn a_job_is_proved_once_and_mended_where_it_breaks() {
    let run = Run::new();
    let ProofManifest { proof, key, soundness_bits, .. } = run.read(run.proof);
    let key = ModelKey::from_bytes(&run.store.get(key.digest).unwrap()).unwrap();
    let bytes = run.store.get(proof.digest).unwrap();
    let verified = verifier::verify(&key, &bytes).unwrap();
    assert!(soundness_bits >= 100 && f64::from(soundness_bits) <= verified.soundness.total_bits);
    proved_in_one_process(&run, &bytes);
    let execution: ExecutionManifest = run.read(run.execution);
    assert_eq!(execution.outputs[0].class, Some(7));

    for (stage, digest) in [
        (setup(), run.setup),
        (execute(run.setup, &example("digit-0-7.png")), run.execution),
        (prove(run.execution, 1), run.subgraphs[1]),
        (aggregate(run.execution), run.proof),
    ] {
        let Finished { artifact, reused, .. } = run.again(&stage).unwrap();
        assert!(reused && artifact.digest == digest, "what exists is used again");
    }

    // Each part of setup is missed by whoever reads it, and made again to the same bytes.
    let SetupManifest { weights, key: ArtifactRef { digest: key, .. }, .. } = run.read(run.setup);
    run.remove(run.subgraphs[0]);
    for (damage, digest) in [(Run::alter as fn(&Run, Digest), key), (Run::remove, weights[0].digest)] {
        damage(&run, digest);
        assert_lost(run.again(&prove(run.execution, 0)), Task::Setup {});
        let Finished { artifact, reused, .. } = run.again(&setup()).unwrap();
        assert!(!reused && artifact.digest == run.setup);
    }
    // So is each part of execute.
    for digest in [execution.statement.digest, execution.boundary.digest, run.execution] {
        run.alter(digest);
        assert_lost(run.again(&prove(run.execution, 0)), Task::Execute {});
        let Finished { artifact, reused, .. } = run.again(&execute(run.setup, &example("digit-0-7.png"))).unwrap();
        assert!(!reused && artifact.digest == run.execution);
    }
    // And a subgraph's proof, which is still missing here.
    run.remove(proof.digest);
    assert_lost(run.again(&aggregate(run.execution)), Task::Prove { subgraph: 0 });
    assert_eq!(run.again(&prove(run.execution, 0)).unwrap().artifact.digest, run.subgraphs[0]);
    run.alter(run.subgraphs[1]);
    assert_lost(run.again(&aggregate(run.execution)), Task::Prove { subgraph: 1 });
    assert!(!run.again(&prove(run.execution, 1)).unwrap().reused);
    assert_eq!(run.again(&aggregate(run.execution)).unwrap().artifact.digest, run.proof);
    assert_eq!(run.store.get(proof.digest).unwrap(), bytes);

    a_false_subgraph_proof_is_blamed_and_made_again(&run);
    what_would_fail_again_is_said_to(&run);
}

/// A proof whose digest is right and whose content is false, as a lying worker would leave it.
fn a_false_subgraph_proof_is_blamed_and_made_again(run: &Run) {
    let mut false_proof = run.store.get(run.subgraphs[1]).unwrap();
    false_proof[40] ^= 1;
    let planted = run.store.put(false_proof).unwrap();
    let entry = |digest: Digest| {
        let wanted = format!("\"{digest}\"");
        let entries = fs::read_dir(run.directory.path().join("index")).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().find(|path| fs::read_to_string(path).unwrap().contains(&wanted)).unwrap()
    };
    fs::write(entry(run.subgraphs[1]), serde_json::to_vec(&planted).unwrap()).unwrap();
    fs::remove_file(entry(run.proof)).unwrap();
    assert_lost(run.again(&aggregate(run.execution)), Task::Prove { subgraph: 1 });
    assert_eq!(run.again(&prove(run.execution, 1)).unwrap().artifact.digest, run.subgraphs[1]);
    assert_eq!(run.again(&aggregate(run.execution)).unwrap().artifact.digest, run.proof);
}

fn what_would_fail_again_is_said_to(run: &Run) {
    let fails = |stage: &StageArgs, expected: &str| {
        let error = run.again(stage).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}\nwanted {expected}");
        error.kind
    };
    let inline = |json: &str| format!("artifact:{}", run.store.put(json.as_bytes().to_vec()).unwrap().digest);
    let short = execute(run.setup, &inline(r#"{"input_data": [[1, 2]]}"#));
    assert_eq!(fails(&short, "has 2 elements; shape [1, 1, 28, 28] needs 784"), FailureKind::Deterministic);
    let two = execute(run.setup, &inline(r#"{"input_data": [[1], [2]]}"#));
    assert_eq!(fails(&two, "2 inputs are given; the model has 1"), FailureKind::Deterministic);
    let huge = vec!["1e6"; 784].join(",");
    let wide = execute(run.setup, &inline(&format!(r#"{{"input_data": [[{huge}]]}}"#)));
    assert_eq!(fails(&wide, "element 0 is 1000000"), FailureKind::Deterministic);
    assert_eq!(fails(&prove(run.execution, SUBGRAPHS), "there is no subgraph 2"), FailureKind::Deterministic);
    let absent = execute(run.setup, "file:///nowhere/input.json");
    assert_eq!(fails(&absent, "file:///nowhere/input.json: no such file"), FailureKind::Deterministic);
    // An execution is no setup: its bytes are whole, and of another kind.
    let foreign = execute(run.execution, &example("digit-0-7.png"));
    assert_eq!(fails(&foreign, "a manifest of another version"), FailureKind::WrongModelOrVersion);
    let StageArgs::Setup(mut args) = setup() else { unreachable!() };
    args.subgraphs = Subgraphs::Count(1000);
    assert_eq!(fails(&StageArgs::Setup(args.clone()), "1000 subgraphs were asked for"), FailureKind::Deterministic);
    args.source = example("digit-0-7.png");
    assert_eq!(fails(&StageArgs::Setup(args), "not an ONNX model"), FailureKind::Deterministic);
}
