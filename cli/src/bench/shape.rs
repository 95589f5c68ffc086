//! What every stage costs on a language model of a known shape with random weights: time and memory depend on the shape alone.
//!
//! The weights are drawn here and imported in this process, so `setup` is this process's cost; every other stage is a process.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use crds::contract::{AggregateArgs, ExecuteArgs, ExecutionManifest, Outcome, ProveArgs, StageArgs, Task, Usage};
use model::{
    ImportOptions,
    language::{self, Config, LanguageError, Output, Tensors},
};
use prover_worker::{store::Store, usage};
use serde_json::json;

use super::{census::census, stages, sustained};
use crate::{
    args::BenchArgs,
    run::{
        directory_url,
        executor::{Executor, Failed, Heard},
        job::TaskUsage,
    },
};

/// A model whose numbers are public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// GPT-2, 124 million parameters
    Gpt2,
    /// Gemma 3, 270 million parameters
    #[value(name = "gemma3-270m")]
    Gemma3,
}

impl Shape {
    fn config(self) -> serde_json::Value {
        match self {
            Self::Gpt2 => json!({
                "model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257,
                "n_positions": 1024, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
            }),
            Self::Gemma3 => json!({
                "model_type": "gemma3_text", "num_hidden_layers": 18, "hidden_size": 640, "intermediate_size": 2048,
                "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262_144,
                "max_position_embeddings": 32768, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
                "query_pre_attn_scalar": 256, "rope_theta": 1_000_000.0, "rope_local_base_freq": 10_000.0,
                "sliding_window": 512, "sliding_window_pattern": 6,
            }),
        }
    }
}

/// Weights that follow from their names: matrices of small deviation, gains near 1.
struct Random(Shape);

impl Random {
    fn is_gain(name: &str) -> bool {
        name.contains("norm") || name.contains("ln_")
    }
}

/// Deviation of a matrix's elements, as models are initialised, and of a gain's.
const DEVIATION: f64 = 0.02;

impl Tensors for Random {
    fn has(&self, name: &str) -> bool {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        match self.0 {
            Shape::Gpt2 => starts(&["wte", "wpe", "h.", "ln_f"]),
            Shape::Gemma3 => {
                starts(&["embed_tokens", "layers.", "norm"]) && name.ends_with(".weight") && !name.contains("qkv_proj")
            }
        }
    }

    fn rows(&self, _: &str) -> Option<usize> {
        None
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError> {
        let digest =
            name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mut state = digest | 1;
        // Gains are stored less one where the model says so; any value near either serves.
        let mean = if Self::is_gain(name) && name.ends_with(".weight") && self.0 == Shape::Gpt2 { 1.0 } else { 0.0 };
        let value = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Four uniform numbers add up to nearly a normal one, of deviation 1/sqrt(3).
            let sum: f64 = (0..4).map(|i| f64::from((state >> (16 * i)) as u16) / 65536.0 - 0.5).sum();
            (mean + sum * 3f64.sqrt() * DEVIATION) as f32
        };
        Ok((0..shape.iter().product()).map(value).collect())
    }
}

/// Token numbers, spread over the vocabulary, others for each seed.
fn tokens(count: usize, vocabulary: usize, seed: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * i * 7919 + i * 104_729 + (seed + 1) * 15_485_863) % vocabulary) as u32).collect()
}

/// Tokens of the sequence, and of the answer in it.
fn lengths(args: &BenchArgs) -> [usize; 2] {
    let default = crds::Tokens::default();
    let sequence = args.setup.sequence.unwrap_or(default.sequence);
    [sequence, args.setup.answer.unwrap_or(default.answer.min(sequence))].map(|n| n as usize)
}

/// Measures every stage on a model of this shape.
pub fn bench(args: &BenchArgs, shape: Shape) -> Result<()> {
    let begun = Instant::now();
    let directory = tempfile::tempdir().context("cannot make a directory for artifacts")?;
    let store_url = directory_url(directory.path())?;
    let store = Store::open(&store_url)?;
    let json = shape.config();
    let described = formats::Config::from_json("the shape", &serde_json::to_vec(&json)?)?;
    let config = Config::from_hugging_face(&described)?;
    let vocabulary = json["vocab_size"].as_u64().unwrap_or_default() as usize;
    let [length, answer] = lengths(args);
    let sample = tokens(length, vocabulary, 0).into_iter().map(|t| t as f32).collect();
    let options = ImportOptions { samples: vec![vec![sample]], ..ImportOptions::default() };
    let output = if args.setup.sampling { Output::Samples(answer) } else { Output::Answers(answer) };
    let model = language::import(&config, &Random(shape), length, output, &options)?;
    let setup = prover_worker::set_up(&store, model, args.setup.subgraphs, args.security_bits)?;
    let own = Usage {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: usage::cpu_seconds(),
        peak_memory_bytes: usage::peak_memory_bytes().unwrap_or(0),
        device: "cpu".into(),
        ..Usage::default()
    };
    let mut usages = vec![TaskUsage { task: Task::Setup {}, usage: own, artifact: setup }];

    let input = |seed: u32| {
        let mut input = json!({ "input_data": [tokens(length + 1 - answer, vocabulary, seed as usize)] });
        if args.setup.sampling {
            input["seed"] = (seed + 1).into();
        }
        input
    };
    // Those of one job after the other, all of them others.
    let inputs = |job: u32| {
        let seeds = job * args.inputs..(job + 1) * args.inputs;
        serde_json::to_vec(&json!({ "inputs": seeds.map(input).collect::<Vec<_>>() }))
    };
    if let Some(proofs) = args.proofs {
        return sustained::bench(args, &store, setup.digest, proofs, |job| Ok(inputs(job)?));
    }
    let mut executor = Executor::new(&store_url, stages::device(args.device)?);
    let mut run = |stage| run_alone(&mut executor, stage);
    let input = store.put(inputs(0)?)?;
    let execution =
        run(StageArgs::Execute(ExecuteArgs { setup: setup.digest, input: format!("artifact:{}", input.digest) }))?;
    let execution_digest = execution.artifact.digest;
    let manifest: ExecutionManifest = serde_json::from_slice(&store.get(execution_digest)?)?;
    usages.push(execution);
    for subgraph in 0..manifest.subgraphs {
        usages.push(run(StageArgs::Prove(ProveArgs::of(execution_digest, subgraph)))?);
    }
    let proof = run(StageArgs::Aggregate(AggregateArgs { execution: execution_digest }))?;
    let manifest = serde_json::from_slice(&store.get(proof.artifact.digest)?)?;
    usages.push(proof);
    stages::conclude(args, &store, &usages, manifest, |key| if args.json { String::new() } else { census(key) })
}

/// Runs a stage on all cores, and waits for its end.
pub fn run_alone(executor: &mut Executor, stage: StageArgs) -> Result<TaskUsage> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    executor.start(stage, cores)?;
    loop {
        match executor.wait(std::time::Duration::from_secs(1)) {
            Some(Heard::Ended(task, ended)) => {
                let record = ended.map_err(|Failed { failure, .. }| anyhow!("{task}: {}", failure.message))?;
                let Outcome::Done { artifact, .. } = record.outcome else { bail!("{task} did not finish") };
                return Ok(TaskUsage { task, usage: record.usage, artifact });
            }
            Some(Heard::Token(_)) | None => {}
        }
    }
}
