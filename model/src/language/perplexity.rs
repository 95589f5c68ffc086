//! Perplexity: how well a model foretells a text, in integers and in floating point, side by side.

use super::{Config, LanguageError, Output, Tensors, network};
use crate::import::{self, Imported};
use crate::quantise::unsettle_masks;
use crate::report::{AccuracyReport, Comparison, Tally};
use crate::{ExecuteError, ImportOptions, InputError, Model};
use kernels::{Ints, with_ints};
use rayon::prelude::*;
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

/// A window that the models cannot be measured on.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PerplexityError {
    /// A window of another length.
    #[error("the window has {found} tokens; the model's length and the token after it make {expected}")]
    Window {
        /// One more than the sequences of the model.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// A token beyond the vocabulary.
    #[error("the window has token {token}; the vocabulary ends at {vocabulary}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the vocabulary.
        vocabulary: usize,
    },
    /// A token that the integer model does not take.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The run.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// A model in integers and in floating point, and how they have done so far.
pub struct Evaluation {
    imported: Imported,
    length: usize,
    vocabulary: usize,
    tally: Tally,
    positions: Vec<Position>,
}

/// How the models did at one position.
#[derive(Clone, Copy)]
struct Position {
    /// `-ln` of the probability that the model in floating point gave to the token that came.
    float: f64,
    /// The same of the model in integers.
    integer: f64,
    /// Whether both found the same token most likely.
    agree: bool,
}

impl Evaluation {
    /// Imports a model for sequences of `length` tokens, with logits at every position.
    ///
    /// # Errors
    /// See [`LanguageError`].
    pub fn new(
        config: &Config,
        weights: &dyn Tensors,
        length: usize,
        options: &ImportOptions,
    ) -> Result<Self, LanguageError> {
        let mut imported =
            import::quantised(network::build(config, weights, length, Output::Logits(length))?, options)?;
        unsettle_masks(&mut imported.float);
        let tally = comparison(&imported).tally();
        Ok(Self { imported, length, vocabulary: config.vocabulary(), tally, positions: Vec::new() })
    }

    /// The integer model.
    pub fn model(&self) -> &Model {
        &self.imported.model
    }

    /// Runs both models on a window of one token more than a sequence; every token but the first is foretold.
    ///
    /// # Errors
    /// See [`PerplexityError`].
    pub fn window(&mut self, window: &[u32]) -> Result<(), PerplexityError> {
        let (length, vocabulary) = (self.length, self.vocabulary);
        if window.len() != length + 1 {
            return Err(PerplexityError::Window { expected: length + 1, found: window.len() });
        }
        if let Some(&token) = window.iter().find(|&&token| token as usize >= vocabulary) {
            return Err(PerplexityError::Token { token, vocabulary });
        }
        let scale = 2f64.powi(-self.imported.model.graph.outputs[0].exponent);
        let sample = vec![window[..length].iter().map(|&t| t.into()).collect()];
        let mut positions = Vec::new();
        comparison(&self.imported).run::<PerplexityError>(&sample, &mut self.tally, &mut |_, expected, found| {
            positions = (0..length)
                .into_par_iter()
                .map(|position| {
                    let target = window[position + 1] as usize;
                    let row = position * vocabulary..(position + 1) * vocabulary;
                    let (float, first) = score(expected[row.clone()].iter().copied(), target);
                    let (integer, second) = score_integers(found, row, scale, target);
                    Position { float, integer, agree: first == second }
                })
                .collect();
        })?;
        self.positions.append(&mut positions);
        Ok(())
    }

    /// What the windows so far come to.
    pub fn perplexity(&self) -> Perplexity {
        let n = self.positions.len().max(1) as f64;
        let mean = |of: &dyn Fn(&Position) -> f64| self.positions.iter().map(of).sum::<f64>() / n;
        Perplexity {
            tokens: self.positions.len(),
            float: mean(&|p| p.float).exp(),
            integer: mean(&|p| p.integer).exp(),
            agreement: mean(&|p| f64::from(u8::from(p.agree))),
        }
    }

    /// How far every value of the integer model was from that of the model in floating point, over the windows so far.
    pub fn report(&self) -> AccuracyReport {
        comparison(&self.imported).report(&self.tally, self.imported.model.report.warnings.clone())
    }
}

fn comparison(imported: &Imported) -> Comparison<'_> {
    Comparison::new(&imported.float, &imported.model.graph, &imported.model.weights, &imported.values)
}

fn score_integers(logits: &Ints, row: std::ops::Range<usize>, scale: f64, target: usize) -> (f64, usize) {
    with_ints!(logits, v => score(v[row].iter().map(|&x| x as f64 * scale), target))
}

/// `-ln softmax(row)[target]`, and the first place of the maximum.
fn score(row: impl Iterator<Item = f64> + Clone, target: usize) -> (f64, usize) {
    let larger = |best: (usize, f64), (i, x): (usize, f64)| if x > best.1 { (i, x) } else { best };
    let (first, max) = row.clone().enumerate().fold((0, f64::NEG_INFINITY), larger);
    let sum: f64 = row.clone().map(|x| (x - max).exp()).sum();
    let found = row.clone().nth(target).unwrap_or(f64::NEG_INFINITY);
    (sum.ln() + max - found, first)
}
