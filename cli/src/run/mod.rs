//! `run`: a `ProofJob` on this machine, one process for each stage and subgraph.
//!
//! `lifecycle` decides, [`executor`] keeps the processes, [`job`] joins the two. Everything that is made lands in the
//! artifact store first, so a run that is killed anywhere continues from there.

pub mod executor;
pub mod job;
mod location;
pub mod progress;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use crds::{
    ProofJob, ProofJobStatus, condition,
    contract::{ArtifactRef, ProofManifest},
    manifest,
    source::is_url,
};
use prover_worker::store::Store;
use serde_json::json;
use verifier::graph::Interface;

use crate::{args::RunArgs, format};
use job::{Finished, Job};
pub use location::{directory_url, file_url, model_url};
use progress::Progress;

/// File of a language model's tokenizer, beside its key.
pub const TOKENIZER_FILE: &str = "model.tokenizer";

/// Runs a manifest to its proof.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let text =
        fs::read_to_string(&args.manifest).with_context(|| format!("cannot read {}", args.manifest.display()))?;
    let mut job = manifest::parse(&text).with_context(|| args.manifest.display().to_string())?;
    let unfit = job.spec.cluster_only_fields();
    if !unfit.is_empty() {
        bail!("{}: only a cluster can honour this; leave it out, or apply the manifest with kubectl", unfit.join(", "));
    }
    location::resolve(&mut job.spec, args.manifest.parent().unwrap_or(Path::new("")))?;
    prover_worker::check_device(job.spec.device).map_err(anyhow::Error::msg)?;
    job.spec.parallelism = Some(args.parallelism.or(job.spec.parallelism).unwrap_or_else(cores));
    let name = name(&job)?;
    let store = store_url(args, &job)?;
    let output = args.output.clone().unwrap_or_else(|| Path::new(".proofmill").join(&name));

    let progress = Progress::new(args.json);
    let finished = Job::new(job.spec, &store)?.run(&progress)?;
    progress.close();
    match finished {
        Finished { proof: Some(proof), tokenizer, status, .. } => {
            conclude(args, &Store::open(&store)?, &output, &proof, tokenizer, &status)
        }
        Finished { status, .. } => {
            bail!("{name}: {}", failure(&status));
        }
    }
}

/// Writes proof and key out and says where, how large and how sound.
fn conclude(
    args: &RunArgs,
    store: &Store,
    output: &Path,
    proof: &ProofManifest,
    tokenizer: Option<ArtifactRef>,
    status: &ProofJobStatus,
) -> Result<ExitCode> {
    fs::create_dir_all(output).with_context(|| format!("cannot make {}", output.display()))?;
    let (proof_path, key_path) = (output.join("proof.bin"), output.join("model.key"));
    let tokenizer = tokenizer.map(|artifact| (output.join(TOKENIZER_FILE), artifact));
    let tokenizer = tokenizer.as_ref().map(|(path, artifact)| (path, *artifact));
    for (path, artifact) in [(&proof_path, proof.proof), (&key_path, proof.key)].into_iter().chain(tokenizer) {
        fs::write(path, store.get(artifact.digest)?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        let event = json!({
            "event": "proof",
            "path": proof_path,
            "key": key_path,
            "tokenizer": tokenizer.map(|(path, _)| path),
            "digest": proof.proof.digest,
            "bytes": proof.proof.bytes,
            "soundnessBits": proof.soundness_bits,
            "status": status,
        });
        println!("{event}");
    } else {
        let size = format::bytes(proof.proof.bytes);
        println!("proof {} ({size}, {} bits of proven soundness)", proof_path.display(), proof.soundness_bits);
        // An encoder's key names no tokenizer.
        let answers = matches!(crate::verify::read_key(&key_path)?.graph().interface, Interface::Generation(_));
        let more = tokenizer
            .filter(|_| answers)
            .map_or_else(String::new, |(path, _)| format!(" --tokenizer {}", path.display()));
        println!("check it: proofmill verify {} --model {}{more}", proof_path.display(), key_path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a job failed, by its summary condition.
pub fn failure(status: &ProofJobStatus) -> String {
    let summary = status.conditions.iter().find(|c| c.type_ == condition::SUCCEEDED);
    summary.map_or_else(String::new, |c| format!("{} ({})", c.message, c.reason))
}

/// The job's name becomes a directory's name.
fn name(job: &ProofJob) -> Result<String> {
    let name = job.metadata.name.clone().context("metadata.name: missing")?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    if name.is_empty() || !name.chars().all(is_plain) || name.starts_with(['.', '-']) {
        bail!(
            "metadata.name: {name:?} is not a name: use lower-case letters, digits, '-' and '.', a letter or digit first"
        );
    }
    Ok(name)
}

fn store_url(args: &RunArgs, job: &ProofJob) -> Result<String> {
    let of_job = job.spec.store.as_ref().and_then(|store| store.url.as_ref());
    match args.store.as_ref().or(of_job) {
        Some(url) if is_url(url) => Ok(url.clone()),
        Some(directory) => directory_url(Path::new(directory)),
        None => directory_url(Path::new(".proofmill/store")),
    }
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)).min(1024)
}
