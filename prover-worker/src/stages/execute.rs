//! Execute: model and input in, output and committed boundary tensors out.

use crds::{
    Output,
    contract::{ArtifactRef, ExecuteArgs, ExecutionManifest, Stage, Summary},
    limits,
};
use kernels::{Cpu, Ints};
use prover::Values;
use verifier::{graph::Port, statement::Statement};

use super::{Finished, Manifest, load::Prepared, once, put_encoded};
use crate::{StageError, identity::identity, input, source::fetch, store::Store};

pub(super) fn run(store: &Store, args: &ExecuteArgs) -> Result<Finished, StageError> {
    let file = fetch(store, &args.input)?;
    let identity = identity(Stage::Execute, &[&args.setup.0, blake3::hash(&file).as_bytes()]);
    once(store, identity, || {
        let refuse = |error: &dyn ToString| StageError::deterministic(format!("{}: {}", args.input, error.to_string()));
        let inputs = input::parse(&file).map_err(|error| refuse(&error))?;
        let prepared = Prepared::load(store, args.setup)?;
        let graph = prepared.key.graph();
        if inputs.len() != graph.inputs.len() {
            let (given, needed) = (inputs.len(), graph.inputs.len());
            return Err(refuse(&format!("{given} inputs are given; the model has {needed}")));
        }
        let mut values = prepared.no_values();
        for (index, (port, reals)) in graph.inputs.iter().zip(&inputs).enumerate() {
            let integers = model::quantise_input(graph, index, reals).map_err(|error| refuse(&error))?;
            values[port.tensor.index()] = Some(integers);
        }
        for subgraph in 0..prepared.manifest.weights.len() {
            for (tensor, weights) in prepared.weights(store, subgraph)? {
                values[tensor.index()] = Some(weights);
            }
        }
        model::execute(graph, 0..graph.nodes.len() as u32, &mut values).map_err(|error| refuse(&error))?;
        publish(store, args, &prepared, &values)
    })
}

fn publish(
    store: &Store,
    args: &ExecuteArgs,
    prepared: &Prepared,
    values: &Values,
) -> Result<ExecutionManifest, StageError> {
    let graph = prepared.key.graph();
    let held = |port: &Port| {
        let missing = || StageError::deterministic(format!("'{}' has no values", graph.tensor(port.tensor).name));
        values[port.tensor.index()].as_ref().ok_or_else(missing)
    };
    let integers =
        |ports: &[Port]| ports.iter().map(|port| Ok(held(port)?.to_vec())).collect::<Result<_, StageError>>();
    let statement = Statement { inputs: integers(&graph.inputs)?, outputs: integers(&graph.outputs)? };
    let boundary = prover::commit_boundary(&Cpu, &prepared.key, values).map_err(StageError::deterministic)?;
    let output = |port: &Port| {
        Ok(describe(&graph.tensor(port.tensor).name, &graph.tensor(port.tensor).shape, port, held(port)?))
    };
    Ok(ExecutionManifest {
        setup: args.setup,
        subgraphs: prepared.manifest.weights.len() as u32,
        statement: put_encoded(store, &(statement.inputs, statement.outputs))?,
        boundary: put_encoded(store, &boundary)?,
        outputs: graph.outputs.iter().take(limits::OUTPUTS).map(output).collect::<Result<_, StageError>>()?,
    })
}

/// An output for people: its class if it is one row of scores, and its first values.
fn describe(name: &str, shape: &[usize], port: &Port, integers: &Ints) -> Output {
    let scores = integers.to_vec();
    let is_row = scores.len() > 1 && shape.last() == Some(&scores.len());
    // The first of the largest: ties go to the smaller class.
    let largest = scores.iter().enumerate().rev().max_by_key(|&(_, score)| score).map(|(class, _)| class as u64);
    Output {
        name: name.into(),
        shape: shape.iter().map(|&length| length as u64).collect(),
        class: largest.filter(|_| is_row),
        values: model::dequantise(port.exponent, integers).into_iter().take(limits::OUTPUT_VALUES).collect(),
    }
}

impl Manifest for ExecutionManifest {
    fn listed(&self) -> Vec<ArtifactRef> {
        vec![self.statement, self.boundary]
    }

    fn summary(&self) -> Summary {
        Summary::Outputs(self.outputs.clone())
    }
}
