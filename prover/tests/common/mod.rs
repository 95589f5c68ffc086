//! Small graphs, run by a slow interpreter, for tests of the argument; and what a prover may lie about.
#![allow(dead_code)]

pub mod attempt;
pub mod imported;
mod interpreter;
pub mod nets;
pub mod verdict;

use interpreter::interpret;
use kernels::{Cpu, Ints};
use prover::{Boundary, Values, Weights};
use verifier::graph::*;
use verifier::key::{ModelKey, Partition, Security};
use verifier::sampling::Sampling;
use verifier::statement::{Inference, Statement};

/// Builds a graph node by node and runs it at once.
#[derive(Clone, Default)]
pub struct Net {
    pub graph: Graph,
    pub weights: Weights,
    pub values: Values,
    pub sampling: Option<Sampling>,
}

/// `delta` is added to an element of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    pub tensor: TensorId,
    pub element: usize,
    pub delta: i64,
}

impl Net {
    fn tensor(&mut self, name: &str, shape: &[usize], source: Source, values: Vec<i64>) -> TensorId {
        let id = self.declare(name, shape, source);
        self.define(id, values);
        id
    }

    fn declare(&mut self, name: &str, shape: &[usize], source: Source) -> TensorId {
        let id = TensorId(self.graph.tensors.len() as u32);
        let name = format!("{name}{}", id.0);
        self.graph.tensors.push(Tensor { name, shape: shape.to_vec(), lo: 0, hi: 0, source });
        self.values.push(None);
        id
    }

    fn define(&mut self, id: TensorId, values: Vec<i64>) {
        let (lo, hi) = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        // Wider than the values seen, as an interval analysis would give.
        let slack = (hi - lo) / 2 + 3;
        self.within(id, lo - slack, hi + slack);
        self.values[id.index()] = Some(Ints::from(values));
    }

    /// Adds a node that computes a tensor of this shape, and its values.
    fn compute(&mut self, name: &str, shape: &[usize], op: impl FnOnce(TensorId) -> Op) -> TensorId {
        let output = self.declare(name, shape, Source::Node(self.graph.nodes.len() as u32));
        let op = op(output);
        let values = interpret(&self.graph, &op, &self.values);
        self.define(output, values);
        self.graph.nodes.push(Node { name: name.into(), op });
        output
    }

    /// The values of a run in which one element is another, and all else follows from it.
    pub fn lying(&self, lie: Lie) -> Values {
        let mut told = self.get(lie.tensor);
        told[lie.element] += lie.delta;
        self.telling(lie.tensor, told)
    }

    /// The values of a run in which a tensor is another, and all else follows from it.
    pub fn telling(&self, tensor: TensorId, told: Vec<i64>) -> Values {
        let mut values = self.values.clone();
        values[tensor.index()] = Some(Ints::from(told));
        for node in &self.graph.nodes {
            let Some(output) = node.op.output().filter(|&output| output != tensor) else { continue };
            values[output.index()] = Some(Ints::from(interpret(&self.graph, &node.op, &values)));
        }
        values
    }

    /// The values of so many runs, the first this network's own; the inputs of each are those of the one before, one place further.
    /// Intervals become wide enough for all.
    pub fn runs(&mut self, count: usize) -> Vec<Values> {
        let mut runs = vec![self.values.clone()];
        for index in 1..count {
            let mut values = self.values.clone();
            for port in &self.graph.inputs {
                let mut input = self.get(port.tensor);
                let places = index % input.len();
                input.rotate_left(places);
                values[port.tensor.index()] = Some(Ints::from(input));
            }
            for node in &self.graph.nodes {
                let Some(output) = node.op.output() else { continue };
                values[output.index()] = Some(Ints::from(interpret(&self.graph, &node.op, &values)));
            }
            runs.push(values);
        }
        for (index, tensor) in self.graph.tensors.iter_mut().enumerate() {
            let all = runs.iter().flat_map(|run| run[index].as_ref().unwrap().to_vec());
            let (lo, hi) = all.fold((tensor.lo, tensor.hi), |(lo, hi), x| (lo.min(x), hi.max(x)));
            (tensor.lo, tensor.hi) = (lo, hi);
        }
        runs
    }

    pub fn input(&mut self, shape: &[usize], values: Vec<i64>) -> TensorId {
        let id = self.tensor("input", shape, Source::Input, values);
        self.graph.inputs.push(Port { tensor: id, exponent: 0 });
        id
    }

    pub fn weight(&mut self, shape: &[usize], values: Vec<i64>) -> TensorId {
        let id = self.tensor("weight", shape, Source::Weight, values.clone());
        self.weights.insert(id, Ints::from(values));
        id
    }

    pub fn get(&self, id: TensorId) -> Vec<i64> {
        self.values[id.index()].as_ref().unwrap().to_vec()
    }

    pub fn shape(&self, id: TensorId) -> Vec<usize> {
        self.graph.tensor(id).shape.clone()
    }

    /// Sets a tensor's interval.
    pub fn within(&mut self, id: TensorId, lo: i64, hi: i64) {
        let tensor = &mut self.graph.tensors[id.index()];
        (tensor.lo, tensor.hi) = (lo, hi);
    }

