//! Execute: model and inputs in, outputs and committed boundary tensors out. Several inputs are one run of the graph of their batch.

use crds::{
    Digest, Drawn, Output, Temperature,
    contract::{ArtifactRef, ExecuteArgs, ExecutionManifest, Stage, Summary},
    limits,
};
use formats::Tokenizer;
use kernels::{Device, IntegerDevice, Ints};
use model::language::{longest_text, text_inputs};
use prover::{Boundary, Values};
use std::collections::BTreeMap;
use verifier::{
    generation,
    graph::{Graph, Interface, Port, TensorId},
    key::ModelKey,
    statement::{Inference, Statement},
};

use super::{
    Finished, Manifest,
    load::{Prepared, Stored},
    once, put_encoded,
};
use crate::{
    StageError,
    identity::identity,
    input::{self, Draw, Input, Inputs, Prompt},
    language::{self, Answer, Run},
    source::fetch,
    store::Store,
};

pub(super) fn run<D: Device>(device: &D, store: &Store, args: &ExecuteArgs) -> Result<Finished, StageError> {
    let file = fetch(store, &args.input)?;
    let identity = identity(Stage::Execute, &[&args.setup.0, blake3::hash(&file).as_bytes()]);
    once(store, identity, || {
        let inputs = parse(&args.input, &file)?;
        let loaded = Loaded::load(device, store, args.setup)?;
        let Ran { key, statement, boundary, outputs, .. } = loaded.run(device, &args.input, inputs, true)?;
        let inferences = statement.inferences.into_iter();
        let stored: Stored =
            inferences.map(|inference| (inference.inputs, inference.outputs, inference.sampling)).collect();
        Ok(ExecutionManifest {
            setup: args.setup,
            subgraphs: key.partition().count,
            statement: put_encoded(store, &stored)?,
            boundary: put_encoded(store, &boundary)?,
            outputs,
        })
    })
}

/// The inputs that a file has; errors name its `label`.
pub(crate) fn parse(label: &str, file: &[u8]) -> Result<Vec<Input>, StageError> {
    input::parse_any(file).map_err(|error| StageError::deterministic(format!("{label}: {error}")))
}

/// A model, all of whose weights are on a device.
pub(crate) struct Loaded<D: Device> {
    key: ModelKey,
    weights: BTreeMap<TensorId, D::Integers>,
    tokenizer: Option<Tokenizer>,
}

/// A model that was run on inputs.
pub(crate) struct Ran<D: Device> {
    /// For as many inferences as there are inputs.
    pub key: ModelKey,
    /// Of every tensor of their graph.
    pub values: Values<D>,
    pub statement: Statement,
    pub boundary: Boundary,
    /// For people.
    pub outputs: Vec<Output>,
}

impl<D: Device> Loaded<D> {
    pub fn load(device: &D, store: &Store, setup: Digest) -> Result<Self, StageError> {
        let prepared = Prepared::load(store, setup)?;
        let tokenizer = prepared.tokenizer(store)?;
        let weights = prepared.all_weights(store)?.into_iter();
        let weights = weights.map(|(tensor, weight)| (tensor, device.upload_integers(weight))).collect();
        Ok(Self { key: prepared.key, weights, tokenizer })
    }

    /// Runs the model on inputs, and commits to the boundary. Errors name the inputs' `label`; the tokens of an answer are said at once, or
    /// not.
    pub fn run(&self, device: &D, label: &str, inputs: Vec<Input>, says: bool) -> Result<Ran<D>, StageError> {
        let refuse = |error: &dyn ToString| StageError::deterministic(format!("{label}: {}", error.to_string()));
        let key = batch_key(&self.key, inputs.len()).map_err(|error| refuse(&error))?;
        let (weights, tokenizer) = (&self.weights, self.tokenizer.as_ref());
        let run = Run { device, model: key.model(), weights, tokenizer, says };
        let count = inputs.len();
        let given = inputs.into_iter().enumerate().map(|(index, input)| {
            let place = (count > 1).then_some(index as u32);
            run.given(input, place).map_err(|error| match place {
                Some(index) => refuse(&format!("inputs[{index}]: {error}")),
                None => refuse(&error),
            })
        });
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let graph = key.graph();
        let mut values: Values<D> = vec![None; graph.tensors.len()];
        for (place, port) in graph.inputs.iter().enumerate() {
            let all: Vec<i64> = given.iter().flat_map(|given| given.inputs[place].to_vec()).collect();
            values[port.tensor.index()] = Some(device.upload_integers(Ints::from(all)));
        }
        weights.iter().for_each(|(tensor, weight)| values[tensor.index()] = Some(weight.clone()));
        model::execute(device, graph, 0..graph.nodes.len() as u32, &mut values).map_err(|error| refuse(&error))?;
        let (statement, outputs) = state(device, &key, &values, &given)?;
        let boundary = prover::commit_boundary(device, &key, &values).map_err(StageError::deterministic)?;
        Ok(Ran { key, values, statement, boundary, outputs })
    }
}

