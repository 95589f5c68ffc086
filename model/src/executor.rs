//! The integer executor: has a device compute what the graph says, and checks what the graph forbids.

use kernels::{Cpu, Forbidden, IntegerDevice, Ints, Summand};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use thiserror::Error;
use verifier::graph::{Advice, AdviceRule, Einsum, Graph, Lookup, Op, Tensor, TensorId, View};

/// The value of each tensor, by its id; absent until it is computed.
pub type Values<D = Cpu> = Vec<Option<<D as IntegerDevice>::Integers>>;

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

/// Runs nodes in the given order, which must be topological. Inputs, weights and, for a subgraph, the boundary tensors
/// that it reads are already in `values` (one entry for each tensor of the graph); results are added to it.
///
/// # Errors
/// A missing or unfit tensor, or a value that the graph forbids: the layer, the value and the range.
pub fn execute<D: IntegerDevice>(
    device: &D,
    graph: &Graph,
    nodes: impl IntoIterator<Item = u32>,
    values: &mut Values<D>,
) -> Result<(), ExecuteError> {
    values.resize(graph.tensors.len(), None);
    for port in &graph.inputs {
        if let Some(value) = &values[port.tensor.index()] {
            check_given(graph, port.tensor, &device.download_integers(value))?;
        }
    }
    let nodes: Vec<u32> = nodes.into_iter().collect();
    for (place, &index) in nodes.iter().enumerate() {
        if let Some((output, data)) = node(device, graph, index, &Known { values, weights: None })? {
            values[output.index()] = Some(data);
        }
        let next = nodes[place + 1..].iter().take(AHEAD).filter_map(|&next| graph.nodes.get(next as usize));
        let read = next.flat_map(|node| node.op.inputs()).filter_map(|tensor| values[tensor.index()].as_ref());
        device.prefetch(&read.collect::<Vec<_>>());
    }
    Ok(())
}

/// Nodes whose inputs the device is told of before they are computed: of two layers that look their results up, one after the other.
pub(crate) const AHEAD: usize = 4;

/// A run that keeps a tensor no longer than it is read, and goes no further than it is asked to.
pub(crate) struct Lazy<'a> {
    graph: &'a Graph,
    weights: &'a BTreeMap<TensorId, Ints>,
    values: Values,
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
        Ok(Self { graph, weights, values, readers, next: 0 })
    }

    /// Runs until a tensor is there, and hands it to `read`.
    pub fn take<R>(&mut self, tensor: TensorId, read: impl FnOnce(&Ints) -> R) -> Result<R, ExecuteError> {
        while self.values[tensor.index()].is_none() && !self.weights.contains_key(&tensor) {
            self.step()?;
        }
        let known = Known::<Cpu> { values: &self.values, weights: Some(self.weights) };
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
        let known = Known::<Cpu> { values: &self.values, weights: Some(self.weights) };
        let computed = node(&Cpu, self.graph, index, &known)?;
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
struct Known<'a, D: IntegerDevice> {
    values: &'a Values<D>,
    weights: Option<&'a BTreeMap<TensorId, D::Integers>>,
}

impl<'a, D: IntegerDevice> Known<'a, D> {
    fn get(&self, graph: &Graph, layer: &str, id: TensorId) -> Result<&'a D::Integers, ExecuteError> {
        let value = self.values[id.index()].as_ref().or_else(|| self.weights.and_then(|w| w.get(&id)));
        value.ok_or_else(|| ExecuteError::Missing { layer: layer.into(), tensor: graph.tensor(id).name.clone() })
    }
}

/// Computes one node.
fn node<D: IntegerDevice>(
    device: &D,
    graph: &Graph,
    index: u32,
    known: &Known<'_, D>,
) -> Result<Option<(TensorId, D::Integers)>, ExecuteError> {
    let node = graph.nodes.get(index as usize).ok_or(ExecuteError::Node(index))?;
    let run = Run { device, graph, layer: &node.name, known };
    Ok(match &node.op {
        Op::Einsum(e) => Some((e.output, run.einsum(e)?)),
        Op::View(v) => Some((v.output, run.view(v)?)),
        Op::Advice(a) => Some((a.output, run.advice(a)?)),
        Op::Lookup(l) => {
            let data = run.lookup(l)?;
            l.output.map(|output| (output, data))
        }
    })
}

fn check_given(graph: &Graph, id: TensorId, value: &Ints) -> Result<(), ExecuteError> {
    let tensor = graph.tensor(id);
    check_length(tensor, value.len())?;
    check_range(graph, id, &value.to_vec())
}

fn check_length(tensor: &Tensor, found: usize) -> Result<(), ExecuteError> {
    if found == tensor.len() {
        return Ok(());
    }
    let expected = format!("{} for shape {:?}", tensor.len(), tensor.shape);
    Err(ExecuteError::Unfit { tensor: tensor.name.clone(), found: format!("{found} elements"), expected })
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

struct Run<'a, D: IntegerDevice> {
    device: &'a D,
    graph: &'a Graph,
    layer: &'a str,
    known: &'a Known<'a, D>,
}

