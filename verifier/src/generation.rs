//! Generation: how the public values of a language model say "after this prompt the model goes on with this answer".
//!
//! Relation: at each position from the prompt's last on, the model chose the token that the sequence has next. The graph proves the
//! choices, for the sequence that it reads; here they are compared with that sequence, so the answer is the model's own.

use crate::graph::{Graph, Interface, Port};
use crate::sampling::{self, MAX_EXPONENT, Sampling};
use crate::transcript::Digest;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A model that goes on with a prompt. Its inputs are the sequence, `[length]` tokens, and the position of the prompt's last
/// token, `[1]`; its output is the token chosen at that position and at each that follows it, `[answers]`. A model that samples has
/// the noise of every choice as a third input, `[answers, vocabulary]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// BLAKE3 of the tokenizer's file, which says what text the tokens are; none if the model came without one.
    pub tokenizer: Option<Digest>,
    /// Whether the choices can be drawn: see [`crate::sampling`].
    pub samples: bool,
}

/// A prompt and what the model made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Tokens given.
    pub prompt: Vec<u32>,
    /// Tokens chosen by the model, each after reading all before it; at least one.
    pub answer: Vec<u32>,
}

/// Public values that are no generation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenerationError {
    /// The sequence is not the one that the model was proved to choose, nor its padding.
    #[error("position {position} of the sequence holds token {found}; {expected} was expected")]
    Token {
        /// Position in the sequence.
        position: usize,
        /// What would be right there.
        expected: i64,
        /// What is there.
        found: i64,
    },
    /// The prompt and the answer do not fit the model.
    #[error(
        "a prompt of {prompt} and an answer of {answer} tokens; this model takes 1 to {most_prompt}, and answers 1 to {most_answer}"
    )]
    Length {
        /// Tokens of the prompt.
        prompt: usize,
        /// Most that fit.
        most_prompt: usize,
        /// Tokens of the answer.
        answer: usize,
        /// Most that fit.
        most_answer: usize,
    },
    /// The graph does not generate, or values are missing.
    #[error("the model does not generate")]
    Interface,
}

/// Lengths that a generating graph fixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Tokens of the sequence that it reads.
    pub sequence: usize,
    /// Tokens that it chooses at most.
    pub answer: usize,
}

impl Lengths {
    /// Lengths of a graph; `None` if it does not generate.
    pub fn of(graph: &Graph) -> Option<Self> {
        let (Interface::Generation(_), [sequence, _], [answer]) = (&graph.interface, graph.given(), &graph.outputs[..])
        else {
            return None;
        };
        Some(Self { sequence: graph.tensor(sequence.tensor).len(), answer: graph.tensor(answer.tensor).len() })
    }

    /// Most tokens of a prompt: every prompt leaves room for a whole answer.
    pub const fn prompt(&self) -> usize {
        (self.sequence + 1).saturating_sub(self.answer)
    }
}

/// Checks the ports of a graph that says it generates.
///
/// # Errors
/// What does not fit.
pub(crate) fn check(graph: &Graph) -> Result<(), String> {
    let noise = graph.noise();
    let ([sequence, last], [answer]) = (graph.given(), &graph.outputs[..]) else {
        let (found, expected) = (graph.inputs.len(), 2 + usize::from(noise.is_some()));
        return Err(format!("{found} inputs and {} outputs, not {expected} and 1", graph.outputs.len()));
    };
    if [sequence, last, answer].iter().any(|port| port.exponent != 0) {
        return Err("a port that does not hold whole numbers".into());
    }
    let [sequence, last, answer] = [sequence, last, answer].map(|port| graph.tensor(port.tensor));
    let (&[length], &[1], &[answers]) = (&sequence.shape[..], &last.shape[..], &answer.shape[..]) else {
        return Err("the ports' shapes are not [length], [1] and [answers]".into());
    };
    if answers > length || last.lo != 0 || usize::try_from(last.hi) != Ok(length - answers) {
        return Err(format!("prompts do not end at 0..={} in {length} tokens with {answers} answers", last.hi));
    }
    // Tokens are 32-bit numbers, and there are two, for padding that differs from any token.
    if sequence.lo != 0 || !(1..1 << 32).contains(&sequence.hi) || answer.lo < 0 || answer.hi > sequence.hi {
        return Err(format!(
            "tokens in {}..={} are answered in {}..={}",
            sequence.lo, sequence.hi, answer.lo, answer.hi
        ));
    }
    noise.map_or(Ok(()), |noise| check_noise(graph, noise, answers, sequence.hi + 1))
}

