//! A stage's command line: one type that the worker parses and that executors render.

use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand};

use super::Task;
use crate::{Device, Digest, Format, Indexes, Model, SecurityBits, Subgraphs, Tokens};

/// The command line of `prover-worker`.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
#[command(name = "prover-worker", version, about = "Runs one stage of a ProofJob")]
pub struct WorkerArgs {
    /// URL of the artifact store: file:, s3:, gs:, az:
    #[arg(long, value_name = "URL")]
    pub store: String,
    /// What to compute on: auto, cpu, cuda, or cuda:N for GPU number N
    #[arg(long, default_value_t = Processor::Auto)]
    pub device: Processor,
    /// File for the result record, such as a pod's termination log; without it the record goes to standard output
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End when standard input ends, as it does when the parent process dies
    #[arg(long)]
    pub until_stdin_closes: bool,
    /// The stage.
    #[command(subcommand)]
    pub stage: StageArgs,
}

/// What a process computes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Processor {
    /// The first GPU, or the CPU where there is none.
    #[default]
    Auto,
    /// The CPU, all its cores.
    Cpu,
    /// The NVIDIA GPU of this number, or failure.
    Cuda(u16),
}

impl From<Device> for Processor {
    fn from(device: Device) -> Self {
        match device {
            Device::Auto => Self::Auto,
            Device::Cpu => Self::Cpu,
            Device::Gpu => Self::Cuda(0),
        }
    }
}

impl FromStr for Processor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().ok();
        match (text, text.strip_prefix("cuda:").and_then(number)) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(0)),
            (_, Some(number)) => Ok(Self::Cuda(number)),
            _ => Err(format!("there is no device '{text}': there are auto, cpu, cuda, and cuda:N for GPU number N")),
        }
    }
}

impl fmt::Display for Processor {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

/// A stage and what it works on.
#[derive(Subcommand, Clone, Debug, PartialEq, Eq)]
pub enum StageArgs {
    /// Import, quantise and partition a model, and commit to its weights
    Setup(SetupArgs),
    /// Run a model on an input, and commit to the boundary tensors
    Execute(ExecuteArgs),
    /// Prove one subgraph
    Prove(ProveArgs),
    /// Assemble and verify the proof
    Aggregate(AggregateArgs),
}

/// What setup works on.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SetupArgs {
    /// URL of the model's file or folder; artifact:DIGEST names a file in the store
    #[arg(long, value_name = "URL")]
    pub source: String,
    /// Format of the model file
    #[arg(long, value_enum, default_value_t = Format::Onnx)]
    pub format: Format,
    /// URL of a sample input, for a language model of a text; may be repeated
    #[arg(long, value_name = "URL")]
    pub calibration: Vec<String>,
    /// Tokens of a language model's prompt and answer together
    #[arg(long, value_name = "N", default_value_t = Tokens::default().sequence)]
    pub sequence: u32,
    /// Most tokens of its answer
    #[arg(long, value_name = "N", default_value_t = Tokens::default().answer)]
    pub answer: u32,
    /// Whether its answers can be drawn, each by a seed
    #[arg(long)]
    pub sampling: bool,
    /// Auto, or the number of subgraphs
    #[arg(long, default_value_t = Subgraphs::Auto)]
    pub subgraphs: Subgraphs,
    /// Proven security in bits: 128 or 100
    #[arg(long, default_value_t = 128)]
    pub security_bits: u32,
}

/// What execute works on.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ExecuteArgs {
    /// Digest of setup's artifact
    #[arg(long, value_name = "DIGEST")]
    pub setup: Digest,
    /// URL of the input; artifact:DIGEST names one in the store
    #[arg(long, value_name = "URL")]
    pub input: String,
}

/// What prove works on.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ProveArgs {
    /// Digest of execute's artifact
    #[arg(long, value_name = "DIGEST")]
    pub execution: Digest,
    /// Index of the subgraph, or with --among its position there; a pod of an Indexed Job has it in its environment
    #[arg(long, value_name = "I", env = COMPLETION_INDEX)]
    pub subgraph: Option<u32>,
    /// The subgraphs that are proved side by side, as intervals such as 0-2,5; all, when absent
    #[arg(long, value_name = "INTERVALS")]
    pub among: Option<Indexes>,
}

