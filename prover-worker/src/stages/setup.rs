//! Setup: model file and samples in, model key and packed weights out.

use crds::{
    Digest, Format, Subgraphs,
    contract::{SetupArgs, SetupManifest, Stage, Summary},
};
use kernels::Cpu;
use model::{ImportOptions, Model};
use verifier::key::{ModelKey, Security};

use super::{Finished, Manifest, once, put_encoded};
use crate::{StageError, identity::identity, input, source::fetch, store::Store};

pub(super) fn run(store: &Store, args: &SetupArgs) -> Result<Finished, StageError> {
    let file = fetch(store, &args.source)?;
    let samples = args.calibration.iter().map(|url| fetch(store, url)).collect::<Result<Vec<_>, _>>()?;
    let security = security(args.security_bits)?;
    let digests: Vec<u8> = samples.iter().flat_map(|sample| *blake3::hash(sample).as_bytes()).collect();
    let identity = identity(
        Stage::Setup,
        &[
            blake3::hash(&file).as_bytes(),
            &digests,
            format!("{:?}", args.format).as_bytes(),
            args.subgraphs.to_string().as_bytes(),
            &security.bits().to_le_bytes(),
        ],
    );
    once(store, identity, || {
        let Format::Onnx = args.format;
        let options = ImportOptions { samples: parse_samples(args, &samples)?, ..ImportOptions::default() };
        let model = model::import_onnx(&file, &options)
            .map_err(|error| StageError::deterministic(format!("{}: {error}", args.source)))?;
        make(store, model, args.subgraphs, security)
    })
}

fn make(store: &Store, model: Model, subgraphs: Subgraphs, security: Security) -> Result<SetupManifest, StageError> {
    let subgraphs = match subgraphs {
        Subgraphs::Auto => model::Subgraphs::Auto,
        Subgraphs::Count(count) => model::Subgraphs::Count(count),
    };
    let partition = model::partition(&model, subgraphs)
        .map_err(|error| StageError::deterministic(format!("spec.partition.subgraphs: {error}")))?;
    let Model { graph, weights, report } = model;
    let key = prover::setup(&Cpu, graph, &weights, partition, security).map_err(StageError::deterministic)?;
    let report = serde_json::to_vec_pretty(&report).map_err(StageError::deterministic)?;
    Ok(SetupManifest {
        key: store.put(key.to_bytes())?,
        commitment: Digest(key.commitment()),
        weights: pack(store, &key, &weights)?,
        report: store.put(report)?,
    })
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

fn security(bits: u32) -> Result<Security, StageError> {
    match bits {
        128 => Ok(Security::Bits128),
        100 => Ok(Security::Bits100),
        _ => Err(StageError::deterministic(format!("security of {bits} bits: must be 128 or 100"))),
    }
}

impl Manifest for SetupManifest {
    fn listed(&self) -> Vec<crds::contract::ArtifactRef> {
        [self.key, self.report].into_iter().chain(self.weights.iter().copied()).collect()
    }

    fn summary(&self) -> Summary {
        Summary::Model { subgraphs: self.weights.len() as u32, commitment: self.commitment, key: self.key }
    }
}
