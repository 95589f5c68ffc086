//! What every stage costs on a model, each in a process of its own, so that peak memory is a stage's own.
//!
//! Stages run one after the other, with all cores each. `prove` is everything after setup: execute, all subgraphs, aggregate.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result, bail};
use crds::{
    Device, Format, InputSource, Model, Partition, ProofJobSpec, SecurityBits,
    contract::{ProofManifest, Stage},
};
use prover_worker::store::Store;
use serde_json::{Value, json};
use verifier::key::ModelKey;

use crate::{
    args::BenchArgs,
    format,
    run::{
        directory_url, file_url,
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
}

/// Measures every stage on a model, and verification.
pub fn bench(args: &BenchArgs, model: &Path, input: &Path) -> Result<()> {
    let directory = tempfile::tempdir().context("cannot make a directory for artifacts")?;
    let store_url = directory_url(directory.path())?;
    let spec = ProofJobSpec {
        model: Model {
            source: file_url(model)?,
            format: Format::Onnx,
            calibration: args.setup.calibration.iter().map(|path| file_url(path)).collect::<Result<_>>()?,
        },
        input: InputSource { values: None, url: Some(file_url(input)?) },
        partition: Partition { subgraphs: args.setup.subgraphs },
        security_bits: SecurityBits(args.security_bits),
        device: Device::Cpu,
        parallelism: Some(1),
        retries: 0,
        active_deadline_seconds: None,
        store: None,
    };
    let Finished { proof, usages, status } = Job::new(spec, &store_url)?.run(&Progress::silent())?;
    let Some(proof) = proof else { bail!("{}", crate::run::failure(&status)) };
    let verification = verification(&Store::open(&store_url)?, &proof)?;
    let costs = Stage::ALL.map(|stage| (stage, cost(&usages, |task_stage| task_stage == stage)));
    let total = cost(&usages, |stage| stage != Stage::Setup);
    let subgraphs = usages.iter().filter(|task| task.task.stage() == Stage::Prove).count();
    if args.json {
        println!("{}", report_json(&costs, &total, verification, subgraphs, &proof));
    } else {
        print!("{}", report(&costs, &total, verification, subgraphs, &proof));
    }
    Ok(())
}

fn cost(usages: &[TaskUsage], keep: impl Fn(Stage) -> bool) -> Cost {
    let kept = || usages.iter().filter(|task| keep(task.task.stage()));
    Cost {
        seconds: kept().map(|task| task.usage.seconds).sum(),
        cpu_seconds: kept().map(|task| task.usage.cpu_seconds).sum(),
        peak_memory_bytes: kept().map(|task| task.usage.peak_memory_bytes).max().unwrap_or(0),
        artifact_bytes: kept().map(|task| task.artifact.bytes).sum(),
    }
}

/// Seconds that verification takes, on this one thread.
fn verification(store: &Store, proof: &ProofManifest) -> Result<f64> {
    let key = ModelKey::from_bytes(&store.get(proof.key.digest)?)?;
    let bytes = store.get(proof.proof.digest)?;
    let mut least = f64::INFINITY;
    for _ in 0..VERIFICATIONS {
        let begun = Instant::now();
        verifier::verify(&key, &bytes)?;
        least = least.min(begun.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn report(
    costs: &[(Stage, Cost); 4],
    total: &Cost,
    verification: f64,
    subgraphs: usize,
    proof: &ProofManifest,
) -> String {
    let row = |name: &str, cost: &Cost| {
        format!(
            "{name:<22}{:>10}{:>10}{:>12}\n",
            format::seconds(cost.seconds),
            format::seconds(cost.cpu_seconds),
            format::bytes(cost.peak_memory_bytes)
        )
    };
    let mut text = format!("{:<22}{:>10}{:>10}{:>12}\n", "", "time", "CPU", "peak memory");
    for (stage, cost) in costs {
        let name = if *stage == Stage::Prove { format!("prove ({subgraphs} subgraphs)") } else { stage.to_string() };
        text += &row(&name, cost);
    }
    text += &row("all but setup", total);
    text += &format!("{:<22}{:>10}\n", "verify", format::seconds(verification));
    let (proof_bytes, key_bytes) = (format::bytes(proof.proof.bytes), format::bytes(proof.key.bytes));
    text + &format!("proof {proof_bytes}, key {key_bytes}, {} bits\n", proof.soundness_bits)
}

fn report_json(
    costs: &[(Stage, Cost); 4],
    total: &Cost,
    verification: f64,
    subgraphs: usize,
    proof: &ProofManifest,
) -> Value {
    let describe = |cost: &Cost| {
        json!({
            "seconds": cost.seconds,
            "cpuSeconds": cost.cpu_seconds,
            "peakMemoryBytes": cost.peak_memory_bytes,
            "artifactBytes": cost.artifact_bytes,
        })
    };
    let stages: serde_json::Map<_, _> = costs.iter().map(|(stage, cost)| (stage.to_string(), describe(cost))).collect();
    json!({
        "stages": stages,
        "allButSetup": describe(total),
        "verifySeconds": verification,
        "subgraphs": subgraphs,
        "proofBytes": proof.proof.bytes,
        "keyBytes": proof.key.bytes,
        "soundnessBits": proof.soundness_bits,
        "cores": std::thread::available_parallelism().map_or(1, usize::from),
    })
}
