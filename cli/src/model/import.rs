//! `model import`: what setup does for a job, for whoever wants the key alone.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use crds::{
    SecurityBits,
    contract::{SetupArgs, SetupManifest, StageArgs},
};
use kernels::Cpu;
use model::AccuracyReport;
use prover_worker::{run_stage, store::Store};
use verifier::key::ModelKey;

use super::inspect::accuracy;
use crate::{
    args::{ImportArgs, SetupOptions},
    format,
    run::TOKENIZER_FILE,
    verify::commitment,
};

/// A model that has been set up: the bytes of its files.
pub struct Imported {
    /// `model.key`.
    pub key: Vec<u8>,
    /// `report.json`.
    pub report: Vec<u8>,
    /// `model.tokenizer`, of a language model.
    pub tokenizer: Option<Vec<u8>>,
}

/// Writes `model.key`, `report.json` and a language model's `model.tokenizer` into a directory.
pub fn import(args: &ImportArgs) -> Result<()> {
    let Imported { key, report, tokenizer } = set_up(&args.source, &args.setup, args.security_bits)?;
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    let tokenizer = tokenizer.iter().map(|bytes| (TOKENIZER_FILE, bytes));
    for (name, bytes) in [("model.key", &key), ("report.json", &report)].into_iter().chain(tokenizer) {
        let path = args.output.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{} ({})", path.display(), format::bytes(bytes.len() as u64));
    }
    let key = ModelKey::from_bytes(&key)?;
    println!("model {}, {} subgraphs", commitment(&key), key.partition().count);
    print!("{}", accuracy(&serde_json::from_slice::<AccuracyReport>(&report)?));
    Ok(())
}

/// Sets a model up in memory.
pub fn set_up(source: &Path, options: &SetupOptions, security_bits: u32) -> Result<Imported> {
    let model = options.model(source)?;
    let stage = StageArgs::Setup(SetupArgs::new(&model, options.subgraphs, SecurityBits(security_bits)));
    let store = Store::in_memory()?;
    let finished = run_stage(&Cpu, &store, &stage)?;
    let manifest: SetupManifest = serde_json::from_slice(&store.get(finished.artifact.digest)?)?;
    Ok(Imported {
        key: store.get(manifest.key.digest)?,
        report: store.get(manifest.report.digest)?,
        tokenizer: manifest.tokenizer.map(|artifact| store.get(artifact.digest)).transpose()?,
    })
}
