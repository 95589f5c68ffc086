//! Cuts the final projection into pieces, each for a run of the vocabulary, and the embedding with it: so they can be proved apart.
//!
//! The integers stay what they were. A piece of a weight is some of its rows, in one scale; a token's vector is the sum of what every piece
//! makes of it, 0 from all but its own; logits are joined, or the token is chosen among the choices of the pieces, ties to the first.

use crate::Model;
use crate::float::moves::affine;
use crate::lower::builder::{Builder, Overflow};
use crate::lower::choice::{Choice, keep, term};
use crate::lower::prune::prune;
use kernels::Ints;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use verifier::graph::{
    AdviceRule, AxisGroup, Einsum, Graph, Interface, Lookup, Op, Operand, Source, TensorId, Term, View,
};

/// A graph whose final projection is cut, and where the values of its weights come from.
pub struct Split {
    /// The graph.
    pub graph: Graph,
    /// The new number of each of the old graph's tensors that is still there.
    renumbered: Vec<Option<TensorId>>,
    slices: Vec<Slice>,
    constants: BTreeMap<TensorId, Ints>,
}

/// A piece of a weight.
struct Slice {
    of: TensorId,
    into: TensorId,
    elements: Range<usize>,
}

/// The contraction that ends in one logit for each token, and what follows it.
struct Projection<'a> {
    /// Its place among the nodes.
    node: usize,
    einsum: &'a Einsum,
    /// The weight with a row for each token, and the label along which it is cut.
    weight: TensorId,
    label: u8,
    /// Tokens for each index of that label; the last may be fewer.
    tokens: usize,
    /// What becomes of each logit by itself, up to [`Projection::logits`].
    steps: Vec<Step<'a>>,
    /// Nodes that compute the logits from the projection.
    chain: Vec<usize>,
    /// `[.., vocabulary]`.
    logits: TensorId,
}

/// Something done to every logit.
enum Step<'a> {
    Lookup(&'a Lookup),
    /// A sum with noise.
    Noise(&'a Einsum),
}

/// A sum over the rows of a weight that is cut.
struct Embedding<'a> {
    node: usize,
    einsum: &'a Einsum,
    term: usize,
    weight: TensorId,
    label: u8,
}

/// The graph with its final projection in so many pieces, at most; `None` if it ends in nothing that can be cut.
pub fn split(graph: &Graph, pieces: usize) -> Option<Split> {
    let projection = Projection::find(graph)?;
    let embedding = Embedding::find(graph, &projection);
    if matches!(graph.interface, Interface::Generation(_)) && !is_end(graph, projection.node) {
        return None;
    }
    let rows = projection.einsum.dims[projection.label as usize];
    if pieces < 2 || pieces > rows {
        return None;
    }
    let mut splitting =
        Splitting { graph, builder: Builder::rebuilding(graph), pieces, slices: Vec::new(), sliced: BTreeMap::new() };
    splitting.rebuild(&projection, embedding.as_ref()).ok()?;
    let Splitting { mut builder, slices, .. } = splitting;
    let renumbered = prune(&mut builder);
    let renamed = |slice: Slice| Some(Slice { into: renumbered[slice.into.index()]?, ..slice });
    let slices = slices.into_iter().filter_map(renamed).collect();
    Some(Split { graph: builder.graph, renumbered, slices, constants: builder.weights })
}

impl Split {
    /// Elements of the largest piece of a weight.
    pub fn largest_piece(&self) -> usize {
        self.slices.iter().map(|slice| slice.elements.len()).max().unwrap_or(0)
    }

    /// The model that the graph was of, cut.
    pub fn apply(self, model: Model) -> Model {
        let Self { graph, renumbered, slices, constants } = self;
        let piece = |slice: &Slice| {
            let whole = &model.weights[&slice.of];
            let values: Vec<i64> = slice.elements.clone().map(|element| whole.get(element)).collect();
            (slice.into, Ints::from(values))
        };
        let pieces: Vec<_> = slices.iter().map(piece).collect();
        let kept = model.weights.into_iter().filter_map(|(id, values)| Some((renumbered[id.index()]?, values)));
        Model { graph, weights: kept.chain(pieces).chain(constants).collect(), report: model.report }
    }
}

fn operands(term: &Term) -> impl Iterator<Item = &Operand> {
    term.operands.iter()
}

