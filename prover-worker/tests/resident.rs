//! A model that stays loaded: its weights are committed once, and where there is no room for that its proofs are the same.

#[allow(dead_code, reason = "a part of what other tests build with it")]
#[path = "../../model/tests/common/onnx.rs"]
mod onnx;

use std::{env, fs, process::Command};

use crds::{
    Digest, Format, Subgraphs,
    contract::{SetupArgs, StageArgs},
};
use kernels::{
    Cpu, Cuda, Device,
    cuda::emulator::{GPU, device_under_test},
};
use onnx::Builder;
use prover_worker::{Resident, run_stage, store::Store};
use serde_json::json;
use tempfile::TempDir;
use url::Url;

const WIDTH: i64 = 160;
const LAYERS: u32 = 8;

/// Dense layers that are set up, each in a subgraph of its own, the weights too many to be sent in the clear.
struct Dense {
    store: Store,
    setup: Digest,
    /// Files of one input and of two.
    inputs: [Vec<u8>; 2],
    _folder: TempDir,
}

impl Dense {
    fn new() -> Self {
        let numbers = |count: i64| (0..count).map(|i| (i * i % 23 - 11) as f32 / 16.0).collect::<Vec<_>>();
        let mut model = Builder::new(&[1, WIDTH]);
        for layer in 0..LAYERS {
            let [weights, input, output] = [format!("w{layer}"), format!("x{layer}"), format!("x{}", layer + 1)];
            let input = if layer == 0 { "x" } else { &input };
            model = model.floats(&weights, &[WIDTH, WIDTH], &numbers(WIDTH * WIDTH));
            model = model.node("MatMul", &[input, &weights], &output, &[]);
        }
        let model = model.outputs(&[&format!("x{LAYERS}")]);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            Url::from_file_path(path).unwrap().to_string()
        };
        let one = json!({ "input_data": [numbers(WIDTH)] }).to_string();
        let args = SetupArgs {
            source: file("dense.onnx", &model),
            format: Format::Onnx,
            calibration: vec![file("input.json", one.as_bytes())],
            sequence: 64,
            answer: 16,
            sampling: false,
            subgraphs: Subgraphs::Count(LAYERS),
            security_bits: 100,
        };
        let store = Store::in_memory().unwrap();
        let setup = run_stage(&Cpu, &store, &StageArgs::Setup(args)).unwrap().artifact.digest;
        let two = format!(r#"{{"inputs": [{one}, {one}]}}"#);
        Self { store, setup, inputs: [one, two].map(String::into_bytes), _folder: folder }
    }

    /// Proofs of so many inputs each, by a model that may take `room` bytes with what it keeps; with what `used` says after each.
    fn proofs<D: Device, T>(&self, device: &D, room: u64, counts: &[usize], used: impl Fn() -> T) -> Vec<(Vec<u8>, T)> {
        let mut resident = Resident::load(device, &self.store, self.setup, room).unwrap();
        counts.iter().map(|count| (resident.prove(&self.inputs[count - 1]).unwrap().proof, used())).collect()
    }
}

#[test]
fn kept_commitments_do_not_change_a_proof_and_serve_batches_of_any_size() {
    let (dense, counts) = (Dense::new(), [1, 2, 1]);
    let anew = dense.proofs(&Cpu, 0, &counts, || ());
    assert!(anew[0] == anew[2] && anew[0] != anew[1]);
    assert!(dense.proofs(&Cpu, u64::MAX, &counts, || ()) == anew);
}

/// Bytes of the emulator's memory.
const MEMORY: &str = "PROOFMILL_EMULATOR_MEMORY";

/// What a test that is ignored otherwise says, in a process with so much device memory.
fn with_memory<const N: usize>(bytes: u64, test: &str) -> [u64; N] {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", test]).env_remove(GPU).env(MEMORY, bytes.to_string());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    let said = text.lines().find_map(|line| line.strip_prefix("said ")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{text}"))
}

/// Launches so far of the kernels that encode, and of those that hash.
fn committed(cuda: &Cuda) -> [u64; 2] {
    let usage = cuda.usage();
    ["encode", "hash"].map(|family| usage.kernels.get(family).map_or(0, |kernels| kernels.launches))
}

#[test]
fn a_gpu_commits_the_weights_once_and_without_room_for_that_anew() {
    if device_under_test().is_none() {
        return;
    }
    let jobs =
        |memory| ["jobs_that_keep_nothing", "jobs_that_keep_what_they_can"].map(|test| with_memory(memory, test));
    let [[anew, hashed_anew, least], [kept, hashed, peak]] = jobs(1 << 33);
    assert!(kept < anew && hashed < hashed_anew, "{kept} and {anew} launches, {hashed} and {hashed_anew}");
    assert!(peak > least, "at most {peak} and {least} bytes");
    // Codewords of what is kept make room; they are encoded again, and nothing is committed again.
    let [again, hashed_again, less] = with_memory(peak / 4 * 3, "jobs_that_keep_what_they_can");
    assert!(again > kept && hashed_again == hashed && less < peak, "{again} launches, {hashed_again}");
    // A job finds what it takes by itself, and no room for what is kept.
    let [[anew, ..], [kept, ..]] = jobs(least);
    assert_eq!(kept, anew);
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn jobs_that_keep_nothing() {
    two_jobs(0);
}

#[test]
#[ignore = "the test above runs it, in a process of its own"]
fn jobs_that_keep_what_they_can() {
    two_jobs(u64::MAX);
}

/// Says launches in the second job, and the most memory of both.
fn two_jobs(room: u64) {
    let Some(cuda) = env::var_os(MEMORY).and_then(|_| device_under_test()) else { return };
    let dense = Dense::new();
    let jobs = dense.proofs(&cuda, room, &[1, 1], || committed(&cuda));
    let expected = dense.proofs(&Cpu, 0, &[1], || ());
    assert!(jobs.iter().all(|(proof, _)| *proof == expected[0].0));
    let [encoded, hashed] = [0, 1].map(|family| jobs[1].1[family] - jobs[0].1[family]);
    println!("said {encoded} {hashed} {}", cuda.usage().peak_memory_bytes);
}

#[test]
fn an_input_that_is_none_is_refused_and_the_next_is_proved() {
    let dense = Dense::new();
    let mut resident = Resident::load(&Cpu, &dense.store, dense.setup, u64::MAX).unwrap();
    let first = resident.prove(&dense.inputs[0]).unwrap();
    let Err(error) = resident.prove(br#"{"input_data": [[1, 2]]}"#) else { panic!("two numbers are no input") };
    assert!(error.to_string().starts_with("input: "), "{error}");
    let again = resident.prove(&dense.inputs[0]).unwrap();
    assert!(again.proof == first.proof);
    verifier::verify(&again.key, &again.proof).unwrap();
}
