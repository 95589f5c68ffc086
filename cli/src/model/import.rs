//! `model import`: what setup does for a job, for whoever wants the key alone.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use crds::{
    Format,
    contract::{SetupArgs, SetupManifest, StageArgs},
};
use model::AccuracyReport;
use prover_worker::{run_stage, store::Store};
use verifier::key::ModelKey;

use super::inspect::accuracy;
use crate::{
    args::{ImportArgs, SetupOptions},
    format,
    run::file_url,
    verify::commitment,
};

/// A model that has been set up: the bytes of its key and of its report.
pub struct Imported {
    /// `model.key`.
    pub key: Vec<u8>,
    /// `report.json`.
    pub report: Vec<u8>,
}

/// Writes `model.key` and `report.json` into a directory.
pub fn import(args: &ImportArgs) -> Result<()> {
    let Imported { key, report } = set_up(&args.source, &args.setup, args.security_bits)?;
    fs::create_dir_all(&args.output).with_context(|| format!("cannot make {}", args.output.display()))?;
    for (name, bytes) in [("model.key", &key), ("report.json", &report)] {
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
    let calibration = options.calibration.iter().map(|path| file_url(path)).collect::<Result<_>>()?;
    let stage = StageArgs::Setup(SetupArgs {
        source: file_url(source)?,
        format: Format::Onnx,
        calibration,
        subgraphs: options.subgraphs,
        security_bits,
    });
    let store = Store::in_memory()?;
    let finished = run_stage(&store, &stage)?;
    let manifest: SetupManifest = serde_json::from_slice(&store.get(finished.artifact.digest)?)?;
    Ok(Imported { key: store.get(manifest.key.digest)?, report: store.get(manifest.report.digest)? })
}