/// The operand that is a weight with the most elements.
fn largest_weight<'a>(graph: &Graph, term: &'a Term) -> Option<&'a Operand> {
    let weights = operands(term).filter(|o| graph.tensor(o.tensor).source == Source::Weight);
    weights.max_by_key(|o| graph.tensor(o.tensor).len())
}

impl<'a> Projection<'a> {
    fn find(graph: &'a Graph) -> Option<Self> {
        let producer = |tensor: TensorId| match graph.tensor(tensor).source {
            Source::Node(node) => Some((node as usize, &graph.nodes[node as usize].op)),
            Source::Input | Source::Weight => None,
        };
        let readers = |tensor: TensorId| graph.nodes.iter().filter(|node| node.op.inputs().contains(&tensor)).count();
        let generates = matches!(graph.interface, Interface::Generation(_));
        let logits = if generates { chosen_from(graph)? } else { graph.outputs.first()?.tensor };
        let (mut steps, mut chain, mut tensor) = (Vec::new(), Vec::new(), logits);
        loop {
            let (node, op) = producer(tensor)?;
            if tensor != logits && (readers(tensor) != 1 || graph.outputs.iter().any(|port| port.tensor == tensor)) {
                return None;
            }
            tensor = match op {
                Op::View(view) => flattened(graph, view)?,
                Op::Lookup(lookup) => {
                    steps.push(Step::Lookup(lookup));
                    lookup.input
                }
                Op::Einsum(einsum) if graph.noise().is_some_and(|noise| op.inputs().contains(&noise.tensor)) => {
                    steps.push(Step::Noise(einsum));
                    op.inputs().into_iter().find(|t| matches!(graph.tensor(*t).source, Source::Node(_)))?
                }
                Op::Einsum(einsum) => {
                    steps.reverse();
                    return Self::of(graph, node, einsum, logits, steps, chain);
                }
                Op::Advice(_) => return None,
            };
            chain.push(node);
        }
    }

    fn of(
        graph: &Graph,
        node: usize,
        einsum: &'a Einsum,
        logits: TensorId,
        steps: Vec<Step<'a>>,
        chain: Vec<usize>,
    ) -> Option<Self> {
        let weight = einsum.terms.iter().filter_map(|term| Some((term, largest_weight(graph, term)?)));
        let (term, weight) = weight.max_by_key(|(_, o)| graph.tensor(o.tensor).len())?;
        // The labels of the vocabulary: the weight's own, last in the output, first in the weight.
        let others = || operands(term).filter(|o| o.tensor != weight.tensor);
        let own = |l: &u8| weight.labels.contains(l) && !others().any(|o| o.labels.contains(l));
        let count = einsum.out_labels.iter().rev().take_while(|l| own(l)).count();
        let vocabulary = &einsum.out_labels[einsum.out_labels.len() - count..];
        let long = |l: &&u8| einsum.dims[**l as usize] > 1;
        let label = *vocabulary.iter().find(long)?;
        let tokens = vocabulary.iter().skip_while(|l| **l != label).skip(1).map(|&l| einsum.dims[l as usize]).product();
        let cut = Self { node, einsum, weight: weight.tensor, label, tokens, steps, chain, logits };
        let mut all = einsum.terms.iter().flat_map(operands).filter(|o| o.labels.contains(&label));
        all.all(|o| sliceable(graph, &einsum.dims, o, label)).then_some(cut)
    }

    /// The tokens of a range of the label that is cut.
    fn vocabulary(&self, graph: &Graph, rows: &Range<usize>) -> Range<usize> {
        let all = graph.tensor(self.logits).shape.last().copied().unwrap_or(1);
        rows.start * self.tokens..(rows.end * self.tokens).min(all)
    }
}

/// Whether an operand is a weight of which a range along the label is consecutive elements.
fn sliceable(graph: &Graph, dims: &[usize], operand: &Operand, label: u8) -> bool {
    let before = operand.labels.iter().take_while(|l| **l != label);
    graph.tensor(operand.tensor).source == Source::Weight && before.map(|&l| dims[l as usize]).product::<usize>() == 1
}

