//! Perplexity: how well a model foretells a text, in integers and in floating point.

use super::Reference;
use crate::{ExecuteError, Model, Values, dequantise, execute};
use kernels::Ints;
use serde::Serialize;
use thiserror::Error;

/// `exp` of the mean cross-entropy of the next token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Perplexity {
    /// Tokens foretold.
    pub tokens: usize,
    /// Of the model in floating point.
    pub float: f64,
    /// Of the model in integers.
    pub integer: f64,
    /// Share of positions at which both find the same token most likely.
    pub agreement: f64,
}

/// A text that the models cannot be measured on.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PerplexityError {
    /// The model does not return logits at all positions.
    #[error("perplexity needs a model that returns logits at every position")]
    NoLogits,
    /// A window of another length.
    #[error("window {window} has {found} tokens; the model's length and the token after it make {expected}")]
    Window {
        /// Its place.
        window: usize,
        /// One more than the sequences of the model.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// A token beyond the vocabulary.
    #[error("window {window} has token {token}; the vocabulary ends at {vocabulary}")]
    Token {
        /// The window's place.
        window: usize,
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
    /// The run.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// Both models on windows of a text, each of one token more than a sequence of the model; the models return logits at all
/// positions.
///
/// # Errors
/// See [`PerplexityError`].
pub fn perplexity(model: &Model, reference: &Reference, windows: &[Vec<u32>]) -> Result<Perplexity, PerplexityError> {
    let (length, vocabulary) = shape(model).ok_or(PerplexityError::NoLogits)?;
    for (place, window) in windows.iter().enumerate() {
        if window.len() != length + 1 {
            return Err(PerplexityError::Window { window: place, expected: length + 1, found: window.len() });
        }
        if let Some(&token) = window.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(PerplexityError::Token { window: place, token, vocabulary });
        }
    }
    let (mut float, mut integer, mut tokens, mut agreed) = (0.0, 0.0, 0usize, 0usize);
    for window in windows {
        let input = &window[..length];
        let expected = reference.run(input);
        let found = logits(model, input)?;
        for (position, &target) in window[1..].iter().enumerate() {
            let row = |all: &[f64]| -> Vec<f64> { all[position * vocabulary..][..vocabulary].to_vec() };
            let (a, b) = (row(&expected), row(&found));
            float += surprise(&a, target);
            integer += surprise(&b, target);
            agreed += usize::from(first_maximum(&a) == first_maximum(&b));
            tokens += 1;
        }
    }
    let n = tokens.max(1) as f64;
    Ok(Perplexity { tokens, float: (float / n).exp(), integer: (integer / n).exp(), agreement: agreed as f64 / n })
}

/// Positions and vocabulary of a model that returns logits at every position.
fn shape(model: &Model) -> Option<(usize, usize)> {
    let graph = &model.graph;
    let (input, output) = (graph.inputs.first()?, graph.outputs.first()?);
    match (graph.tensor(input.tensor).shape.as_slice(), graph.tensor(output.tensor).shape.as_slice()) {
        (&[length], &[positions, vocabulary]) if length == positions => Some((length, vocabulary)),
        _ => None,
    }
}

fn logits(model: &Model, tokens: &[u32]) -> Result<Vec<f64>, ExecuteError> {
    let graph = &model.graph;
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(id, weight)| values[id.index()] = Some(weight.clone()));
    let input: Vec<i64> = tokens.iter().map(|&t| t.into()).collect();
    values[graph.inputs[0].tensor.index()] = Some(Ints::from(input));
    execute(graph, 0..graph.nodes.len() as u32, &mut values)?;
    let port = graph.outputs[0];
    Ok(values[port.tensor.index()].as_ref().map(|v| dequantise(port.exponent, v)).unwrap_or_default())
}

/// `-ln softmax(row)[target]`.
fn surprise(row: &[f64], target: u32) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
    sum.ln() + max - row[target as usize]
}

fn first_maximum(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
