//! Generation, token by token, by the integer model that is proved.
//!
//! The proved graph finds the answer's positions by an input; here they are known from the start, so the rows that it would choose
//! are a slice, and the graph runs position by position with cached keys and values. A graph that samples ends at the sum of logits and
//! noise here: of which the largest is found without it. The integers are the same.

use crate::{Cache, CacheError};
use kernels::{Cpu, IntegerDevice};
use std::collections::BTreeMap;
use thiserror::Error;
use verifier::generation::Lengths;
use verifier::graph::{AxisGroup, Einsum, Graph, IndexMap, Interface, Op, Port, Source, TensorId, View};
use verifier::sampling::Sampling;

/// A generation that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GenerateError {
    /// A prompt without tokens.
    #[error("the prompt is empty")]
    Empty,
    /// A prompt that leaves no room for an answer.
    #[error("the prompt has {found} tokens; this model takes at most {most}: it reads {} and answers with up to {}", .lengths.sequence, .lengths.answer)]
    Prompt {
        /// Tokens of the prompt.
        found: usize,
        /// Greatest number.
        most: usize,
        /// What the model was set up for.
        lengths: Lengths,
    },
    /// A model that does not choose tokens, or not in the way that a language model's graph does.
    #[error("the model does not generate: {0}")]
    NotGenerating(&'static str),
    /// Choices are to be drawn that the model cannot draw.
    #[error("the model does not sample: it was set up to choose the most likely tokens")]
    NotSampling,
    /// The run.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A prompt, and the graph as it is for prompts of this length.
#[derive(Clone, Debug)]
pub struct Prompt {
    graph: Graph,
    noisy: Option<Noisy>,
    tokens: Vec<i64>,
}

/// The sum of logits and noise: factors of both, and the noise's form.
#[derive(Clone, Copy, Debug)]
struct Noisy {
    logits: i64,
    noise: i64,
    port: Port,
}

impl Prompt {
    /// Fits a prompt to a graph that generates.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn new(graph: &Graph, tokens: &[u32]) -> Result<Self, GenerateError> {
        let lengths = Lengths::of(graph).ok_or(GenerateError::NotGenerating("its outputs are no tokens"))?;
        if tokens.is_empty() {
            return Err(GenerateError::Empty);
        }
        if tokens.len() > lengths.prompt() {
            return Err(GenerateError::Prompt { found: tokens.len(), most: lengths.prompt(), lengths });
        }
        let (graph, noisy) = match graph.noise() {
            Some(port) => without_noise(graph, port).map(|(graph, noisy)| (graph, Some(noisy))),
            None => Ok((graph.clone(), None)),
        }
        .map_err(GenerateError::NotGenerating)?;
        let graph = placed(graph, tokens.len() - 1).map_err(GenerateError::NotGenerating)?;
        Ok(Self { graph, noisy, tokens: tokens.iter().map(|&t| t.into()).collect() })
    }

    /// Reads the prompt; the answer is what the iterator then gives, as many tokens as the model was set up for. Without a sampling
    /// they are the most likely ones.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn answer<'a, D: IntegerDevice>(
        &'a self,
        device: &'a D,
        weights: &'a BTreeMap<TensorId, D::Integers>,
        sampling: Option<Sampling>,
    ) -> Result<Generation<'a, D>, GenerateError> {
        if sampling.is_some() && self.noisy.is_none() {
            return Err(GenerateError::NotSampling);
        }
        let left = self.graph.tensor(self.graph.outputs[0].tensor).shape.first().copied().unwrap_or(0);
        let cache = Cache::new(device, &self.graph, weights)?;
        Ok(Generation { cache, noisy: self.noisy, sampling, unread: self.tokens.clone(), left })
    }
}

/// An answer that grows: an iterator over its tokens.
pub struct Generation<'a, D: IntegerDevice = Cpu> {
    cache: Cache<'a, D>,
    noisy: Option<Noisy>,
    sampling: Option<Sampling>,
    unread: Vec<i64>,
    left: usize,
}

impl<D: IntegerDevice> Generation<'_, D> {
    fn choose(&mut self) -> Result<u32, GenerateError> {
        // One output, or logits in pieces.
        let computed = self.cache.extend(&self.unread)?.concat();
        let token = match self.noisy {
            None => computed.last().copied(),
            Some(noisy) => noisy.largest(&computed, self.cache.len() - 1, self.sampling),
        };
        let token = token.ok_or(GenerateError::NotGenerating("it chose no token"))?;
        self.unread = vec![token];
        u32::try_from(token).map_err(|_| GenerateError::NotGenerating("it chose a token below 0"))
    }
}

impl Noisy {
    /// The token whose sum is the largest, the smallest such, after the model has read this position.
    fn largest(self, logits: &[i64], position: usize, sampling: Option<Sampling>) -> Option<i64> {
        let noise = match sampling {
            Some(sampling) => sampling.noise(position, logits.len(), self.port.exponent),
            None => vec![0; logits.len()],
        };
        let sums = logits.iter().zip(noise).map(|(&x, noise)| self.logits * x + self.noise * noise);
        sums.enumerate().rev().max_by_key(|&(_, sum)| sum).map(|(token, _)| token as i64)
    }
}

