//! Setup: model file and samples in, model key and packed weights out.

use crds::{
    Digest, Format, Subgraphs,
    contract::{SetupArgs, SetupManifest, Stage, Summary},
};
use formats::Tokenizer;
use kernels::Device;
use model::{ImportOptions, Model};
use verifier::{
    graph::Interface,
    key::{ModelKey, Security},
};

use super::{Finished, Manifest, once, put_encoded};
use crate::{
    StageError,
    identity::identity,
    input,
    language::{self, Files},
    source::fetch,
    store::Store,
};

pub(super) fn run<D: Device>(device: &D, store: &Store, args: &SetupArgs) -> Result<Finished, StageError> {
    let files = match args.format {
        Format::Onnx | Format::Gguf => language::fetch_file(store, &args.source)?,
        Format::HuggingFace => language::fetch_folder(&args.source)?,
    };
    let samples = args.calibration.iter().map(|url| fetch(store, url)).collect::<Result<Vec<_>, _>>()?;
    let security = security(args.security_bits)?;
    let digest = |bytes: &Vec<u8>| *blake3::hash(bytes).as_bytes();
    let digests: Vec<u8> = samples.iter().flat_map(digest).collect();
    let named: Vec<_> = files.iter().map(|(name, bytes)| (name, digest(bytes))).collect();
    // A single file may have any name.
    let model = match &named[..] {
        [(_, digest)] if args.format != Format::HuggingFace => digest.to_vec(),
        named => serde_json::to_vec(named).map_err(StageError::deterministic)?,
    };
    let lengths = (args.format != Format::Onnx).then_some((args.sequence, args.answer, args.sampling));
    let identity = identity(
        Stage::Setup,
        &[
            &model,
            &digests,
            format!("{lengths:?}").as_bytes(),
            format!("{:?}", args.format).as_bytes(),
            args.subgraphs.to_string().as_bytes(),
            &security.bits().to_le_bytes(),
        ],
    );
    once(store, identity, || {
        let (model, tokenizer) = match args.format {
            Format::Onnx => (import_onnx(args, &files, &samples)?, None),
            Format::HuggingFace | Format::Gguf => language::import(args, files, &samples)?,
        };
        make(device, store, model, tokenizer, args.subgraphs, security)
    })
}

fn import_onnx(args: &SetupArgs, files: &Files, samples: &[Vec<u8>]) -> Result<Model, StageError> {
    let options = ImportOptions { samples: parse_samples(args, samples)?, ..ImportOptions::default() };
    let file = files.values().next().map_or(&[][..], Vec::as_slice);
    model::import_onnx(file, &options).map_err(|error| StageError::deterministic(format!("{}: {error}", args.source)))
}

pub(super) fn make<D: Device>(
    device: &D,
    store: &Store,
    mut model: Model,
    tokenizer: Option<Tokenizer>,
    subgraphs: Subgraphs,
    security: Security,
) -> Result<SetupManifest, StageError> {
    let tokenizer = tokenizer.map(|tokenizer| tokenizer.to_bytes()).transpose().map_err(StageError::deterministic)?;
    let tokenizer = tokenizer.map(|bytes| store.put(bytes)).transpose()?;
    if let Interface::Generation(generation) = &mut model.graph.interface {
        generation.tokenizer = tokenizer.map(|artifact| artifact.digest.0);
    }
    let subgraphs = match subgraphs {
        Subgraphs::Auto => model::Subgraphs::Auto,
        Subgraphs::Count(count) => model::Subgraphs::Count(count),
    };
    let (model, partition) = model::balanced(model, subgraphs)
        .map_err(|error| StageError::deterministic(format!("spec.partition.subgraphs: {error}")))?;
    let Model { graph, weights, report } = model;
    let key = prover::setup(device, graph, &weights, partition, security).map_err(StageError::deterministic)?;
    let report = serde_json::to_vec_pretty(&report).map_err(StageError::deterministic)?;
    Ok(SetupManifest {
        key: store.put(key.to_bytes())?,
        commitment: Digest(key.commitment()),
        weights: pack(store, &key, &weights)?,
        tokenizer,
        memory: crds::memory_needs(&memory(&key)),
        report: store.put(report)?,
    })
}

/// Bytes for each subgraph, for one input and more for every other; none for others where several cannot be proved together.
fn memory(key: &ModelKey) -> Vec<(u64, u64)> {
    let one = prover::memory::prove(key);
    let two = key.for_batch(2).map_or_else(|_| one.clone(), |key| prover::memory::prove(&key));
    one.into_iter().zip(two).map(|(one, two)| (one, two.saturating_sub(one))).collect()
}

/// Stores for each subgraph the weights that its nodes read.
fn pack(
    store: &Store,
    key: &ModelKey,
    weights: &prover::Weights,
) -> Result<Vec<crds::contract::ArtifactRef>, StageError> {
    let held = |tensors: &[verifier::graph::TensorId]| -> prover::Weights {
        tensors.iter().filter_map(|id| Some((*id, weights.get(id)?.clone()))).collect()
    };
    let put = |subgraph: &verifier::plan::SubgraphPlan| Ok(put_encoded(store, &held(&subgraph.weights))?);
    key.plan().subgraphs.iter().map(put).collect()
}

fn parse_samples(args: &SetupArgs, samples: &[Vec<u8>]) -> Result<Vec<input::Inputs>, StageError> {
    let parse = |(url, bytes): (&String, &Vec<u8>)| {
        input::parse(bytes).map_err(|error| StageError::deterministic(format!("{url}: {error}")))
    };
    args.calibration.iter().zip(samples).map(parse).collect()
}

pub(super) fn security(bits: u32) -> Result<Security, StageError> {
    match bits {
        128 => Ok(Security::Bits128),
        100 => Ok(Security::Bits100),
        _ => Err(StageError::deterministic(format!("security of {bits} bits: must be 128 or 100"))),
    }
}

impl Manifest for SetupManifest {
    fn listed(&self) -> Vec<crds::contract::ArtifactRef> {
        [self.key, self.report].into_iter().chain(self.tokenizer).chain(self.weights.iter().copied()).collect()
    }

    fn summary(&self) -> Summary {
        Summary::Model {
            subgraphs: self.weights.len() as u32,
            commitment: self.commitment,
            key: self.key,
            tokenizer: self.tokenizer,
            memory: self.memory.clone(),
        }
    }
}
