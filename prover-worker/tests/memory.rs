//! What setup expects proving to take is what it takes: enough, and not many times as much.

use std::{path::Path, process::Command};

use crds::{
    Device, Format, Subgraphs,
    contract::{ArtifactRef, ExecuteArgs, Outcome, ProveArgs, ResultRecord, SetupArgs, StageArgs, Summary, WorkerArgs},
    memory_need,
};
use url::Url;

const SUBGRAPHS: u32 = 4;

/// Runs a stage in a process of its own, whose peak memory is the stage's.
fn stage(store: &str, stage: StageArgs) -> (ArtifactRef, Summary, u64) {
    let args =
        WorkerArgs { store: store.into(), device: Device::Cpu.into(), record: None, until_stdin_closes: false, stage };
    let done = Command::new(env!("CARGO_BIN_EXE_prover-worker")).args(args.to_args()).output().unwrap();
    let record = ResultRecord::from_json(done.stdout.trim_ascii()).unwrap();
    match record.outcome {
        Outcome::Done { artifact, summary, .. } => (artifact, summary, record.usage.peak_memory_bytes),
        Outcome::Failed { message, .. } => panic!("{message}"),
    }
}

#[test]
fn proving_takes_about_the_memory_that_setup_expects() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").canonicalize().unwrap();
    let url = |name: &str| String::from(Url::from_file_path(examples.join(name)).unwrap());
    let several = |count: usize| {
        let input: serde_json::Value =
            serde_json::from_slice(&std::fs::read(examples.join("digits/digit-0-7.json")).unwrap()).unwrap();
        serde_json::json!({ "inputs": vec![input; count] }).to_string()
    };
    for (model, count) in [("digits/digits.onnx", 1), ("digits/digits.onnx", 24), ("transformer/transformer.onnx", 1)] {
        let directory = tempfile::tempdir().unwrap();
        let store = String::from(Url::from_directory_path(directory.path()).unwrap());
        let setup = SetupArgs {
            source: url(model),
            format: Format::Onnx,
            calibration: vec![],
            sequence: 64,
            answer: 16,
            sampling: false,
            subgraphs: Subgraphs::Count(SUBGRAPHS),
            security_bits: 128,
        };
        let (setup, summary, _) = stage(&store, StageArgs::Setup(setup));
        let Summary::Model { memory, .. } = summary else { panic!("{summary:?}") };
        let file = directory.path().join("inputs.json");
        std::fs::write(&file, several(count)).unwrap();
        let input = Url::from_file_path(&file).unwrap().into();
        let execute = StageArgs::Execute(ExecuteArgs { setup: setup.digest, input });
        let (execution, ..) = stage(&store, execute);
        for subgraph in 0..SUBGRAPHS {
            let (.., peak) = stage(&store, StageArgs::Prove(ProveArgs::of(execution.digest, subgraph)));
            let need = memory_need(&memory, subgraph, count as u32).unwrap();
            assert!(
                (peak..8 * peak).contains(&need),
                "{model} {count} {subgraph}: {peak} bytes were held, {need} expected"
            );
        }
    }
}
