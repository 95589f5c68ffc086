//! Greedy generation, token by token, by the integer model that is proved.

use crate::{Cache, CacheError, Model};
use thiserror::Error;

/// A generation that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenerateError {
    /// A prompt without tokens.
    #[error("the prompt is empty")]
    Empty,
    /// A prompt that leaves no room, or that ends before the first position at which the model answers.
    #[error("the prompt has {found} tokens; this model takes from {least} to {most}")]
    Prompt {
        /// Tokens of the prompt.
        found: usize,
        /// Least number.
        least: usize,
        /// Greatest number.
        most: usize,
    },
    /// The model's last layer does not choose tokens.
    #[error("the model returns no tokens")]
    NoTokens,
    /// The run.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A sequence that grows: an iterator over the tokens that the model appends to a prompt.
pub struct Generation<'a> {
    cache: Cache<'a>,
    next: i64,
    length: usize,
    ended: bool,
}

impl<'a> Generation<'a> {
    /// Reads the prompt. The model's output is its choice of the next token at its last positions.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn new(model: &'a Model, prompt: &[u32]) -> Result<Self, GenerateError> {
        let graph = &model.graph;
        let (Some(input), Some(output)) = (graph.inputs.first(), graph.outputs.first()) else {
            return Err(GenerateError::NoTokens);
        };
        let (input, output) = (graph.tensor(input.tensor), graph.tensor(output.tensor));
        let (&[most], &[answers]) = (&input.shape[..], &output.shape[..]) else { return Err(GenerateError::NoTokens) };
        if prompt.is_empty() {
            return Err(GenerateError::Empty);
        }
        let least = most - answers + 1;
        if !(least..=most).contains(&prompt.len()) {
            return Err(GenerateError::Prompt { found: prompt.len(), least, most });
        }
        let mut cache = Cache::new(graph, &model.weights)?;
        let tokens: Vec<i64> = prompt.iter().map(|&t| t.into()).collect();
        let next = last(&cache.extend(&tokens)?)?;
        Ok(Self { cache, next, length: most, ended: false })
    }

    fn advance(&mut self) -> Result<u32, GenerateError> {
        let token = self.next;
        // The last token that fits is not read again.
        if self.cache.len() == self.length {
            self.ended = true;
        } else {
            self.next = last(&self.cache.extend(&[token])?)?;
        }
        Ok(token as u32)
    }
}

fn last(outputs: &[Vec<i64>]) -> Result<i64, GenerateError> {
    outputs.first().and_then(|tokens| tokens.last()).copied().ok_or(GenerateError::NoTokens)
}

impl Iterator for Generation<'_> {
    type Item = Result<u32, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let token = self.advance();
        self.ended |= token.is_err();
        Some(token)
    }
}
