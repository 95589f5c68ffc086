//! One einsum, one view, or one column of lookups by itself, without the commitments and openings that a subgraph adds.

use super::tensor::evaluate;
use super::{Context, einsum, lookup, view};
use crate::floor;
use crate::instance::{Instance, InstanceError, integers};
use crate::{Values, Witness};
use kernels::floor::Work;
use kernels::{Cpu, Device, Ints};
use rayon::prelude::*;
use verifier::argument::Rejection;
use verifier::argument::ledger::{Ledger, PointValue};
use verifier::graph::{
    AxisGroup, Bound, Einsum, Graph, IndexMap, Lookup, Node, Op, Operand, Port, Source, Tensor, TensorId, Term, View,
};
use verifier::key::Partition;
use verifier::multilinear::num_variables;
use verifier::plan::Plan;
use verifier::transcript::{Reader, Transcript, Writer};

const DOMAIN: &str = "argument";

/// A graph of one node, and values of its tensors.
#[derive(Debug)]
pub struct Argument {
    graph: Graph,
    plan: Plan,
    values: Values,
    /// On the output, at the transcript's first point.
    claim: PointValue,
    unit: &'static str,
    items: u64,
}

/// `y[h, i, j] = sum_k x[h, i, k] w[h, j, k]` over 8-bit integers: the scores of attention, with `heads` as a batch.
pub fn batched_einsum(heads: usize, rows: usize, inner: usize, columns: usize) -> Argument {
    contraction(vec![heads, rows, columns, inner], &[0, 1, 3], &[0, 2, 3], &[0, 1, 2], Source::Input)
}

/// `y[i, j] = sum_k x[i, k] w[j, k]` over 8-bit integers: a dense layer.
pub fn dense_einsum(rows: usize, inner: usize, columns: usize) -> Argument {
    contraction(vec![1, rows, columns, inner], &[1, 3], &[2, 3], &[1, 2], Source::Weight)
}

/// Labels: heads, rows, columns, inner.
fn contraction(dims: Vec<usize>, left: &[u8], right: &[u8], out: &[u8], right_source: Source) -> Argument {
    let shape = |labels: &[u8]| -> Vec<usize> { labels.iter().map(|&l| dims[l as usize]).collect() };
    let [heads, rows, columns, inner] = [dims[0], dims[1], dims[2], dims[3]];
    let x: Vec<i64> = integers(heads * rows * inner, 1).collect();
    let w: Vec<i64> = integers(heads * columns * inner, 2).collect();
    let mut y = vec![0; heads * rows * columns];
    y.par_chunks_mut(columns).zip(x.par_chunks(inner)).enumerate().for_each(|(row, (y, x))| {
        let w = w[row / rows * columns * inner..].chunks(inner);
        y.iter_mut().zip(w).for_each(|(y, w)| *y = x.iter().zip(w).map(|(a, b)| a * b).sum());
    });
    let mut nodes = Builder::default();
    let x = nodes.tensor("x", shape(left), Source::Input, x);
    let w = nodes.tensor("w", shape(right), right_source, w);
    let y = nodes.tensor("y", shape(out), Source::Node(0), y);
    let operands = [(x, left), (w, right)].map(|(tensor, labels)| Operand { tensor, labels: labels.to_vec() });
    let items = dims.iter().product::<usize>() as u64;
    let terms = vec![Term { coefficient: 1, operands: operands.into() }];
    let op = Op::Einsum(Einsum { dims, out_labels: out.to_vec(), terms, output: y });
    nodes.finish(op, y, "multiply-adds", items)
}

/// `count` lookups in a function's table of `2^bits` values, with 8 bits rounded off and both ends saturating.
pub fn lookups(count: usize, bits: u32) -> Argument {
    let (shift, lo) = (8, -(1i64 << (bits - 1)));
    let hi = lo + (1 << bits) - 1;
    // Twice the domain: saturation happens, as after a calibrated layer.
    let spread = (1i64 << (bits + shift)) / 128;
    let x: Vec<i64> = integers(count, 1).zip(integers(count, 2)).map(|(x, y)| x * spread + y).collect();
    let table: Vec<i64> = integers(1 << bits, 3).collect();
    let place = |x: i64| ((x + (1 << (shift - 1))) >> shift).clamp(lo, hi) - lo;
    let y = x.iter().map(|&x| table[place(x) as usize]).collect();
    let mut nodes = Builder::default();
    let x = nodes.tensor("x", vec![count], Source::Input, x);
    let table = nodes.tensor("table", vec![1 << bits], Source::Weight, table);
    let y = nodes.tensor("y", vec![count], Source::Node(0), y);
    let op = Op::Lookup(Lookup {
        input: x,
        multiplier: 1,
        add: 1 << (shift - 1),
        shift,
        lo,
        bits,
        below: Bound::Saturate,
        above: Bound::Saturate,
        table: Some(table),
        output: Some(y),
    });
    nodes.finish(op, y, "lookups", count as u64)
}