/// The variable in which a pod of an Indexed Job finds its index.
pub const COMPLETION_INDEX: &str = "JOB_COMPLETION_INDEX";

impl ProveArgs {
    /// Proving one subgraph of all.
    pub const fn of(execution: Digest, subgraph: u32) -> Self {
        Self { execution, subgraph: Some(subgraph), among: None }
    }

    /// The subgraph to prove.
    ///
    /// # Errors
    /// If none is named, or there is none at that position.
    pub fn resolve(&self) -> Result<u32, String> {
        let Some(position) = self.subgraph else {
            return Err(format!("no subgraph is named: give --subgraph, or set {COMPLETION_INDEX}"));
        };
        match &self.among {
            None => Ok(position),
            Some(among) => among.iter().nth(position as usize).ok_or_else(|| {
                format!(
                    "there is no subgraph at position {position} of {among}: the last position is {}",
                    among.len().saturating_sub(1)
                )
            }),
        }
    }
}

/// What aggregate works on.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct AggregateArgs {
    /// Digest of execute's artifact
    #[arg(long, value_name = "DIGEST")]
    pub execution: Digest,
}

impl SetupArgs {
    /// Setup of a model.
    pub fn new(model: &Model, subgraphs: Subgraphs, security_bits: SecurityBits) -> Self {
        let Model { source, format, calibration, tokens } = model.clone();
        let Tokens { sequence, answer, sampling } = tokens.unwrap_or_default();
        Self { source, format, calibration, sequence, answer, sampling, subgraphs, security_bits: security_bits.0 }
    }
}

impl StageArgs {
    /// The task that this is. A subgraph that is not named counts as none: running it fails.
    pub fn task(&self) -> Task {
        match self {
            Self::Setup(_) => Task::Setup {},
            Self::Execute(_) => Task::Execute {},
            Self::Prove(args) => Task::Prove { subgraph: args.resolve().unwrap_or(u32::MAX) },
            Self::Aggregate(_) => Task::Aggregate {},
        }
    }
}

impl WorkerArgs {
    /// The command line, without the program's name. Parsing it gives `self` again.
    pub fn to_args(&self) -> Vec<OsString> {
        let mut line = vec!["--store".into(), OsString::from(&self.store)];
        let mut option = |name: &str, value: String| line.push(format!("--{name}={value}").into());
        option("device", self.device.to_string());
        if let Some(record) = &self.record {
            let mut argument = OsString::from("--record=");
            argument.push(record);
            line.push(argument);
        }
        if self.until_stdin_closes {
            line.push("--until-stdin-closes".into());
        }
        line.push(self.stage.task().stage().to_string().into());
        if matches!(&self.stage, StageArgs::Setup(args) if args.sampling) {
            line.push("--sampling".into());
        }
        let mut option = |name: &str, value: String| line.push(format!("--{name}={value}").into());
        match &self.stage {
            StageArgs::Setup(args) => {
                option("source", args.source.clone());
                option("format", format!("{:?}", args.format));
                for url in &args.calibration {
                    option("calibration", url.clone());
                }
                option("sequence", args.sequence.to_string());
                option("answer", args.answer.to_string());
                option("subgraphs", args.subgraphs.to_string());
                option("security-bits", args.security_bits.to_string());
            }
            StageArgs::Execute(args) => {
                option("setup", args.setup.to_string());
                option("input", args.input.clone());
            }
            StageArgs::Prove(args) => {
                option("execution", args.execution.to_string());
                if let Some(subgraph) = args.subgraph {
                    option("subgraph", subgraph.to_string());
                }
                if let Some(among) = &args.among {
                    option("among", among.to_string());
                }
            }
            StageArgs::Aggregate(args) => option("execution", args.execution.to_string()),
        }
        line
    }
}
