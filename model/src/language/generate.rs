//! Greedy generation, token by token, by the integer model that is proved.
//!
//! The proved graph finds the answer's positions by an input; here they are known from the start, so the rows that it would choose
//! are a slice, and the graph runs position by position with cached keys and values. The integers are the same.

use crate::{Cache, CacheError};
use kernels::Ints;
use std::collections::BTreeMap;
use thiserror::Error;
use verifier::generation::Lengths;
use verifier::graph::{AxisGroup, Einsum, Graph, IndexMap, Op, TensorId, View};

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
    /// The run.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A prompt, and the graph as it is for prompts of this length.
#[derive(Clone, Debug)]
pub struct Prompt {
    graph: Graph,
    tokens: Vec<i64>,
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
        let graph = placed(graph, tokens.len() - 1).map_err(GenerateError::NotGenerating)?;
        Ok(Self { graph, tokens: tokens.iter().map(|&t| t.into()).collect() })
    }

    /// Reads the prompt; the answer is what the iterator then gives, as many tokens as the model was set up for.
    ///
    /// # Errors
    /// See [`GenerateError`].
    pub fn answer<'a>(&'a self, weights: &'a BTreeMap<TensorId, Ints>) -> Result<Generation<'a>, GenerateError> {
        let left = self.graph.tensor(self.graph.outputs[0].tensor).len();
        Ok(Generation { cache: Cache::new(&self.graph, weights)?, unread: self.tokens.clone(), left })
    }
}

/// An answer that grows: an iterator over its tokens.
pub struct Generation<'a> {
    cache: Cache<'a>,
    unread: Vec<i64>,
    left: usize,
}

impl Generation<'_> {
    fn choose(&mut self) -> Result<u32, GenerateError> {
        let chosen = self.cache.extend(&self.unread)?;
        let token = chosen.first().and_then(|tokens| tokens.last()).copied();
        let token = token.ok_or(GenerateError::NotGenerating("it chose no token"))?;
        self.unread = vec![token];
        u32::try_from(token).map_err(|_| GenerateError::NotGenerating("it chose a token below 0"))
    }
}

impl Iterator for Generation<'_> {
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

/// The graph without its second input, for answers that begin at this position.
fn placed(graph: &Graph, first: usize) -> Result<Graph, &'static str> {
    let [sequence, position] = graph.inputs[..] else { return Err("it has other inputs") };
    let mut placed = Graph { inputs: vec![sequence], ..graph.clone() };
    let mut follows = vec![false; graph.tensors.len()];
    follows[position.tensor.index()] = true;
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs = node.op.inputs();
        let computed = |t: &TensorId| graph.tensor(*t).source != verifier::graph::Source::Weight;
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