/// The 3 by 3 windows of a padded picture of `channels` channels.
pub fn windows(channels: usize, side: usize) -> Argument {
    let (from, to) = (vec![channels, side, side], vec![channels, side, 3, side, 3]);
    let window = |input: usize, output: usize| AxisGroup {
        input_axes: vec![input],
        output_axes: vec![output, output + 1],
        map: IndexMap::Affine { offset: -1, strides: vec![1, 1] },
    };
    let keep = IndexMap::Affine { offset: 0, strides: vec![1] };
    let channel = AxisGroup { input_axes: vec![0], output_axes: vec![0], map: keep };
    let groups = vec![channel, window(1, 1), window(2, 3)];
    let x: Vec<i64> = integers(channels * side * side, 1).collect();
    let (rows, columns) = (groups[1].indices(&from, &to), groups[2].indices(&from, &to));
    let element = |plane: &[i64], row: Option<usize>, column: Option<usize>| match (row, column) {
        (Some(row), Some(column)) => plane[row * side + column],
        _ => 0,
    };
    let plane = |plane: &[i64]| -> Vec<i64> {
        rows.iter().flat_map(|&r| columns.iter().map(move |&c| element(plane, r, c))).collect()
    };
    let y: Vec<i64> = x.chunks(side * side).flat_map(plane).collect();
    let items = y.len() as u64;
    let mut nodes = Builder::default();
    let x = nodes.tensor("x", from, Source::Input, x);
    let y = nodes.tensor("y", to, Source::Node(0), y);
    nodes.finish(Op::View(View { input: x, output: y, groups }), y, "elements", items)
}

#[derive(Default)]
struct Builder {
    graph: Graph,
    values: Values,
}

impl Builder {
    fn tensor(&mut self, name: &str, shape: Vec<usize>, source: Source, values: Vec<i64>) -> TensorId {
        let id = TensorId(self.graph.tensors.len() as u32);
        let (lo, hi) = values.iter().fold((0, 0), |(lo, hi), &x| (x.min(lo), x.max(hi)));
        self.graph.tensors.push(Tensor { name: name.into(), shape, lo, hi, source });
        self.values.push(Some(Ints::from(values)));
        if source == Source::Input {
            self.graph.inputs.push(Port { tensor: id, exponent: 0 });
        }
        id
    }

    fn finish(self, op: Op, output: TensorId, unit: &'static str, items: u64) -> Argument {
        let Self { mut graph, values } = self;
        graph.nodes.push(Node { name: "node".into(), op });
        graph.outputs.push(Port { tensor: output, exponent: 0 });
        let plan = Plan::new(&graph, &Partition { subgraph_of_node: vec![0], count: 1 });
        let shape = &graph.tensor(output).shape;
        let point = Writer::new(DOMAIN).challenges(num_variables(shape));
        let value = evaluate(&Cpu, crate::values::held(&values, output), shape, &point);
        Argument { claim: PointValue { point, value }, graph, plan, values, unit, items }
    }
}

impl Argument {
    fn op(&self) -> &Op {
        &self.graph.nodes[0].op
    }

    fn prove_node<D: Device>(&self, device: &D, transcript: &mut Writer) -> Result<(), Rejection> {
        let (graph, plan, values) = (&self.graph, &self.plan.subgraphs[0], &crate::upload(device, &self.values));
        let context = Context { device, graph, plan, values };
        let mut ledger = Ledger::new(graph, plan);
        match self.op() {
            Op::Einsum(op) => einsum::prove(context, transcript, op, &self.claim, &mut ledger),
            Op::View(op) => {
                let (input, output) = (graph.tensor(op.input), graph.tensor(op.output));
                view::prove(device, transcript, op, input, output, context.held(op.input), &self.claim);
                Ok(())
            }
            Op::Lookup(_) => {
                lookup::prove(context, transcript, &Witness::new(device, graph, plan, values), &mut ledger)
            }
            Op::Advice(_) => Ok(()),
        }
    }

    fn verify_node(&self, transcript: &mut Reader) -> Result<(), Rejection> {
        let mut ledger = Ledger::new(&self.graph, &self.plan.subgraphs[0]);
        match self.op() {
            Op::Einsum(op) => verifier::argument::einsum::verify(transcript, op, &self.claim, &mut ledger),
            Op::View(op) => {
                let [input, output] = [op.input, op.output].map(|t| self.graph.tensor(t));
                verifier::argument::view::verify(transcript, op, input, output, &self.claim).map(drop)
            }
            Op::Lookup(_) => verifier::argument::lookup::verify(transcript, &mut ledger),
            Op::Advice(_) => Ok(()),
        }
    }
}

impl<D: Device> Instance<D> for Argument {
    fn items(&self) -> (&'static str, u64) {
        (self.unit, self.items)
    }

    fn floor(&self) -> Work {
        floor::node(&self.graph, self.op()) + floor::lookups(&self.graph, &self.plan.subgraphs[0])
    }

    fn prove(&self, device: &D) -> Vec<u8> {
        let mut transcript = Writer::new(DOMAIN);
        transcript.challenges(self.claim.point.len());
        self.prove_node(device, &mut transcript).expect("the values are a run of the graph");
        transcript.finish()
    }

    fn verify(&self, proof: &[u8]) -> Result<(), InstanceError> {
        let mut transcript = Reader::new(DOMAIN, proof);
        transcript.challenges(self.claim.point.len());
        self.verify_node(&mut transcript).map_err(|e| InstanceError(e.to_string()))?;
        transcript.finish().map_err(|e| InstanceError(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(instance: &dyn Instance<Cpu>) -> Result<(), InstanceError> {
        instance.verify(&instance.prove(&Cpu))
    }

    #[test]
    fn instances_are_graphs_whose_proofs_verify() {
        for argument in [dense_einsum(3, 20, 7), batched_einsum(3, 5, 4, 6), lookups(300, 5), windows(3, 7)] {
            argument.graph.check().unwrap();
            verdict(&argument).unwrap();
        }
    }

    #[test]
    fn a_claim_on_another_value_is_rejected() {
        for mut argument in [dense_einsum(3, 20, 7), batched_einsum(3, 5, 4, 6), windows(3, 7)] {
            argument.claim.value += verifier::field::k_from_i64(1);
            assert!(verdict(&argument).is_err());
        }
        let mut argument = lookups(300, 5);
        let output = argument.graph.outputs[0].tensor.index();
        argument.values[output] = Some(Ints::from(vec![1; 300]));
        assert!(verdict(&argument).is_err());
    }
}