impl<D: IntegerDevice> Iterator for Generation<'_, D> {
    type Item = Result<u32, GenerateError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let token = self.choose();
        if token.is_err() {
            self.left = 0;
        }
        Some(token)
    }
}

/// The graph up to the logits that noise is added to, in one piece or several, and how it is added.
fn without_noise(graph: &Graph, noise: Port) -> Result<(Graph, Noisy), &'static str> {
    const OTHERWISE: &str = "it adds noise in another way";
    // The noise, and parts of it.
    let mut parts = vec![noise.tensor];
    let mut sums = Vec::new();
    for node in &graph.nodes {
        match &node.op {
            Op::View(view) if view.input == noise.tensor => parts.push(view.output),
            op if op.inputs().iter().any(|t| parts.contains(t)) => sums.push(op),
            _ => {}
        }
    }
    let sum = |op: &&Op| {
        let Op::Einsum(sum) = op else { return Err(OTHERWISE) };
        let [logits, added] = &sum.terms[..] else { return Err(OTHERWISE) };
        let ([x], [y]) = (&logits.operands[..], &added.operands[..]) else { return Err(OTHERWISE) };
        if !parts.contains(&y.tensor) || x.labels != sum.out_labels || y.labels != sum.out_labels {
            return Err(OTHERWISE);
        }
        let port = Port { tensor: x.tensor, exponent: noise.exponent };
        Ok((port, Noisy { logits: logits.coefficient, noise: added.coefficient, port: noise }))
    };
    let sums = sums.iter().map(sum).collect::<Result<Vec<_>, _>>()?;
    let Some(&(_, noisy)) = sums.first() else { return Err(OTHERWISE) };
    let alike = |(_, other): &(Port, Noisy)| (other.logits, other.noise) == (noisy.logits, noisy.noise);
    let tokens = |(port, _): &(Port, Noisy)| graph.tensor(port.tensor).len();
    if !sums.iter().all(alike) || sums.iter().map(tokens).sum::<usize>() != graph.tensor(noise.tensor).len() {
        return Err(OTHERWISE);
    }
    let mut follows = vec![false; graph.tensors.len()];
    follows[noise.tensor.index()] = true;
    let mut ended = graph.clone();
    ended.interface = Interface::Tensors;
    ended.inputs.pop();
    ended.outputs = sums.into_iter().map(|(port, _)| port).collect();
    ended.nodes.retain(|node| {
        let after = node.op.inputs().iter().any(|t| follows[t.index()]);
        node.op.output().filter(|_| after).into_iter().for_each(|t| follows[t.index()] = true);
        !after
    });
    Ok((ended, noisy))
}

/// The graph without its second input, for answers that begin at this position.
fn placed(graph: Graph, first: usize) -> Result<Graph, &'static str> {
    let [sequence, position] = graph.inputs[..] else { return Err("it has other inputs") };
    let mut placed = Graph { inputs: vec![sequence], ..graph.clone() };
    let mut follows = vec![false; graph.tensors.len()];
    follows[position.tensor.index()] = true;
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs = node.op.inputs();
        let computed = |t: &TensorId| graph.tensor(*t).source != Source::Weight;
        let positioned = inputs.iter().filter(|t| follows[t.index()]).count();
        let mut node = node.clone();
        if positioned > 0 && inputs.iter().all(|t| follows[t.index()] || !computed(t)) {
            node.op.output().into_iter().for_each(|t| follows[t.index()] = true);
            continue;
        }
        if positioned > 0 {
            let Op::Einsum(einsum) = &node.op else { return Err("it chooses positions in another way") };
            node.op = Op::View(slice(einsum, &follows, first).ok_or("it chooses positions in another way")?);
        }
        nodes.push(node);
    }
    placed.nodes = nodes;
    Ok(placed)
}

/// `output[j, ..] = sum_i chosen[j, i] x[i, ..]` as a slice of `x` from `first` on.
fn slice(einsum: &Einsum, chosen: &[bool], first: usize) -> Option<View> {
    let [term] = &einsum.terms[..] else { return None };
    let (band, x): (Vec<_>, Vec<_>) = term.operands.iter().partition(|o| chosen[o.tensor.index()]);
    let ([band], [x], 1) = (&band[..], &x[..], term.coefficient) else { return None };
    let &[row, position] = &band.labels[..] else { return None };
    let axis = |label: u8| einsum.out_labels.iter().position(|&l| l == if label == position { row } else { label });
    let group = |(from, &label): (usize, &u8)| {
        let offset = if label == position { first as i64 } else { 0 };
        let map = IndexMap::Affine { offset, strides: vec![1] };
        Some(AxisGroup { input_axes: vec![from], output_axes: vec![axis(label)?], map })
    };
    let groups: Option<Vec<_>> = x.labels.iter().enumerate().map(group).collect();
    Some(View {
        input: x.tensor,
        output: einsum.output,
        groups: groups.filter(|g| g.len() == einsum.out_labels.len())?,
    })
}
