//! Transformers from weights to a proof that both verifiers accept: every architecture, and a trained model that sorts.

mod common;
#[path = "../../model/tests/language/fixture.rs"]
mod fixture;

use common::imported::proved_on;
use fixture::Fixture;
use kernels::cuda::emulator::{GPU, device_under_test};
use kernels::{Cpu, Cuda, Dual, IntegerDevice, Ints, attempt, with_ints};
use model::language::{Output, Prompt, import, open};
use model::split::split;
use model::{ImportOptions, Model, Subgraphs, dequantise, execute, partition};
use prover::{Job, Values, commit_boundary, prove, setup, upload};
use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::process::Command;
use verifier::generation::{self, Generated, Lengths};
use verifier::graph::TensorId;
use verifier::key::Security;
use verifier::sampling::Sampling;

fn generate(model: &Model, prompt: &[u32], sampling: Option<Sampling>) -> Generated {
    generate_on(&Cpu, model, prompt, sampling)
}

fn generate_on<D: IntegerDevice>(device: &D, model: &Model, prompt: &[u32], sampling: Option<Sampling>) -> Generated {
    let placed = Prompt::new(&model.graph, prompt).expect("the prompt fits");
    let weights = model.weights.iter().map(|(&tensor, weight)| (tensor, device.upload_integers(weight.clone())));
    let weights = weights.collect();
    let answer = placed.answer(device, &weights, sampling).expect("the model is causal");
    Generated { prompt: prompt.to_vec(), answer: answer.map(|token| token.expect("the model runs")).collect() }
}

/// What the model answered, and how it was drawn.
type Answered = (Generated, Option<Sampling>);

/// Proves that the model gives these answers, in one proof.
fn proved(model: &Model, answered: &[Answered]) -> Vec<Answered> {
    let lengths = Lengths::of(&model.graph).expect("the model generates");
    let given = |(generated, sampling): &Answered| {
        (generation::inputs(lengths, generated).expect("the answer fits").map(Ints::from).to_vec(), *sampling)
    };
    let verified = common::imported::proved_together(model, 3, answered.iter().map(given).collect());
    let sampling = verified.inferences.iter().map(|inference| inference.sampling);
    verified.generated.into_iter().zip(sampling).collect()
}

#[test]
fn every_architecture_is_proved() {
    for name in ["gpt2", "gpt2-digits", "llama", "gemma3"] {
        let f = Fixture::load(name);
        let model = f.import(8, Output::Answers(4));
        let mut answered = (generate(&model, &f.tokens[..3], None), None);
        assert_eq!(answered.0.answer.len(), 4);
        // An answer may end anywhere.
        for length in [4, 1] {
            answered.0.answer.truncate(length);
            assert_eq!(proved(&model, std::slice::from_ref(&answered)), [answered.clone()], "{name}");
        }
        let model = f.import(8, Output::Samples(4));
        let drawn = |prompt: &[u32], sampling| (generate(&model, prompt, sampling), sampling);
        let sampling = |seed| Some(Sampling { seed, temperature: 5000 });
        let together =
            [drawn(&f.tokens[..3], sampling(5)), drawn(&f.tokens[..5], sampling(6)), drawn(&f.tokens[2..3], None)];
        assert_eq!(proved(&model, &together[..1]), together[..1], "{name}");
        assert_eq!(proved(&model, &together), together, "{name}");
    }
    let f = Fixture::load("bert");
    // A text of eight tokens in an encoder of ten.
    let model = f.import(10, f.whole());
    let tokens: Vec<i64> = f.tokens.iter().map(|&t| t.into()).chain([0, 0]).collect();
    let outputs =
        common::imported::proved(&model, 3, vec![Ints::from(tokens), Ints::from(vec![7])]).inferences.remove(0).outputs;
    let embedding = dequantise(model.graph.outputs[0].exponent, &Ints::from(outputs[0].clone()));
    let error = embedding.iter().zip(&f.output[0]).fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    assert!(embedding.len() == f.output[0].len() && error < 1e-3, "{error}");
}