/// What the tokens that a generating graph returns are chosen from: the choice is all that follows the keys whose maximum is advice.
fn chosen_from(graph: &Graph) -> Option<TensorId> {
    let keys = graph.nodes.iter().rev().find_map(|node| match &node.op {
        Op::Advice(advice) => Some(&advice.rule),
        _ => None,
    });
    let Some(AdviceRule::Max { input }) = keys else { return None };
    let Source::Node(node) = graph.tensor(*input).source else { return None };
    let Op::Einsum(Einsum { terms, .. }) = &graph.nodes[node as usize].op else { return None };
    terms.first()?.operands.first().map(|operand| operand.tensor)
}

/// Whether all nodes that follow depend on this one.
fn is_end(graph: &Graph, node: usize) -> bool {
    let mut follows: BTreeSet<TensorId> = graph.nodes[node].op.output().into_iter().collect();
    graph.nodes[node + 1..].iter().all(|node| {
        follows.extend(node.op.output());
        node.op.inputs().iter().any(|t| Some(*t) != node.op.output() && follows.contains(t))
    })
}

/// The input of a view that joins the last axes, and leaves some elements at the end away; all other axes stay.
fn flattened(graph: &Graph, view: &View) -> Option<TensorId> {
    let (from, to) = (&graph.tensor(view.input).shape, &graph.tensor(view.output).shape);
    let last = to.len().checked_sub(1)?;
    let long =
        |axes: &[usize], shape: &[usize]| -> Vec<usize> { axes.iter().copied().filter(|&a| shape[a] > 1).collect() };
    let stays = |group: &AxisGroup| {
        let (inputs, outputs) = (long(&group.input_axes, from), long(&group.output_axes, to));
        let joins = outputs == [last] && inputs.iter().copied().eq((last..from.len()).filter(|&a| from[a] > 1));
        joins || (inputs == outputs && inputs.iter().all(|&a| a < last && from[a] == to[a]))
    };
    let in_place = |group: &AxisGroup| group.indices(from, to).into_iter().enumerate().all(|(i, j)| j == Some(i));
    view.groups.iter().all(|group| stays(group) && in_place(group)).then_some(view.input)
}

impl<'a> Embedding<'a> {
    /// Where the projection's weight is read before; or else the first contraction with as large a weight.
    fn find(graph: &'a Graph, projection: &Projection<'_>) -> Option<Self> {
        let size = graph.tensor(projection.weight).len();
        let nodes = graph.nodes.iter().enumerate().take(projection.node);
        let terms = nodes.filter_map(|(node, n)| if let Op::Einsum(e) = &n.op { Some((node, e)) } else { None });
        let terms = terms.flat_map(|(node, e)| e.terms.iter().enumerate().map(move |(term, t)| (node, e, term, t)));
        let tied = graph.nodes.iter().take(projection.node).any(|n| n.op.inputs().contains(&projection.weight));
        let mut read = terms.filter_map(|(node, einsum, term, t)| {
            let weight = largest_weight(graph, t)?;
            let fits =
                if tied { weight.tensor == projection.weight } else { graph.tensor(weight.tensor).len() >= size };
            fits.then_some((node, einsum, term, t, weight))
        });
        let (node, einsum, term, t, weight) = read.next()?;
        let label = *weight.labels.iter().find(|l| einsum.dims[**l as usize] > 1)?;
        let summed =
            !einsum.out_labels.contains(&label) && operands(t).filter(|o| o.labels.contains(&label)).count() == 2;
        summed.then_some(Self { node, einsum, term, weight: weight.tensor, label })
    }
}

struct Splitting<'a> {
    graph: &'a Graph,
    builder: Builder,
    pieces: usize,
    slices: Vec<Slice>,
    sliced: BTreeMap<(TensorId, usize), TensorId>,
}

