//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::TypedValueParser};
use crds::{
    Format, Model, Subgraphs, Tokens,
    contract::{Processor, WorkerArgs},
};

use crate::{
    bench::{Primitive, Shape},
    run::{file_url, model_url},
};

/// Verifiable machine-learning inference
#[derive(Parser)]
#[command(name = "proofmill", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `proofmill` does.
#[derive(Subcommand)]
pub enum Command {
    /// Run a ProofJob on this machine: print the model's answer, then prove it
    Run(RunArgs),
    /// Check a proof against a model key, and say what it says
    Verify(VerifyArgs),
    /// Import a model, or look into one
    #[command(subcommand)]
    Model(ModelCommand),
    /// Measure what a language model loses by being integers: perplexity on a text, error by layer
    Eval(EvalArgs),
    /// Measure every stage on a model, or every primitive by itself
    Bench(BenchArgs),
    /// Run one stage of a job, as prover-worker does
    #[command(hide = true)]
    Worker(WorkerArgs),
}

/// Arguments of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// The manifest of a ProofJob
    #[arg(value_name = "JOB.yaml")]
    pub manifest: PathBuf,
    /// Artifact store, a directory or a URL; instead of spec.store [default: .proofmill/store]
    #[arg(long, value_name = "DIR|URL")]
    pub store: Option<String>,
    /// Directory for proof.bin and model.key [default: .proofmill/NAME]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Most subgraphs proved at one time, instead of spec.parallelism [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub parallelism: Option<u32>,
    /// Print one JSON object per event
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verify`.
#[derive(Args)]
pub struct VerifyArgs {
    /// The proof
    #[arg(value_name = "PROOF")]
    pub proof: PathBuf,
    /// The model key: from setup, or from someone you trust
    #[arg(long, value_name = "KEY")]
    pub model: PathBuf,
    /// A language model's tokenizer, to show what the tokens say; the key names it by its digest
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// What `model` does.
#[derive(Subcommand)]
pub enum ModelCommand {
    /// Set a model up: quantise, partition, commit to the weights; write model.key and report.json
    Import(ImportArgs),
    /// Show a model's graph, partition, quantisation and accuracy
    Inspect(InspectArgs),
}

/// How a model is set up.
#[derive(Args)]
pub struct SetupOptions {
    /// Sample input for the quantiser: JSON, PNG or PGM, for a language model a text; may be repeated
    #[arg(long, value_name = "FILE")]
    pub calibration: Vec<PathBuf>,
    /// Tokens of a language model's prompt and answer together [default: 64]
    #[arg(long, value_name = "N")]
    pub sequence: Option<u32>,
    /// Most tokens of its answer [default: 16]
    #[arg(long, value_name = "N")]
    pub answer: Option<u32>,
    /// Set a language model up so that answers can be drawn by a seed
    #[arg(long)]
    pub sampling: bool,
    /// Auto, or the number of subgraphs
    #[arg(long, value_name = "N", default_value_t = Subgraphs::Auto)]
    pub subgraphs: Subgraphs,
}

/// Arguments of `model import`.
#[derive(Args)]
pub struct ImportArgs {
    /// The model: an ONNX or GGUF file, or a folder of Hugging Face's
    #[arg(value_name = "MODEL")]
    pub source: PathBuf,
    /// Directory to write to
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Proven security in bits: 128 or 100
    #[arg(long, default_value_t = 128)]
    pub security_bits: u32,
    /// How to set it up.
    #[command(flatten)]
    pub setup: SetupOptions,
}

/// Arguments of `model inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// A model, or a model key
    #[arg(value_name = "MODEL")]
    pub source: PathBuf,
    /// Draw graph and partition into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// How to set a model up; a key has been set up already.
    #[command(flatten)]
    pub setup: SetupOptions,
}