/// The key for so many inferences, if they can be proved together as securely as the model's key demands.
fn batch_key(key: &ModelKey, count: usize) -> Result<ModelKey, String> {
    let key = key.for_batch(count).map_err(|error| error.to_string())?;
    prover::check_security(&key).map_err(|error| format!("{count} inputs: {error}"))?;
    Ok(key)
}

/// An input as the model's graph takes it.
struct Given {
    /// For each input of the graph its integers.
    inputs: Vec<Ints>,
    /// What a model that generates goes on with.
    answer: Option<Answer>,
}

impl<D: IntegerDevice> Run<'_, D> {
    /// `place` is that of the input among several.
    fn given(&self, input: Input, place: Option<u32>) -> Result<Given, String> {
        let Interface::Generation(_) = self.model.interface else {
            return Ok(Given { inputs: self.tensors(input)?, answer: None });
        };
        let answer = self.answer(input, place)?;
        let lengths = generation::Lengths::of(self.model).ok_or("the model does not generate")?;
        let inputs = generation::inputs(lengths, &answer.generated).map_err(|error| error.to_string())?;
        let noise = generation::noise(self.model, answer.generated.prompt.len() - 1, answer.sampling);
        Ok(Given { inputs: inputs.into_iter().chain(noise).map(Ints::from).collect(), answer: Some(answer) })
    }

    /// The integers of a model's inputs.
    fn tensors(&self, input: Input) -> Result<Vec<Ints>, String> {
        let model = self.model;
        let draw = match &input {
            Input::Values(_, draw) => *draw,
            Input::Prompt(prompt) => prompt.draw(),
        };
        if draw != Draw::default() {
            return Err("seed and temperature are for a language model's answer, and this model gives none".into());
        }
        if let Some(longest) = longest_text(model) {
            return self.text(input, longest);
        }
        let inputs: Inputs = match input {
            Input::Values(inputs, _) => inputs,
            Input::Prompt(prompt) => {
                let tokens = language::tokens_of(model, self.tokenizer, &prompt)?;
                vec![tokens.into_iter().map(|token| token as f32).collect()]
            }
        };
        if inputs.len() != model.inputs.len() {
            return Err(format!("{} inputs are given; the model has {}", inputs.len(), model.inputs.len()));
        }
        let quantised = |(index, reals): (usize, &Vec<f32>)| model::quantise_input(model, index, reals);
        inputs.iter().enumerate().map(quantised).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// The integers of an encoder's inputs: a text, given as such or, as the one list of values, in tokens.
    fn text(&self, input: Input, longest: usize) -> Result<Vec<Ints>, String> {
        let tokens = match input {
            Input::Values(inputs, _) => given_tokens(self.model, &inputs)?,
            Input::Prompt(prompt) => language::tokens_of(self.model, self.tokenizer, &prompt)?,
        };
        let inputs = text_inputs(longest, &tokens).ok_or_else(|| {
            format!(
                "the text has {} tokens; the model was set up for 1 to {longest} (spec.model.tokens.sequence)",
                tokens.len()
            )
        })?;
        Ok(inputs.map(Ints::from).to_vec())
    }

    /// What a language model answers to a prompt, given as a text or, as the one list of values, in tokens.
    fn answer(&self, input: Input, place: Option<u32>) -> Result<Answer, String> {
        let (tokens, draw, prompt) = match input {
            Input::Prompt(prompt) => (language::tokens_of(self.model, self.tokenizer, &prompt)?, prompt.draw(), prompt),
            Input::Values(inputs, draw) => (given_tokens(self.model, &inputs)?, draw, Prompt::default()),
        };
        let sampling = language::sampling(self.model, draw)?;
        self.generate(tokens, &prompt, sampling, place)
    }
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

/// What there is to say of a run: the statement, and its outputs for people.
fn state<D: Device>(
    device: &D,
    key: &ModelKey,
    values: &Values<D>,
    given: &[Given],
) -> Result<(Statement, Vec<Output>), StageError> {
    let model = key.model();
    let public = model.given().iter().chain(&model.outputs).map(|port| {
        let missing = || StageError::deterministic(format!("'{}' has no values", model.tensor(port.tensor).name));
        let held = values[port.tensor.index()].as_ref().ok_or_else(missing)?;
        Ok((port.tensor, device.download_integers(held)))
    });
    let public = public.collect::<Result<BTreeMap<TensorId, Ints>, StageError>>()?;
    // The part of a public tensor's values that is an inference's: all of them, if they depend on no input.
    let of = |port: &Port, index: usize| -> Vec<i64> {
        let all = &public[&port.tensor];
        let length = model.tensor(port.tensor).len();
        let start = if all.len() == length { 0 } else { index * length };
        (start..start + length).map(|element| all.get(element)).collect()
    };
    let integers = |ports: &[Port], index| ports.iter().map(|port| of(port, index)).collect::<Vec<_>>();
    let inference = |(index, given): (usize, &Given)| {
        let sampling = given.answer.as_ref().and_then(|answer| answer.sampling);
        Inference { inputs: integers(model.given(), index), outputs: integers(&model.outputs, index), sampling }
    };
    let inferences: Vec<Inference> = given.iter().enumerate().map(inference).collect();
    let outputs = inferences.iter().zip(given).enumerate().flat_map(|(index, (inference, given))| {
        let input = (inferences.len() > 1).then_some(index as u32);
        let ports = model.outputs.iter().zip(&inference.outputs).take(limits::OUTPUTS);
        ports.map(move |(port, integers)| Output { input, ..output(model, port, integers, given) })
    });
    let outputs = outputs.collect();
    let statement = Statement { inferences };
    // Cached decoding and the one pass that is proved are the same integers.
    let generated = verifier::generated(key, &statement).map_err(StageError::deterministic)?;
    if !generated.iter().eq(given.iter().filter_map(|given| given.answer.as_ref().map(|answer| &answer.generated))) {
        return Err(StageError::deterministic("the whole pass gives another answer than decoding did"));
    }
    Ok((statement, outputs))
}

/// An output for people.
fn output(model: &Graph, port: &Port, integers: &[i64], given: &Given) -> Output {
    let tensor = model.tensor(port.tensor);
    match &given.answer {
        Some(answer) => said(&tensor.name, answer),
        None => describe(&tensor.name, &tensor.shape, port, integers),
    }
}

/// An output's class, if it is one row of scores, and its first values.
fn describe(name: &str, shape: &[usize], port: &Port, scores: &[i64]) -> Output {
    let is_row = scores.len() > 1 && shape.last() == Some(&scores.len());
    // The first of the largest: ties go to the smaller class.
    let largest = scores.iter().enumerate().rev().max_by_key(|&(_, score)| score).map(|(class, _)| class as u64);
    Output {
        name: name.into(),
        shape: shape.iter().map(|&length| length as u64).collect(),
        class: largest.filter(|_| is_row),
        values: model::dequantise(port.exponent, &Ints::from(scores.to_vec()))
            .into_iter()
            .take(limits::OUTPUT_VALUES)
            .collect(),
        ..Output::default()
    }
}

/// An answer's tokens, and what they say.
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
        ..Output::default()
    }
}

impl Manifest for ExecutionManifest {
    fn listed(&self) -> Vec<ArtifactRef> {
        vec![self.statement, self.boundary]
    }

    fn summary(&self) -> Summary {
        Summary::Outputs(self.outputs.iter().take(limits::ALL_OUTPUTS).cloned().collect())
    }
}
