//! What every stage costs on a model, each in a process of its own, so that peak memory is a stage's own.
//!
//! Stages run one after the other, with all cores each. `prove` is everything after setup: execute, all subgraphs, aggregate.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use crds::{
    Device, InputSource, Partition, ProofJobSpec, SecurityBits,
    contract::{Processor, ProofManifest, SetupArgs, Stage, StageArgs},
};
use prover::floor;
use prover_worker::{Opened, store::Store};
use serde_json::{Value, json};
use verifier::{key::ModelKey, proof::Proof};

use super::{machine::Machine, shape::run_alone, sustained};
use crate::{
    args::BenchArgs,
    format,
    run::{
        directory_url,
        executor::Executor,
        file_url,
        job::{Finished, Job, TaskUsage},
        progress::Progress,
    },
};

/// Verification is short: its time is the least of so many.
const VERIFICATIONS: u32 = 9;

/// What a stage costs, over its tasks.
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    peak_memory_bytes: u64,
    artifact_bytes: u64,
    /// Time of its kernels, where a GPU timed them.
    gpu_seconds: Option<f64>,
    /// Time that the stage takes at least, the processor's or the GPU's; none of a stage that ran elsewhere.
    floor: Option<f64>,
}

impl Cost {
    /// How far above the floor what the machine spent is; `None` where there is none, as for aggregating without a boundary.
    fn ratio(&self, machine: &Machine) -> Option<f64> {
        let spent = if matches!(machine, Machine::Cpu(_)) { Some(self.cpu_seconds) } else { self.gpu_seconds };
        self.floor.filter(|floor| *floor > 0.0).zip(spent).map(|(floor, spent)| spent / floor)
    }
}

/// What was measured.
struct Measured {
    stages: [(Stage, Cost); 4],
    /// The subgraph that takes the most processor time: how long proving takes where every subgraph has a machine.
    largest: Cost,
    all_but_setup: Cost,
    verify_seconds: f64,
    subgraphs: usize,
    /// Inputs that were proved together.
    inferences: usize,
    /// In the model's einsums, for all inputs.
    multiply_adds: u64,
    proof: ProofManifest,
    machine: Machine,
}

/// A job names no GPU but the first.
pub fn device(processor: Processor) -> Result<Device> {
    match processor {
        Processor::Auto => Ok(Device::Auto),
        Processor::Cpu => Ok(Device::Cpu),
        Processor::Cuda(0) => Ok(Device::Gpu),
        Processor::Cuda(_) => bail!("--device {processor}: the stages of a model are measured on cuda:0"),
    }
}

/// Measures every stage on a model, and verification.
pub fn bench(args: &BenchArgs, model: &Path, input: &Path) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot make a directory for artifacts")?;
    let store_url = directory_url(directory.path())?;
    let source = args.setup.model(model)?;
    if let Some(proofs) = args.proofs {
        let input = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
        let setup = SetupArgs::new(&source, args.setup.subgraphs, SecurityBits(args.security_bits));
        // Setup is not measured, and gives the same on any device.
        let mut executor = Executor::new(&store_url, device(args.device).unwrap_or(Device::Auto));
        let setup = run_alone(&mut executor, StageArgs::Setup(setup))?.artifact;
        return sustained::bench(args, &Store::open(&store_url)?, setup.digest, proofs, |_| Ok(input.clone()));
    }
    let input = InputSource::at(file_url(input)?);
    let spec = ProofJobSpec {
        partition: Partition { subgraphs: args.setup.subgraphs },
        security_bits: SecurityBits(args.security_bits),
        device: device(args.device)?,
        parallelism: Some(1),
        retries: 0,
        ..ProofJobSpec::new(source, input)
    };
    let Finished { proof, usages, status, .. } = Job::new(spec, &store_url)?.run(&Progress::silent())?;
    let Some(proof) = proof else { bail!("{}", crate::run::failure(&status)) };
    conclude(args, &Store::open(&store_url)?, &usages, proof, |_| String::new())
}

/// Verifies the proof of a job and prints what its tasks cost; `more` is printed after that.
pub fn conclude(
    args: &BenchArgs,
    store: &Store,
    usages: &[TaskUsage],
    proof: ProofManifest,
    more: impl Fn(&ModelKey) -> String,
) -> Result<()> {
    let bytes = store.get(proof.proof.digest)?;
    let inferences = Proof::from_bytes(&bytes)?.statement.inferences.len();
    let key = ModelKey::from_bytes(&store.get(proof.key.digest)?)?.for_batch(inferences)?;
    let machine = machine(args, usages)?;
    let of_stage = |stage: Stage| {
        let work = match stage {
            Stage::Setup => floor::setup(&key),
            Stage::Execute => floor::execute(&key),
            Stage::Prove => floor::prove(&key),
            Stage::Aggregate => floor::aggregate(&key),
        };
        let mut tasks = usages.iter().filter(|task| task.task.stage() == stage);
        let floor = tasks.all(|task| task.usage.device == machine.name()).then(|| machine.floor(&work));
        (stage, Cost { floor, ..cost(usages, |task_stage| task_stage == stage) })
    };
    let stages = Stage::ALL.map(of_stage);
    let floor = stages.iter().filter(|(stage, _)| *stage != Stage::Setup).map(|(_, cost)| cost.floor).sum();
    let measured = Measured {
        stages,
        largest: largest(usages),
        all_but_setup: Cost { floor, ..cost(usages, |stage| stage != Stage::Setup) },
        verify_seconds: verification(&key, &bytes)?,
        subgraphs: usages.iter().filter(|task| task.task.stage() == Stage::Prove).count(),
        inferences,
        multiply_adds: floor::multiply_adds(key.graph()),
        proof,
        machine,
    };
    if args.json {
        println!("{}", report_json(&measured));
    } else {
        print!("{}{}", report(&measured), more(&key));
    }
    Ok(())
}

