//! Transformers from a checkpoint: a table of architectures ([`architecture`]), the numbers of one model ([`config`]), and
//! the one float graph that all of them are ([`network`]); import, perplexity and generation.

mod architecture;
mod checkpoint;
mod config;
mod generate;
mod network;
mod perplexity;
mod windows;

use crate::float::{Graph as FloatGraph, execute};
use crate::import::{self, ImportError};
use crate::{ImportOptions, Model};
pub use architecture::Head;
pub use checkpoint::open;
pub use config::{Config, ConfigError};
use formats::FormatError;
pub use generate::{GenerateError, Generation, Prompt};
pub use network::Output;
pub use perplexity::{Evaluation, Perplexity, PerplexityError};
use thiserror::Error;
use verifier::graph::Interface;
pub use windows::{calibration_windows, spread, windows};

/// Named tensors of a checkpoint.
pub trait Tensors {
    /// Whether there is one of this name.
    fn has(&self, name: &str) -> bool;
    /// Length of its first axis.
    fn rows(&self, name: &str) -> Option<usize>;
    /// Its values, row-major.
    ///
    /// # Errors
    /// A missing tensor, another shape, a file that cannot be read.
    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError>;
}

/// A language model that cannot be imported or run.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum LanguageError {
    /// A tensor that the file lacks.
    #[error("the checkpoint has no tensor '{0}'")]
    Missing(String),
    /// A tensor that cannot be read.
    #[error(transparent)]
    Tensor(#[from] FormatError),
    /// A weight that is no number.
    #[error("tensor '{tensor}': element {index} is {value}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Position of the element.
        index: usize,
        /// Its value.
        value: f32,
    },
    /// A sequence that is empty or longer than the model's context.
    #[error("{length} tokens were asked for; the model takes 1 to {context}")]
    Length {
        /// Tokens asked for.
        length: usize,
        /// Most tokens.
        context: usize,
    },
    /// An output that the architecture does not have.
    #[error("the model ends in {head:?}, which gives no {output:?}")]
    Output {
        /// What was asked for.
        output: Output,
        /// What the model ends in.
        head: Head,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The integer model.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Imports a model for sequences of `length` tokens. The samples of `options` are lists of token numbers, one list each.
///
/// # Errors
/// See [`LanguageError`].
pub fn import(
    config: &Config,
    weights: &dyn Tensors,
    length: usize,
    output: Output,
    options: &ImportOptions,
) -> Result<Model, LanguageError> {
    let float = network::build(config, weights, length, output)?;
    let (answers, samples) = match output {
        Output::Answers(answers) => (answers, false),
        Output::Samples(answers) => (answers, true),
        Output::Logits(_) | Output::Embedding => return Ok(import::quantised(float, options)?.model),
    };
    // The last positions, where answers have most to look back at.
    let placed = |sample: &Vec<Vec<f32>>| sample.iter().cloned().chain([vec![(length - answers) as f32]]).collect();
    let options = ImportOptions { samples: options.samples.iter().map(placed).collect(), ..options.clone() };
    let mut model = import::quantised(float, &options)?.model;
    model.graph.interface = Interface::Generation(verifier::generation::Generation { tokenizer: None, samples });
    Ok(model)
}

/// The model in floating point.
pub struct Reference {
    graph: FloatGraph,
}

impl Reference {
    /// The model for sequences of `length` tokens.
    ///
    /// # Errors
    /// See [`LanguageError`].
    pub fn new(config: &Config, weights: &dyn Tensors, length: usize, output: Output) -> Result<Self, LanguageError> {
        Ok(Self { graph: network::build(config, weights, length, output)? })
    }

    /// The output for a sequence of the model's length, row-major.
    pub fn run(&self, tokens: &[u32]) -> Vec<f64> {
        let input = vec![tokens.iter().map(|&t| f64::from(t)).collect()];
        let mut result = Vec::new();
        execute::run(&self.graph, &input, &mut |value, data| {
            if value == self.graph.outputs[0].1 {
                result = data.to_vec();
            }
        });
        result
    }
}