fn check_noise(graph: &Graph, port: Port, answers: usize, vocabulary: i64) -> Result<(), String> {
    let tensor = graph.tensor(port.tensor);
    if tensor.shape.len() != 2 || tensor.shape[0] != answers || i64::try_from(tensor.shape[1]) != Ok(vocabulary) {
        return Err(format!("the noise's shape is {:?}, not [{answers}, {vocabulary}]", tensor.shape));
    }
    if !(0..=MAX_EXPONENT).contains(&port.exponent) {
        return Err(format!("noise with {} binary digits after the point, not 0 to {MAX_EXPONENT}", port.exponent));
    }
    let (lo, hi) = sampling::range(port.exponent);
    if tensor.lo > lo || tensor.hi < hi {
        return Err(format!("noise in {lo}..={hi} does not fit {}..={}", tensor.lo, tensor.hi));
    }
    Ok(())
}

/// The noise of a model that samples, `[answers, vocabulary]`, for a prompt whose last token has this position; zeros without a
/// sampling, so that the choices are the most likely tokens. `None` if the model does not sample.
pub fn noise(graph: &Graph, last: usize, sampling: Option<Sampling>) -> Option<Vec<i64>> {
    let port = graph.noise()?;
    let tensor = graph.tensor(port.tensor);
    let (Some(sampling), &[answers, vocabulary]) = (sampling, &tensor.shape[..]) else {
        return Some(alloc::vec![0; tensor.len()]);
    };
    Some((last..last + answers).flat_map(|position| sampling.noise(position, vocabulary, port.exponent)).collect())
}

/// What follows an answer that ends with `token`: a token that is not this one, then zeros. So the sequence shows where the answer ends.
const fn after(token: i64) -> i64 {
    if token == 0 { 1 } else { 0 }
}

/// The inputs of the graph for a prompt and its answer: the sequence, without the answer's last token, padded; and where the prompt ends.
///
/// # Errors
/// If they do not fit.
pub fn inputs(lengths: Lengths, generated: &Generated) -> Result<[Vec<i64>; 2], GenerationError> {
    let Generated { prompt, answer } = generated;
    let fits = (1..=lengths.prompt()).contains(&prompt.len()) && (1..=lengths.answer).contains(&answer.len());
    let (true, Some((&end, read))) = (fits, answer.split_last()) else {
        return Err(GenerationError::Length {
            prompt: prompt.len(),
            most_prompt: lengths.prompt(),
            answer: answer.len(),
            most_answer: lengths.answer,
        });
    };
    let tokens = prompt.iter().chain(read).map(|&t| i64::from(t));
    let padding = core::iter::once(after(end.into())).chain(core::iter::repeat(0));
    Ok([tokens.chain(padding).take(lengths.sequence).collect(), alloc::vec![prompt.len() as i64 - 1]])
}

/// Reads prompt and answer from public values that fit the graph's ports. The answer goes on as long as the sequence follows the
/// model's choices.
///
/// # Errors
/// If the sequence leaves them for anything but its padding.
pub fn read(graph: &Graph, inputs: &[Vec<i64>], outputs: &[Vec<i64>]) -> Result<Generated, GenerationError> {
    let ([sequence, last], [choices]) = (inputs, outputs) else { return Err(GenerationError::Interface) };
    let lengths = Lengths::of(graph).ok_or(GenerationError::Interface)?;
    let prompt = last.first().and_then(|&last| usize::try_from(last).ok()?.checked_add(1)).unwrap_or(usize::MAX);
    if prompt > lengths.prompt() || sequence.len() != lengths.sequence || choices.len() != lengths.answer {
        return Err(GenerationError::Interface);
    }
    let token = |&t: &i64| u32::try_from(t).map_err(|_| GenerationError::Interface);
    let (given, rest) = sequence.split_at(prompt);
    // The choice after the first `followed` is the answer's last: the sequence does not read it, or holds something else.
    let followed = rest.iter().zip(choices).take_while(|(next, choice)| next == choice).count().min(choices.len() - 1);
    let answer = &choices[..=followed];
    let padding = core::iter::once(after(choices[followed])).chain(core::iter::repeat(0));
    for (offset, (&found, expected)) in rest[followed..].iter().zip(padding).enumerate() {
        if found != expected {
            return Err(GenerationError::Token { position: prompt + followed + offset, expected, found });
        }
    }
    Ok(Generated {
        prompt: given.iter().map(token).collect::<Result<_, _>>()?,
        answer: answer.iter().map(token).collect::<Result<_, _>>()?,
    })
}