/// Decoded token by token, with cached keys and values, and then run and proved as a whole.
#[test]
fn an_answer_and_its_proof_are_the_same_on_the_gpu() {
    let Some(cuda) = device_under_test() else { return };
    let f = Fixture::load("gpt2");
    let model = f.import(8, Output::Answers(4));
    let devices = Dual(Cpu, cuda);
    let generated = generate_on(&devices, &model, &f.tokens[..3], None);
    assert_eq!(generated.answer.len(), 4);
    let lengths = Lengths::of(&model.graph).expect("the model generates");
    let inputs = generation::inputs(lengths, &generated).expect("the answer fits").map(Ints::from).to_vec();
    assert!(proved_on(&Cpu, &model, 2, inputs.clone()) == proved_on(&devices.1, &model, 2, inputs));
}

/// Bytes of the emulator's memory.
const MEMORY: &str = "PROOFMILL_EMULATOR_MEMORY";

/// Runs a test that is ignored otherwise in a process with so much device memory; the numbers that it says.
fn with_memory<const N: usize>(bytes: u64, test: &str) -> [u64; N] {
    let mut command = Command::new(env::current_exe().expect("this is one"));
    command.args(["--exact", "--ignored", "--nocapture", test]).env_remove(GPU).env(MEMORY, bytes.to_string());
    let output = command.output().expect("it can be started");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    let said = text.lines().find_map(|line| line.strip_prefix("said ")).unwrap_or_else(|| panic!("{text}"));
    let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{text}"))
}

/// In such a process, the device.
fn with_little_memory() -> Option<Cuda> {
    env::var_os(MEMORY).and_then(|_| device_under_test())
}

fn bytes<'a>(all: impl IntoIterator<Item = &'a Ints>) -> usize {
    all.into_iter().map(|integers| with_ints!(integers, values => size_of_val(values.as_slice()))).sum()
}

#[test]
fn weights_that_do_not_fit_the_gpu_together_go_up_as_they_are_used() {
    if device_under_test().is_none() {
        return;
    }
    const LITTLE: u64 = 100_000;
    let [sent, weights, waits] = with_memory(LITTLE, "an_answer_with_little_memory");
    assert!(weights > LITTLE && sent > 2 * weights, "{sent} bytes were sent of {weights}");
    // Most are sent ahead, into room that was made for them without a wait: else there would be 46 waits more than with enough memory.
    let [once, _, least] = with_memory(3 * LITTLE, "an_answer_with_little_memory");
    assert!(once < sent && waits < least + 30, "{waits} waits with little memory, and {least} with enough");
    // As much as is needed, and then without room for all of the tensors.
    let [once, shown, peak, tensors] = with_memory(1 << 33, "a_proof_with_little_memory");
    let [sent, received, less, _] = with_memory(peak - tensors * 2 / 5, "a_proof_with_little_memory");
    assert!(sent > once && less < peak, "{sent} bytes were sent with little memory, and {once} with enough");
    // Not all that has to go is the host's: limbs and counts that were computed make room as well.
    assert!(received > shown, "{received} bytes came back with little memory, and {shown} with enough");
    let [_, received, less, _] = with_memory(peak - tensors, "a_proof_with_little_memory");
    assert!(received > shown + tensors && less <= peak - tensors, "{received} bytes came back of {tensors}");
}

#[test]
#[ignore = "with little memory: the test above runs it"]
fn an_answer_with_little_memory() {
    let Some(cuda) = with_little_memory() else { return };
    let f = Fixture::load("gpt2");
    let model = f.import(8, Output::Answers(4));
    let generated = attempt(|| generate_on(&cuda, &model, &f.tokens[..3], None)).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(generated, generate(&model, &f.tokens[..3], None));
    let usage = cuda.usage();
    println!("said {} {} {}", usage.bytes_to_device, bytes(model.weights.values()), usage.waits);
}