impl<'a, D: IntegerDevice> Run<'a, D> {
    fn read(&self, id: TensorId) -> Result<&'a D::Integers, ExecuteError> {
        let value = self.known.get(self.graph, self.layer, id)?;
        check_length(self.graph.tensor(id), self.device.count(value))?;
        Ok(value)
    }

    fn einsum(&self, e: &Einsum) -> Result<D::Integers, ExecuteError> {
        let summands = e.terms.iter().map(|term| {
            let factors = term.operands.iter().map(|o| Ok((self.read(o.tensor)?, &o.labels[..])));
            Ok(Summand { coefficient: term.coefficient, factors: factors.collect::<Result<_, ExecuteError>>()? })
        });
        let summands = summands.collect::<Result<Vec<_>, ExecuteError>>()?;
        Ok(self.device.einsum(&e.dims, &e.out_labels, &summands, within(self.graph, e.output)))
    }

    fn view(&self, v: &View) -> Result<D::Integers, ExecuteError> {
        let (input, output) = (&self.graph.tensor(v.input).shape, &self.graph.tensor(v.output).shape);
        Ok(self.device.rearrange(self.read(v.input)?, input, output, &v.groups))
    }

    fn lookup(&self, l: &Lookup) -> Result<D::Integers, ExecuteError> {
        look_up(self.device, self.graph, self.layer, l, |tensor| self.read(tensor))
    }

    fn advice(&self, a: &Advice) -> Result<D::Integers, ExecuteError> {
        let shape = |tensor| self.graph.tensor(tensor).shape.clone();
        advise(self.device, self.graph, self.layer, a, |tensor| self.read(tensor), shape)
    }
}

/// The tensor's interval.
pub(crate) fn within(graph: &Graph, id: TensorId) -> RangeInclusive<i64> {
    let Tensor { lo, hi, .. } = graph.tensor(id);
    *lo..=*hi
}

/// Every element looked up.
pub(crate) fn look_up<'v, D: IntegerDevice>(
    device: &D,
    graph: &Graph,
    layer: &str,
    l: &Lookup,
    read: impl Fn(TensorId) -> Result<&'v D::Integers, ExecuteError>,
) -> Result<D::Integers, ExecuteError>
where
    D::Integers: 'v,
{
    let hi = l.lo + ((1i64 << l.bits) - 1);
    // An assertion finds the values of its domain.
    let within = l.output.map_or(l.lo..=hi, |output| within(graph, output));
    let table = l.table.map(&read).transpose()?;
    let found = device.look_up(read(l.input)?, l, table, within);
    found.map_err(|Forbidden(value)| ExecuteError::Forbidden { layer: layer.into(), value, lo: l.lo, hi })
}

/// What the advice's rule finds in tensors of these shapes.
pub(crate) fn advise<'v, D: IntegerDevice>(
    device: &D,
    graph: &Graph,
    layer: &str,
    a: &Advice,
    read: impl Fn(TensorId) -> Result<&'v D::Integers, ExecuteError>,
    shape: impl Fn(TensorId) -> Vec<usize>,
) -> Result<D::Integers, ExecuteError>
where
    D::Integers: 'v,
{
    let within = within(graph, a.output);
    let found = match &a.rule {
        AdviceRule::Max { input } => Ok(device.row_max(read(*input)?, shape(*input).last().copied().unwrap_or(1))),
        AdviceRule::FloorDiv { numerator, denominator } => {
            device.floor_div(read(*numerator)?, read(*denominator)?, within)
        }
        AdviceRule::Rsqrt { input, exponent } => device.rsqrt(read(*input)?, *exponent, within),
    };
    // Denominators and radicands are positive.
    found.map_err(|Forbidden(value)| ExecuteError::Forbidden { layer: layer.into(), value, lo: 1, hi: i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::graph::{Node, Source};

    #[test]
    fn a_tensor_of_another_length_is_refused_by_name() {
        let tensor = |name: &str, source| Tensor { name: name.into(), shape: vec![4], lo: 0, hi: 9, source };
        let rule = AdviceRule::Rsqrt { input: TensorId(0), exponent: 4 };
        let graph = Graph {
            tensors: vec![tensor("given", Source::Weight), tensor("found", Source::Node(0))],
            nodes: vec![Node { name: "root".into(), op: Op::Advice(Advice { rule, output: TensorId(1) }) }],
            ..Graph::default()
        };
        let run = |given: Vec<i64>| {
            let mut values: Values = vec![Some(Ints::from(given)), None];
            execute(&Cpu, &graph, [0], &mut values).map(|()| values[1].clone())
        };
        assert_eq!(run(vec![1, 2, 4, 9]), Ok(Some(Ints::I8(vec![4, 2, 2, 1]))));
        let error = run(vec![1, 2, 4]).expect_err("an element is missing");
        assert_eq!(error.to_string(), "tensor 'given' has 3 elements; expected 4 for shape [4]");
    }
}
