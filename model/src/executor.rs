//! The integer executor: computes what the graph says, in i64, and checks what it forbids.

use crate::dense;
use kernels::Ints;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use thiserror::Error;
use verifier::graph::{Advice, AdviceRule, Bound, Einsum, Graph, Lookup, Op, Tensor, TensorId, View};

/// The value of each tensor, by its id; absent until it is computed.
pub type Values = Vec<Option<Ints>>;

/// An execution that cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExecuteError {
    /// A tensor that a node reads was neither given nor computed.
    #[error(
        "layer '{layer}' reads tensor '{tensor}', which has no value; give inputs, weights and boundary tensors first"
    )]
    Missing {
        /// Layer of the source model.
        layer: String,
        /// The tensor.
        tensor: String,
    },
    /// A given tensor of the wrong length or outside its interval.
    #[error("tensor '{tensor}' has {found}; expected {expected}")]
    Unfit {
        /// The tensor.
        tensor: String,
        /// What is wrong.
        found: String,
        /// What the graph says.
        expected: String,
    },
    /// A value outside the range that the graph allows.
    #[error(
        "layer '{layer}': value {value} lies outside {lo}..={hi}: the input leaves the range that the model was calibrated for"
    )]
    Forbidden {
        /// Layer of the source model.
        layer: String,
        /// The value.
        value: i64,
        /// Least value allowed.
        lo: i64,
        /// Greatest value allowed.
        hi: i64,
    },
    /// There is no such node.
    #[error("node {0} does not exist")]
    Node(u32),
}

/// Elements above which a lookup runs on all cores.
const PARALLEL: usize = 1 << 14;

/// Runs nodes in the given order, which must be topological. Inputs, weights and, for a subgraph, the boundary tensors
/// that it reads are already in `values` (one entry for each tensor of the graph); results are added to it.
///
/// # Errors
/// A missing or unfit tensor, or a value that the graph forbids: the layer, the value and the range.
pub fn execute(graph: &Graph, nodes: impl IntoIterator<Item = u32>, values: &mut Values) -> Result<(), ExecuteError> {
    values.resize(graph.tensors.len(), None);
    for port in &graph.inputs {
        if let Some(value) = &values[port.tensor.index()] {
            check_given(graph, port.tensor, value)?;
        }
    }
    let mut tables = HashMap::new();
    for index in nodes {
        if let Some((output, data)) = node(graph, index, &Known { values, weights: None }, &mut tables)? {
            values[output.index()] = Some(data);
        }
    }
    Ok(())
}

/// A run that keeps a tensor no longer than it is read, and goes no further than it is asked to.
pub(crate) struct Lazy<'a> {
    graph: &'a Graph,
    weights: &'a BTreeMap<TensorId, Ints>,
    values: Values,
    tables: HashMap<TensorId, Vec<i64>>,
    /// How many readers each tensor still has, [`Lazy::take`] among them.
    readers: Vec<usize>,
    next: usize,
}

impl<'a> Lazy<'a> {
    /// A run on one input each; `taken` are the tensors that will be asked for, once for each time that they are named.
    pub fn new(
        graph: &'a Graph,
        weights: &'a BTreeMap<TensorId, Ints>,
        inputs: impl IntoIterator<Item = Ints>,
        taken: impl IntoIterator<Item = TensorId>,
    ) -> Result<Self, ExecuteError> {
        let mut readers = vec![0; graph.tensors.len()];
        let read = graph.nodes.iter().flat_map(|node| node.op.inputs());
        read.chain(taken).for_each(|tensor| readers[tensor.index()] += 1);
        let mut values: Values = vec![None; graph.tensors.len()];
        for (port, input) in graph.inputs.iter().zip(inputs) {
            check_given(graph, port.tensor, &input)?;
            values[port.tensor.index()] = Some(input);
        }
        Ok(Self { graph, weights, values, tables: HashMap::new(), readers, next: 0 })
    }