#[test]
#[ignore = "with little memory: a test above runs it"]
fn a_proof_with_little_memory() {
    let Some(cuda) = with_little_memory() else { return };
    let f = Fixture::load("gpt2");
    let model = f.import(8, Output::Logits(2));
    let cut = partition(&model, Subgraphs::Count(8)).expect("the model can be cut");
    let key = setup(&Cpu, model.graph, &model.weights, cut, Security::Bits128).expect("the model can be set up");
    let graph = key.graph();
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.into_iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight));
    let tokens = f.tokens[..8].iter().map(|&token| token.into()).collect::<Vec<i64>>();
    values[graph.inputs[0].tensor.index()] = Some(Ints::from(tokens));
    execute(&Cpu, graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    let boundary = commit_boundary(&Cpu, &key, &values).expect("it has values");
    // Those of the first subgraph.
    let ops = key.plan().subgraphs[0].nodes.iter().map(|&node| &graph.nodes[node as usize].op);
    let touched: BTreeSet<usize> =
        ops.flat_map(|op| op.inputs().into_iter().chain(op.output())).map(TensorId::index).collect();
    let others = values.iter_mut().enumerate().filter(|(tensor, _)| !touched.contains(tensor));
    others.for_each(|(_, values)| *values = None);
    let job = Job { key: &key, statement: [7; 32], boundary: boundary.root };
    let on_gpu = attempt(|| prove(&cuda, job, 0, &upload(&cuda, &values), None));
    let on_gpu = on_gpu.unwrap_or_else(|e| panic!("{e}")).expect("it can be proved");
    assert!(on_gpu == prove(&Cpu, job, 0, &values, None).expect("it can be proved"));
    let usage = cuda.usage();
    let (sent, received, peak) = (usage.bytes_to_device, usage.bytes_from_device, usage.peak_memory_bytes);
    println!("said {sent} {received} {peak} {}", bytes(values.iter().flatten()));
}

/// The final projection in pieces, each in a subgraph of its own.
#[test]
fn pieces_of_a_vocabulary_are_proved() {
    for name in ["gpt2", "gpt2-digits", "llama", "gemma3"] {
        let f = Fixture::load(name);
        let cut = |output, pieces| {
            let whole = f.import(6, output);
            split(&whole.graph, pieces).expect("the projection can be cut").apply(whole)
        };
        let model = cut(Output::Answers(2), 2);
        let generated = generate(&model, &f.tokens[..3], None);
        let answered = [(generated, None)];
        assert_eq!(proved(&model, &answered), answered, "{name}");
        let model = cut(Output::Samples(2), 3);
        let sampling = Some(Sampling { seed: 8, temperature: 5000 });
        let together = [sampling, None].map(|sampling| (generate(&model, &f.tokens[..3], sampling), sampling));
        assert_eq!(proved(&model, &together), together, "{name}");
        let model = cut(Output::Logits(2), 3);
        let tokens = f.tokens[..6].iter().map(|&t| t.into()).collect::<Vec<i64>>();
        let verified = common::imported::proved(&model, 4, vec![Ints::from(tokens)]);
        assert_eq!(verified.inferences[0].outputs[0].len(), 2 * f.config.vocabulary(), "{name}");
    }
}

#[test]
fn a_trained_model_is_proved_to_sort() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/models/gpt-nano-sort");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return;
    }
    let checkpoint = formats::open(&folder).expect("the files are well formed");
    let (config, weights) = open(&checkpoint).expect("the model is supported");
    let sample = |digits: [u32; 11]| vec![digits.map(|t| t as f32).to_vec()];
    let samples = vec![
        sample([2, 0, 1, 1, 0, 2, 0, 0, 1, 1, 2]),
        sample([0, 0, 0, 2, 2, 2, 0, 0, 0, 2, 2]),
        sample([1, 2, 1, 2, 1, 2, 1, 1, 1, 2, 2]),
        sample([2, 2, 2, 1, 0, 0, 0, 0, 1, 2, 2]),
    ];
    let options = ImportOptions { samples, ..ImportOptions::default() };
    let model = import(&config, weights.as_ref(), 11, Output::Answers(6), &options).unwrap_or_else(|e| panic!("{e}"));
    let prompt = [2, 1, 0, 2, 0, 1];
    let generated = generate(&model, &prompt, None);
    assert_eq!(generated.answer, [0, 0, 1, 1, 2, 2]);
    assert_eq!(proved(&model, &[(generated.clone(), None)]), [(generated, None)]);
}