/// Arguments of `eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// The model: a GGUF file, or a directory with config.json and safetensors
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,
    /// The text that it foretells
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Tokens of a window, the one for its beginning included [default: the model's context, at most 512]
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Measure the text's first K windows [default: all]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..).map(|k| k as usize))]
    pub windows: Option<usize>,
    /// Another text, to calibrate on [default: the end of the text, which is then not measured]
    #[arg(long, value_name = "FILE")]
    pub calibration: Option<PathBuf>,
    /// A tokenizer.json, for a model that brings none
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Draw the error of every layer into this file
    #[arg(long, value_name = "FILE.svg")]
    pub chart: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// The model: an ONNX or GGUF file, or a folder of Hugging Face's; without one, primitives are measured
    #[arg(value_name = "MODEL", requires = "input")]
    pub model: Option<PathBuf>,
    /// The model's input: JSON (values or a prompt), PNG or PGM
    #[arg(long, value_name = "FILE", requires = "model")]
    pub input: Option<PathBuf>,
    /// Proven security in bits: 128 or 100
    #[arg(long, default_value_t = 128)]
    pub security_bits: u32,
    /// How to set it up.
    #[command(flatten)]
    pub setup: SetupOptions,
    /// What to compute on: auto, cpu, cuda, or cuda:N for GPU number N
    #[arg(long, default_value_t = Processor::Cpu)]
    pub device: Processor,
    /// Measure only this primitive, for example dense=64x768x3072; may be repeated [default: one of each, and the commitment by size]
    #[arg(long = "primitive", value_name = "NAME[=SIZE]", conflicts_with = "model")]
    pub primitives: Vec<Primitive>,
    /// Measure the kernels of a GPU alone; without this they come before all primitives
    #[arg(long, conflicts_with_all = ["model", "primitives", "shape"])]
    pub kernels: bool,
    /// Measure kernels as in a model that commits to 2^N cells at a time, 12 to 30 [default: 24, as GPT-2 with 124 million parameters in 12 subgraphs,
    /// or what fits the GPU]
    #[arg(long, value_name = "N", conflicts_with_all = ["model", "primitives", "shape"], value_parser = clap::value_parser!(u32).range(12..=30))]
    pub log_cells: Option<u32>,
    /// Measure a language model of this shape with random weights
    #[arg(long, value_enum, conflicts_with_all = ["model", "primitives"])]
    pub shape: Option<Shape>,
    /// Prove so many inputs together, with --shape
    #[arg(long, value_name = "N", default_value_t = 1, requires = "shape", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub inputs: u32,
    /// Instead of its stages, measure N proofs of a model, its weights on the device all the time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with_all = ["primitives", "kernels"])]
    pub proofs: Option<u32>,
    /// Have N proofs at a time in the making, each with a copy of the weights
    #[arg(long, value_name = "N", default_value_t = 1, requires = "proofs", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub at_once: u32,
    /// Measure primitives in this process
    #[arg(long, hide = true, requires = "primitives")]
    pub in_this_process: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl SetupOptions {
    /// The model at a path, as a manifest would name it.
    pub fn model(&self, path: &Path) -> anyhow::Result<Model> {
        let (format, source) = model_url(path)?;
        let calibration = self.calibration.iter().map(|path| file_url(path)).collect::<anyhow::Result<_>>()?;
        let given = self.sequence.is_some() || self.answer.is_some() || self.sampling;
        if given && format == Format::Onnx {
            anyhow::bail!(
                "--sequence, --answer and --sampling are for a language model, and {} is taken for ONNX",
                path.display()
            );
        }
        let default = Tokens::default();
        let sequence = self.sequence.unwrap_or(default.sequence);
        let answer = self.answer.unwrap_or(default.answer.min(sequence));
        let tokens = given.then_some(Tokens { sequence, answer, sampling: self.sampling });
        Ok(Model { source, format, calibration, tokens })
    }
}

impl Arguments {
    /// Reads the command line, or explains it and ends the process.
    pub fn read() -> Self {
        let invoked_as = std::env::args_os().next().unwrap_or_default();
        let is_plugin = Path::new(&invoked_as).file_stem().is_some_and(|name| name == "kubectl-proofmill");
        let name = if is_plugin { "kubectl proofmill" } else { "proofmill" };
        let matches = Self::command().bin_name(name).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}
