//! Execute: model and input in, output and committed boundary tensors out.

use crds::{
    Drawn, Output, Temperature,
    contract::{ArtifactRef, ExecuteArgs, ExecutionManifest, Stage, Summary},
    limits,
};
use kernels::{Device, Ints};
use prover::{Values, Weights};
use verifier::{
    generation,
    graph::{Graph, Interface, Port},
    statement::Statement,
};

use super::{Finished, Manifest, load::Prepared, once, put_encoded};
use crate::{
    StageError,
    identity::identity,
    input::{self, Draw, Input, Inputs, Prompt},
    language::{self, Answer},
    source::fetch,
    store::Store,
};

pub(super) fn run<D: Device>(device: &D, store: &Store, args: &ExecuteArgs) -> Result<Finished, StageError> {
    let file = fetch(store, &args.input)?;
    let identity = identity(Stage::Execute, &[&args.setup.0, blake3::hash(&file).as_bytes()]);
    once(store, identity, || {
        let refuse = |error: &dyn ToString| StageError::deterministic(format!("{}: {}", args.input, error.to_string()));
        let input = input::parse_any(&file).map_err(|error| refuse(&error))?;
        let prepared = Prepared::load(store, args.setup)?;
        let graph = prepared.key.graph();
        let weights = prepared.all_weights(store)?;
        let (inputs, answer) = match graph.interface {
            Interface::Tensors => (tensors(store, &prepared, input, &refuse)?, None),
            Interface::Generation(_) => {
                let answer = answer(store, &prepared, &weights, input, &refuse)?;
                let lengths = generation::Lengths::of(graph).ok_or_else(|| refuse(&"the model does not generate"))?;
                let inputs = generation::inputs(lengths, &answer.generated).map_err(|error| refuse(&error))?;
                let noise = generation::noise(graph, answer.generated.prompt.len() - 1, answer.sampling);
                (inputs.into_iter().chain(noise).map(Ints::from).collect(), Some(answer))
            }
        };
        let mut values = prepared.no_values();
        graph.inputs.iter().zip(inputs).for_each(|(port, input)| values[port.tensor.index()] = Some(input));
        weights.into_iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight));
        model::execute(graph, 0..graph.nodes.len() as u32, &mut values).map_err(|error| refuse(&error))?;
        publish(device, store, args, &prepared, &values, answer.as_ref())
    })
}

type Refuse<'a> = dyn Fn(&dyn ToString) -> StageError + 'a;

/// The integers of a model's inputs.
fn tensors(store: &Store, prepared: &Prepared, input: Input, refuse: &Refuse) -> Result<Vec<Ints>, StageError> {
    let graph = prepared.key.graph();
    let inputs: Inputs = match input {
        Input::Values(inputs, draw) if draw == Draw::default() => inputs,
        Input::Prompt(prompt) if prompt.draw() == Draw::default() => {
            let tokenizer = prepared.tokenizer(store)?;
            let tokens = language::tokens_of(graph, tokenizer.as_ref(), &prompt).map_err(|error| refuse(&error))?;
            vec![tokens.into_iter().map(|token| token as f32).collect()]
        }
        _ => return Err(refuse(&"seed and temperature are for a language model's answer, and this model gives none")),
    };
    if inputs.len() != graph.inputs.len() {
        return Err(refuse(&format!("{} inputs are given; the model has {}", inputs.len(), graph.inputs.len())));
    }
    let quantised = |(index, reals): (usize, &Vec<f32>)| model::quantise_input(graph, index, reals);
    inputs.iter().enumerate().map(quantised).collect::<Result<_, _>>().map_err(|error| refuse(&error))
}

/// What a language model answers to a prompt, given as a text or, as the one list of values, in tokens.
fn answer(
    store: &Store,
    prepared: &Prepared,
    weights: &Weights,
    input: Input,
    refuse: &Refuse,
) -> Result<Answer, StageError> {
    let graph = prepared.key.graph();
    let tokenizer = prepared.tokenizer(store)?;
    let (tokens, draw, prompt) = match input {
        Input::Prompt(prompt) => (language::tokens_of(graph, tokenizer.as_ref(), &prompt), prompt.draw(), prompt),
        Input::Values(inputs, draw) => (given_tokens(graph, &inputs), draw, Prompt::default()),
    };
    let tokens = tokens.map_err(|error| refuse(&error))?;
    let sampling = language::sampling(graph, draw).map_err(|error| refuse(&error))?;
    language::generate(graph, weights, tokenizer.as_ref(), tokens, &prompt, sampling).map_err(|error| refuse(&error))
}

fn given_tokens(graph: &Graph, inputs: &Inputs) -> Result<Vec<u32>, String> {
    let [tokens] = &inputs[..] else {
        return Err(format!("{} lists are given; a prompt is one list of tokens", inputs.len()));
    };
    let most = graph.inputs.first().map_or(0, |port| graph.tensor(port.tensor).hi);
    let token = |(position, &value): (usize, &f32)| {
        let is_token = value.fract() == 0.0 && (0.0..=most as f32).contains(&value);
        is_token.then_some(value as u32).ok_or(format!("token {position} is {value}: expected 0 to {most}"))
    };
    tokens.iter().enumerate().map(token).collect()
}

fn publish<D: Device>(
    device: &D,
    store: &Store,
    args: &ExecuteArgs,
    prepared: &Prepared,
    values: &Values,
    answer: Option<&Answer>,
) -> Result<ExecutionManifest, StageError> {
    let graph = prepared.key.graph();
    let held = |port: &Port| {
        let missing = || StageError::deterministic(format!("'{}' has no values", graph.tensor(port.tensor).name));
        values[port.tensor.index()].as_ref().ok_or_else(missing)
    };
    let integers =
        |ports: &[Port]| ports.iter().map(|port| Ok(held(port)?.to_vec())).collect::<Result<_, StageError>>();
    let sampling = answer.and_then(|answer| answer.sampling);
    let statement = Statement { inputs: integers(graph.given())?, outputs: integers(&graph.outputs)?, sampling };
    // Cached decoding and the one pass that is proved are the same integers.
    let generated = verifier::generated(&prepared.key, &statement).map_err(StageError::deterministic)?;
    if generated.as_ref() != answer.map(|answer| &answer.generated) {
        return Err(StageError::deterministic("the whole pass gives another answer than decoding did"));
    }
    let boundary = prover::commit_boundary(device, &prepared.key, values).map_err(StageError::deterministic)?;
    let output = |port: &Port| {
        let tensor = graph.tensor(port.tensor);
        Ok(match answer {
            Some(answer) => said(&tensor.name, answer),
            None => describe(&tensor.name, &tensor.shape, port, held(port)?),
        })
    };
    Ok(ExecutionManifest {
        setup: args.setup,
        subgraphs: prepared.manifest.weights.len() as u32,
        statement: put_encoded(store, &(statement.inputs, statement.outputs, sampling))?,
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
        ..Output::default()
    }
}

/// An answer for people: its tokens, and what they say.
fn said(name: &str, answer: &Answer) -> Output {
    let tokens = &answer.generated.answer;
    Output {
        name: name.into(),
        shape: vec![tokens.len() as u64],
        class: None,
        values: tokens.iter().take(limits::OUTPUT_VALUES).map(|&token| token.into()).collect(),
        text: answer.text.as_ref().map(|text| text.chars().take(limits::OUTPUT_TEXT).collect()),
        // A seed came as such a number.
        drawn: answer.sampling.map(|s| Drawn { seed: s.seed as i64, temperature: Temperature(s.temperature) }),
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
