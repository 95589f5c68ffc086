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
use verifier::graph::{Graph, Interface};
pub use windows::{calibration_windows, spread, windows};

/// Name of an encoder's second input.
const LAST_TOKEN: &str = "last token";

/// Most tokens of a text that a graph gives the embedding of; `None` if it is no encoder's.
pub fn longest_text(graph: &Graph) -> Option<usize> {
    let [sequence, last] = graph.inputs[..] else { return None };
    let [sequence, last] = [sequence, last].map(|port| graph.tensor(port.tensor));
    let fits = last.name == LAST_TOKEN && last.shape == [1] && sequence.shape.len() == 1;
    fits.then(|| sequence.len())
}

/// The inputs of an encoder's graph for a text: its tokens, zeros to the end, and the position of the last token. `None` for a text without
/// tokens, or one of more than `longest`.
pub fn text_inputs(longest: usize, tokens: &[u32]) -> Option<[Vec<i64>; 2]> {
    let fits = (1..=longest).contains(&tokens.len());
    let padded = tokens.iter().map(|&t| t.into()).chain(std::iter::repeat(0)).take(longest);
    fits.then(|| [padded.collect(), vec![tokens.len() as i64 - 1]])
}

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
        Output::Logits(_) => return Ok(import::quantised(float, options)?.model),
        Output::Embedding => return Ok(import::quantised(float, &with_shorter_texts(options, length))?.model),
    };
    // The last positions, where answers have most to look back at.
    let placed = |sample: &Vec<Vec<f32>>| sample.iter().cloned().chain([vec![(length - answers) as f32]]).collect();
    let options = ImportOptions { samples: options.samples.iter().map(placed).collect(), ..options.clone() };
    let mut model = import::quantised(float, &options)?.model;
    model.graph.interface = Interface::Generation(verifier::generation::Generation { tokenizer: None, samples });
    Ok(model)
}

/// Every sample as a whole text and, before that, as one that ends earlier: after half of its tokens, a quarter, .., one; so that scales fit
/// texts of all lengths.
fn with_shorter_texts(options: &ImportOptions, length: usize) -> ImportOptions {
    let halvings = length.ilog2().max(1) as usize;
    let ends = |index: usize| [(length >> (1 + index % halvings)).max(1), length];
    let texts = options.samples.iter().enumerate().flat_map(|(index, sample)| {
        let placed = move |end| sample.iter().cloned().chain([vec![(end - 1) as f32]]).collect();
        ends(index).map(placed)
    });
    ImportOptions { samples: texts.collect(), ..options.clone() }
}

/// The model in floating point.
pub struct Reference {
    graph: FloatGraph,
    length: usize,
}

impl Reference {
    /// The model for sequences of `length` tokens.
    ///
    /// # Errors
    /// See [`LanguageError`].
    pub fn new(config: &Config, weights: &dyn Tensors, length: usize, output: Output) -> Result<Self, LanguageError> {
        Ok(Self { graph: network::build(config, weights, length, output)?, length })
    }

    /// The output for a sequence of the model's length, or for a text of at most that, row-major.
    pub fn run(&self, tokens: &[u32]) -> Vec<f64> {
        let padded = tokens.iter().map(|&t| f64::from(t)).chain(std::iter::repeat(0.0)).take(self.length);
        let input = [padded.collect(), vec![tokens.len() as f64 - 1.0]];
        let mut result = Vec::new();
        execute::run(&self.graph, &input, &mut |value, data| {
            if value == self.graph.outputs[0].1 {
                result = data.to_vec();
            }
        });
        result
    }
}