    /// Terms of (coefficient, operands with labels as letters), and the output's letters.
    pub fn einsum(&mut self, terms: &[(i64, &[(TensorId, &str)])], out: &str) -> TensorId {
        let label = |c: char| c as u8 - b'a';
        let mut dims = vec![1usize; 8];
        let operand = |&(tensor, labels): &(TensorId, &str)| {
            let labels: Vec<u8> = labels.chars().map(label).collect();
            labels.iter().zip(self.shape(tensor)).for_each(|(&l, d)| dims[l as usize] = d);
            Operand { tensor, labels }
        };
        let mut operand = operand;
        let terms = terms.iter().map(|&(coefficient, operands)| {
            let operands = operands.iter().map(&mut operand).collect();
            Term { coefficient, operands }
        });
        let terms = terms.collect();
        self.contract(dims, out.chars().map(label).collect(), terms)
    }

    /// As [`Net::einsum`], with labels as numbers.
    pub fn contract(&mut self, dims: Vec<usize>, out_labels: Vec<u8>, terms: Vec<Term>) -> TensorId {
        let shape: Vec<usize> = out_labels.iter().map(|&l| dims[l as usize]).collect();
        self.compute("einsum", &shape, |output| Op::Einsum(Einsum { dims, out_labels, terms, output }))
    }

    pub fn lookup(&mut self, lookup: Lookup, output: bool) -> Option<TensorId> {
        if output {
            let shape = self.shape(lookup.input);
            return Some(self.compute("lookup", &shape, |id| Op::Lookup(Lookup { output: Some(id), ..lookup })));
        }
        self.graph.nodes.push(Node { name: "lookup".into(), op: Op::Lookup(Lookup { output: None, ..lookup }) });
        None
    }

    pub fn assert_range(&mut self, input: TensorId, lo: i64, bits: u32) {
        let (below, above) = (Bound::Forbid, Bound::Forbid);
        self.lookup(Lookup { below, above, ..requant(input, 0, lo, bits) }, false);
    }

    pub fn view(&mut self, input: TensorId, shape: &[usize], groups: Vec<AxisGroup>) -> TensorId {
        self.compute("view", shape, |output| Op::View(View { input, output, groups }))
    }

    /// The maximum over the last axis, without the assertions that leave one value.
    pub fn advice_max(&mut self, input: TensorId) -> TensorId {
        let mut shape = self.shape(input);
        shape.pop();
        self.compute("max", &shape, |output| Op::Advice(Advice { rule: AdviceRule::Max { input }, output }))
    }

    /// `floor(numerator / denominator)`, without the assertions that leave one value.
    pub fn advice_quotient(&mut self, numerator: TensorId, denominator: TensorId) -> TensorId {
        let shape = self.shape(denominator);
        let rule = AdviceRule::FloorDiv { numerator, denominator };
        self.compute("quotient", &shape, |output| Op::Advice(Advice { rule, output }))
    }

    pub fn output(&mut self, tensor: TensorId) {
        self.graph.outputs.push(Port { tensor, exponent: 0 });
    }

    pub fn statement(&self) -> Statement {
        self.statement_of(&self.values)
    }

    /// What a run with these values says.
    pub fn statement_of(&self, values: &Values) -> Statement {
        Statement::of(self.inference_of(values))
    }

    /// What one of the inferences with these values says.
    pub fn inference_of(&self, values: &Values) -> Inference {
        let ports =
            |ports: &[Port]| ports.iter().map(|p| values[p.tensor.index()].as_ref().unwrap().to_vec()).collect();
        let (inputs, outputs) = (ports(self.graph.given()), ports(&self.graph.outputs));
        Inference { inputs, outputs, sampling: self.sampling }
    }

    pub fn key(&self, cuts: &[usize]) -> ModelKey {
        let subgraph = |node: usize| cuts.iter().filter(|&&c| node >= c).count() as u32;
        let subgraph_of_node = (0..self.graph.nodes.len()).map(subgraph).collect();
        let partition = Partition { subgraph_of_node, count: cuts.len() as u32 + 1 };
        prover::setup(&Cpu, self.graph.clone(), &self.weights, partition, Security::Bits128).unwrap()
    }
}

/// Everything a job makes.
pub struct Job {
    pub key: ModelKey,
    pub statement: Statement,
    pub boundary: Boundary,
    pub subgraphs: Vec<Vec<u8>>,
    pub proof: Vec<u8>,
}

pub fn run(net: &Net, cuts: &[usize]) -> Job {
    let key = net.key(cuts);
    let statement = net.statement();
    let boundary = prover::commit_boundary(&Cpu, &key, &net.values).unwrap();
    let about = prover::Job { key: &key, statement: statement.digest(&key), boundary: boundary.root };
    let prove = |s| prover::prove(&Cpu, about, s, &net.values, None).unwrap();
    let subgraphs: Vec<_> = (0..key.partition().count).map(prove).collect();
    let proof = prover::aggregate(&Cpu, &key, statement.clone(), &boundary, subgraphs.clone()).unwrap();
    Job { key, statement, boundary, subgraphs, proof }
}

/// Small pseudo-random integers.
pub fn numbers(n: usize, seed: u64, bound: i64) -> Vec<i64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as i64 % (2 * bound + 1) - bound
        })
        .collect()
}

pub fn requant(input: TensorId, shift: u32, lo: i64, bits: u32) -> Lookup {
    let add = if shift == 0 { 0 } else { 1 << (shift - 1) };
    let (below, above) = (Bound::Saturate, Bound::Saturate);
    Lookup { input, multiplier: 1, add, shift, lo, bits, below, above, table: None, output: None }
}

pub fn axis(input: usize, output: usize) -> AxisGroup {
    let map = IndexMap::Affine { offset: 0, strides: vec![1] };
    AxisGroup { input_axes: vec![input], output_axes: vec![output], map }
}