/// The device that most was computed on: the GPU, if any was.
fn machine(args: &BenchArgs, usages: &[TaskUsage]) -> Result<Machine> {
    let on_gpu = usages.iter().any(|task| task.usage.gpu.is_some());
    Machine::measure(&Opened::new(if on_gpu { args.device } else { Processor::Cpu })?)
}

fn cost(usages: &[TaskUsage], keep: impl Fn(Stage) -> bool) -> Cost {
    let kept = || usages.iter().filter(|task| keep(task.task.stage()));
    Cost {
        seconds: kept().map(|task| task.usage.seconds).sum(),
        cpu_seconds: kept().map(|task| task.usage.cpu_seconds).sum(),
        peak_memory_bytes: kept().map(|task| task.usage.peak_memory_bytes).max().unwrap_or(0),
        artifact_bytes: kept().map(|task| task.artifact.bytes).sum(),
        gpu_seconds: kept().filter_map(|task| task.usage.gpu.as_ref()?.seconds).reduce(|a, b| a + b),
        floor: None,
    }
}

fn largest(usages: &[TaskUsage]) -> Cost {
    let tasks = usages.iter().filter(|task| task.task.stage() == Stage::Prove);
    let largest = tasks.max_by(|a, b| a.usage.cpu_seconds.total_cmp(&b.usage.cpu_seconds));
    cost(largest.map_or(&[], std::slice::from_ref), |_| true)
}

/// Seconds that verification takes, on this one thread.
fn verification(key: &ModelKey, proof: &[u8]) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        verifier::verify(key, proof)?;
        least = least.min(begun.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn report(measured: &Measured) -> String {
    let Measured {
        stages,
        largest,
        all_but_setup,
        verify_seconds,
        subgraphs,
        inferences,
        multiply_adds,
        proof,
        machine,
    } = measured;
    let on_gpu = matches!(machine, Machine::Gpu(_));
    let row = |name: &str, cost: &Cost| {
        let gpu = cost.gpu_seconds.map_or_else(String::new, format::seconds);
        let gpu = if on_gpu { format!("{gpu:>10}") } else { String::new() };
        format!(
            "{name:<22}{:>10}{:>10}{gpu}{:>10}{:>10}{:>12}{:>12}\n",
            format::seconds(cost.seconds),
            format::seconds(cost.cpu_seconds),
            cost.floor.map_or_else(String::new, format::seconds),
            cost.ratio(machine).map_or_else(String::new, |ratio| format!("{ratio:.1}")),
            format::bytes(cost.peak_memory_bytes),
            format::bytes(cost.artifact_bytes)
        )
    };
    let mut text = format!(
        "{:<22}{:>10}{:>10}{}{:>10}{:>10}{:>12}{:>12}\n",
        "",
        "time",
        "CPU",
        if on_gpu { format!("{:>10}", "kernels") } else { String::new() },
        "floor",
        "ratio",
        "peak memory",
        "artifacts"
    );
    for (stage, cost) in stages {
        let name = if *stage == Stage::Prove { format!("prove ({subgraphs} subgraphs)") } else { stage.to_string() };
        text += &row(&name, cost);
        if *stage == Stage::Prove {
            text += &row("  the largest", largest);
        }
    }
    text += &row("all but setup", all_but_setup);
    text += &format!("{:<22}{:>10}\n", "verify", format::seconds(*verify_seconds));
    let (proof_bytes, key_bytes) = (format::bytes(proof.proof.bytes), format::bytes(proof.key.bytes));
    text += &format!("proof {proof_bytes}, key {key_bytes}, {} bits\n", proof.soundness_bits);
    let throughput = *multiply_adds as f64 / all_but_setup.seconds;
    if *inferences > 1 {
        text += &format!("{inferences} inputs in one proof\n");
    }
    text += &format!("{multiply_adds} multiply-adds of the model, {throughput:.2e} in a second of all but setup\n");
    text + &format!("\n{}.\n", machine.explain(if on_gpu { "time of kernels" } else { "processor time" }))
}

fn report_json(measured: &Measured) -> Value {
    let machine = &measured.machine;
    let describe = |cost: &Cost| {
        let mut described = json!({
            "seconds": cost.seconds,
            "cpuSeconds": cost.cpu_seconds,
            "peakMemoryBytes": cost.peak_memory_bytes,
            "artifactBytes": cost.artifact_bytes,
            "ratioToFloor": cost.ratio(machine),
        });
        described[machine.floor_key()] = json!(cost.floor);
        if let Some(seconds) = cost.gpu_seconds {
            described["kernelSeconds"] = json!(seconds);
        }
        described
    };
    let stages = measured.stages.iter().map(|(stage, cost)| (stage.to_string(), describe(cost)));
    json!({
        "machine": machine.describe(),
        "stages": stages.collect::<serde_json::Map<_, _>>(),
        "largestSubgraph": describe(&measured.largest),
        "allButSetup": describe(&measured.all_but_setup),
        "verifySeconds": measured.verify_seconds,
        "subgraphs": measured.subgraphs,
        "inferences": measured.inferences,
        "multiplyAdds": measured.multiply_adds,
        "multiplyAddsPerSecond": measured.multiply_adds as f64 / measured.all_but_setup.seconds,
        "proofBytes": measured.proof.proof.bytes,
        "keyBytes": measured.proof.key.bytes,
        "soundnessBits": measured.proof.soundness_bits,
    })
}