    /// Runs until a tensor is there, and hands it to `read`.
    pub fn take<R>(&mut self, tensor: TensorId, read: impl FnOnce(&Ints) -> R) -> Result<R, ExecuteError> {
        while self.values[tensor.index()].is_none() && !self.weights.contains_key(&tensor) {
            self.step()?;
        }
        let known = Known { values: &self.values, weights: Some(self.weights) };
        let result = known.get(self.graph, "", tensor).map(read);
        self.release(tensor);
        result
    }

    /// Runs what is left: its assertions count too.
    pub fn finish(mut self) -> Result<(), ExecuteError> {
        while self.next < self.graph.nodes.len() {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ExecuteError> {
        let index = self.next as u32;
        let known = Known { values: &self.values, weights: Some(self.weights) };
        let computed = node(self.graph, index, &known, &mut self.tables)?;
        self.next += 1;
        if let Some((output, data)) = computed
            && self.readers[output.index()] > 0
        {
            self.values[output.index()] = Some(data);
        }
        self.graph.nodes[index as usize].op.inputs().into_iter().for_each(|tensor| self.release(tensor));
        Ok(())
    }

    fn release(&mut self, tensor: TensorId) {
        let readers = &mut self.readers[tensor.index()];
        *readers = readers.saturating_sub(1);
        if *readers == 0 {
            self.values[tensor.index()] = None;
        }
    }
}

/// What has a value.
struct Known<'a> {
    values: &'a Values,
    weights: Option<&'a BTreeMap<TensorId, Ints>>,
}

impl<'a> Known<'a> {
    fn get(&self, graph: &Graph, layer: &str, id: TensorId) -> Result<&'a Ints, ExecuteError> {
        let value = self.values[id.index()].as_ref().or_else(|| self.weights.and_then(|w| w.get(&id)));
        value.ok_or_else(|| ExecuteError::Missing { layer: layer.into(), tensor: graph.tensor(id).name.clone() })
    }
}

/// Computes one node.
fn node(
    graph: &Graph,
    index: u32,
    known: &Known<'_>,
    tables: &mut HashMap<TensorId, Vec<i64>>,
) -> Result<Option<(TensorId, Ints)>, ExecuteError> {
    let node = graph.nodes.get(index as usize).ok_or(ExecuteError::Node(index))?;
    let run = Run { graph, layer: &node.name, known };
    let result = match &node.op {
        Op::Einsum(e) => Some((e.output, run.einsum(e)?)),
        Op::View(v) => Some((v.output, run.view(v)?)),
        Op::Advice(a) => Some((a.output, run.advice(a)?)),
        Op::Lookup(l) => run.lookup(l, tables)?,
    };
    Ok(result.map(|(output, data)| (output, Ints::from(data))))
}

fn check_given(graph: &Graph, id: TensorId, value: &Ints) -> Result<(), ExecuteError> {
    let tensor = graph.tensor(id);
    let unfit = |found, expected| Err(ExecuteError::Unfit { tensor: tensor.name.clone(), found, expected });
    if value.len() != tensor.len() {
        return unfit(format!("{} elements", value.len()), format!("{} for shape {:?}", tensor.len(), tensor.shape));
    }
    check_range(graph, id, &value.to_vec())
}

/// Whether all values lie in the tensor's interval.
pub(crate) fn check_range(graph: &Graph, id: TensorId, values: &[i64]) -> Result<(), ExecuteError> {
    let Tensor { name, lo, hi, .. } = graph.tensor(id);
    match values.iter().find(|x| !(*lo..=*hi).contains(x)) {
        Some(x) => Err(ExecuteError::Unfit {
            tensor: name.clone(),
            found: format!("the value {x}"),
            expected: format!("{lo}..={hi}"),
        }),
        None => Ok(()),
    }
}

struct Run<'a> {
    graph: &'a Graph,
    layer: &'a str,
    known: &'a Known<'a>,
}