impl Splitting<'_> {
    /// The rows of a piece, of so many.
    fn rows(&self, piece: usize, rows: usize) -> Range<usize> {
        piece * rows / self.pieces..(piece + 1) * rows / self.pieces
    }

    fn rebuild(&mut self, projection: &Projection<'_>, embedding: Option<&Embedding<'_>>) -> Result<(), Overflow> {
        let generates = matches!(self.graph.interface, Interface::Generation(_));
        for (index, node) in self.graph.nodes.iter().enumerate() {
            self.builder.layer.clone_from(&node.name);
            match embedding {
                Some(embedding) if embedding.node == index => self.embed(embedding)?,
                _ if index == projection.node => self.project(projection)?,
                _ if projection.chain.contains(&index) || (generates && index > projection.node) => {}
                _ => self.builder.keep(node),
            }
        }
        Ok(())
    }

    /// The rows of a weight that a piece has; the label's axis is its first of more than one element.
    fn slice(&mut self, operand: &Operand, label: u8, piece: usize) -> Result<Operand, Overflow> {
        let Operand { tensor: of, labels } = operand;
        let tensor = match self.sliced.get(&(*of, piece)) {
            Some(&tensor) => tensor,
            None => {
                let mut shape = self.builder.shape(*of);
                let axis = labels.iter().position(|&l| l == label).unwrap_or_default();
                let rows = self.rows(piece, shape[axis]);
                let row: usize = shape[axis + 1..].iter().product();
                shape[axis] = rows.len();
                let into = self.builder.weight("piece", shape, self.builder.interval(*of))?;
                self.slices.push(Slice { of: *of, into, elements: rows.start * row..rows.end * row });
                self.sliced.insert((*of, piece), into);
                into
            }
        };
        Ok(Operand { tensor, labels: labels.clone() })
    }

    /// The sum over all rows as a sum of sums over those of every piece.
    fn embed(&mut self, embedding: &Embedding<'_>) -> Result<(), Overflow> {
        let &Embedding { einsum, label, .. } = embedding;
        let whole = &einsum.terms[embedding.term];
        let named = |l: &u8| operands(whole).any(|o| o.labels.contains(l));
        let out: Vec<u8> = einsum.out_labels.iter().copied().filter(named).collect();
        let mut terms = einsum.terms.clone();
        terms.remove(embedding.term);
        for piece in 0..self.pieces {
            let mut dims = einsum.dims.clone();
            let rows = self.rows(piece, dims[label as usize]);
            dims[label as usize] = rows.len();
            let mut part = whole.clone();
            for operand in part.operands.iter_mut().filter(|o| o.labels.contains(&label)) {
                *operand = if operand.tensor == embedding.weight {
                    self.slice(operand, label, piece)?
                } else {
                    let axis = operand.labels.iter().position(|&l| l == label).unwrap_or_default();
                    Operand { tensor: self.range(operand.tensor, axis, &rows)?, labels: operand.labels.clone() }
                };
            }
            let part = self.builder.einsum("part", dims, out.clone(), vec![part])?;
            terms.push(term(1, &[(part, &out)]));
        }
        let sum = Op::Einsum(Einsum { terms, ..einsum.clone() });
        self.builder.keep(&verifier::graph::Node { name: self.builder.layer.clone(), op: sum });
        Ok(())
    }

    /// A range along an axis.
    fn range(&mut self, tensor: TensorId, axis: usize, range: &Range<usize>) -> Result<TensorId, Overflow> {
        let mut shape = self.builder.shape(tensor);
        let mut groups: Vec<AxisGroup> = (0..shape.len()).map(keep).collect();
        groups[axis].map = affine(range.start as i64, &[1]);
        shape[axis] = range.len();
        self.builder.view(tensor, shape, groups)
    }

    fn project(&mut self, projection: &Projection<'_>) -> Result<(), Overflow> {
        let mut logits = Vec::new();
        let mut choices = Vec::new();
        let rows = projection.einsum.dims[projection.label as usize];
        let pieces = (0..self.pieces).map(|piece| projection.vocabulary(self.graph, &self.rows(piece, rows)));
        for (piece, tokens) in pieces.collect::<Vec<_>>().into_iter().enumerate() {
            let x = self.piece(projection, piece, &tokens)?;
            if matches!(self.graph.interface, Interface::Generation(_)) {
                choices.push((tokens.start, self.builder.choose(x, false)?));
            } else {
                logits.push((tokens.start, x));
            }
        }
        if choices.is_empty() {
            self.join(projection.logits, &logits)
        } else {
            self.builder.graph.outputs[0].tensor = self.choose(projection.logits, &choices)?;
            Ok(())
        }
    }

    /// The logits of some tokens.
    fn piece(
        &mut self,
        projection: &Projection<'_>,
        piece: usize,
        tokens: &Range<usize>,
    ) -> Result<TensorId, Overflow> {
        let &Projection { einsum, label, .. } = projection;
        let mut dims = einsum.dims.clone();
        dims[label as usize] = self.rows(piece, dims[label as usize]).len();
        let mut terms = einsum.terms.clone();
        for operand in terms.iter_mut().flat_map(|t| &mut t.operands).filter(|o| o.labels.contains(&label)) {
            *operand = self.slice(operand, label, piece)?;
        }
        let (lo, hi) = self.builder.interval(einsum.output);
        let range = (lo.into(), hi.into());
        let mut x = self.builder.einsum_within("", dims, einsum.out_labels.clone(), terms, range)?;
        let mut shape = self.builder.shape(projection.logits);
        let last = shape.len() - 1;
        shape[last] = tokens.len();
        let computed = self.builder.shape(x);
        if computed != shape {
            let mut groups: Vec<AxisGroup> = (0..last).map(keep).collect();
            let input_axes = (last..computed.len()).collect();
            groups.push(AxisGroup { input_axes, output_axes: vec![last], map: affine(0, &[1]) });
            x = self.builder.view(x, shape, groups)?;
        }
        for step in &projection.steps {
            x = match step {
                Step::Lookup(lookup) => self.builder.lookup_again(x, lookup)?,
                Step::Noise(sum) => {
                    let mut sum = (*sum).clone();
                    for operand in sum.terms.iter_mut().flat_map(|t| &mut t.operands) {
                        operand.tensor = match self.graph.tensor(operand.tensor).source {
                            Source::Node(_) => x,
                            Source::Input | Source::Weight => self.range(operand.tensor, last, tokens)?,
                        };
                    }
                    let (lo, hi) = self.builder.interval(sum.output);
                    sum.dims[sum.out_labels[last] as usize] = tokens.len();
                    let range = (lo.into(), hi.into());
                    self.builder.einsum_within("noisy", sum.dims, sum.out_labels, sum.terms, range)?
                }
            };
        }
        Ok(x)
    }

    /// The logits of all tokens.
    fn join(&mut self, logits: TensorId, pieces: &[(usize, TensorId)]) -> Result<(), Overflow> {
        let shape = self.builder.shape(logits);
        let labels: Vec<u8> = (0..shape.len() as u8).collect();
        let mut terms = Vec::new();
        for &(start, x) in pieces {
            let mut groups: Vec<AxisGroup> = (0..shape.len()).map(keep).collect();
            groups[shape.len() - 1].map = affine(-(start as i64), &[1]);
            let padded = self.builder.view(x, shape.clone(), groups)?;
            terms.push(term(1, &[(padded, &labels)]));
        }
        let sum = Op::Einsum(Einsum { dims: shape, out_labels: labels, terms, output: logits });
        self.builder.keep(&verifier::graph::Node { name: self.builder.layer.clone(), op: sum });
        Ok(())
    }

    /// The token that is chosen among those that the pieces chose: that of the piece with the largest maximum, the first such.
    fn choose(&mut self, logits: TensorId, choices: &[(usize, Choice)]) -> Result<TensorId, Overflow> {
        let (lo, hi) = self.builder.interval(logits);
        let mut dims = self.builder.shape(logits);
        let vocabulary = dims.pop().unwrap_or(1);
        dims.push(choices.len());
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let (own, row) = (&labels[dims.len() - 1..], &labels[..dims.len() - 1]);
        let mut units = Vec::new();
        for piece in 0..choices.len() {
            let unit = (0..choices.len()).map(|i| i64::from(i == piece)).collect();
            units.push(self.builder.constant("piece", vec![choices.len()], unit)?);
        }
        let pieces = || units.iter().zip(choices);
        let maxima = pieces().map(|(&unit, (_, choice))| term(1, &[(choice.maximum, row), (unit, own)])).collect();
        let range = (lo.into(), hi.into());
        let maxima = self.builder.einsum_within("maxima", dims.clone(), labels.clone(), maxima, range)?;
        let Choice { at, .. } = self.builder.choose(maxima, false)?;
        let starts = choices.iter().map(|&(start, _)| start as i64).collect();
        let starts = self.builder.constant("starts", vec![choices.len()], starts)?;
        let within = |(&unit, (_, choice)): (&TensorId, &(usize, Choice))| {
            term(1, &[(at, &labels), (unit, own), (choice.index, row)])
        };
        let terms = pieces().map(within).chain([term(1, &[(at, &labels), (starts, own)])]).collect();
        self.builder.einsum_within("token", dims, row.to_vec(), terms, (0, vocabulary as i128 - 1))
    }
}