impl Run<'_> {
    fn stored(&self, id: TensorId) -> Result<&Ints, ExecuteError> {
        self.known.get(self.graph, self.layer, id)
    }

    fn read(&self, id: TensorId) -> Result<Vec<i64>, ExecuteError> {
        self.stored(id).map(Ints::to_vec)
    }

    fn einsum(&self, e: &Einsum) -> Result<Vec<i64>, ExecuteError> {
        let mut terms = Vec::with_capacity(e.terms.len());
        for term in &e.terms {
            let mut operands = Vec::with_capacity(term.operands.len());
            for operand in &term.operands {
                operands.push(dense::Operand::Stored(self.stored(operand.tensor)?, &operand.labels));
            }
            terms.push((term.coefficient, operands));
        }
        Ok(dense::integer_einsum(&e.dims, &e.out_labels, terms))
    }

    fn view(&self, v: &View) -> Result<Vec<i64>, ExecuteError> {
        let (input, output) = (&self.graph.tensor(v.input).shape, &self.graph.tensor(v.output).shape);
        Ok(dense::rearrange(&self.read(v.input)?, input, output, &v.groups))
    }

    fn lookup(
        &self,
        l: &Lookup,
        tables: &mut HashMap<TensorId, Vec<i64>>,
    ) -> Result<Option<(TensorId, Vec<i64>)>, ExecuteError> {
        let mut data = self.read(l.input)?;
        if let Some(id) = l.table
            && !tables.contains_key(&id)
        {
            tables.insert(id, self.read(id)?);
        }
        look_up(self.layer, l, l.table.map(|id| &tables[&id][..]), &mut data)?;
        Ok(l.output.map(|output| (output, data)))
    }

    fn advice(&self, a: &Advice) -> Result<Vec<i64>, ExecuteError> {
        match &a.rule {
            AdviceRule::Max { input } => {
                let row = self.graph.tensor(*input).shape.last().copied().unwrap_or(1);
                Ok(row_max(&self.read(*input)?, row))
            }
            AdviceRule::FloorDiv { numerator, denominator } => {
                floor_div(self.layer, &self.read(*numerator)?, &self.read(*denominator)?)
            }
            AdviceRule::Rsqrt { input, exponent } => rsqrt(self.layer, &self.read(*input)?, *exponent),
        }
    }
}

/// Every element looked up, in place.
pub(crate) fn look_up(layer: &str, l: &Lookup, table: Option<&[i64]>, data: &mut [i64]) -> Result<(), ExecuteError> {
    let hi = l.lo + ((1i64 << l.bits) - 1);
    let apply = |x: &mut i64| -> Result<(), ExecuteError> {
        let h = (*x * l.multiplier + l.add) >> l.shift;
        if (h < l.lo && l.below == Bound::Forbid) || (h > hi && l.above == Bound::Forbid) {
            return Err(ExecuteError::Forbidden { layer: layer.into(), value: h, lo: l.lo, hi });
        }
        let c = h.clamp(l.lo, hi);
        *x = table.map_or(c, |t| t[(c - l.lo) as usize]);
        Ok(())
    };
    if data.len() >= PARALLEL { data.par_iter_mut().try_for_each(apply) } else { data.iter_mut().try_for_each(apply) }
}

/// The maximum of every row of the given length.
pub(crate) fn row_max(data: &[i64], row: usize) -> Vec<i64> {
    data.chunks_exact(row).map(|row| row.iter().copied().fold(i64::MIN, i64::max)).collect()
}

/// `floor(n / d)`, elementwise; `n` may be a scalar.
pub(crate) fn floor_div(layer: &str, n: &[i64], d: &[i64]) -> Result<Vec<i64>, ExecuteError> {
    let quotient = |(i, &d): (usize, &i64)| match d {
        1.. => Ok(n[i % n.len()].div_euclid(d)),
        _ => Err(ExecuteError::Forbidden { layer: layer.into(), value: d, lo: 1, hi: i64::MAX }),
    };
    d.iter().enumerate().map(quotient).collect()
}

/// The largest `r` with `r^2 w <= 2^exponent`, elementwise.
pub(crate) fn rsqrt(layer: &str, w: &[i64], exponent: u32) -> Result<Vec<i64>, ExecuteError> {
    let root = |&w: &i64| match w {
        1.. => Ok((1u64 << exponent).div_euclid(w as u64).isqrt() as i64),
        _ => Err(ExecuteError::Forbidden { layer: layer.into(), value: w, lo: 1, hi: i64::MAX }),
    };
    w.iter().map(root).collect()
}
