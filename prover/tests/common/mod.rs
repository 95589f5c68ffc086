//! Small graphs, run by a slow interpreter, for tests of the argument; and what a prover may lie about.
#![allow(dead_code)]

pub mod attempt;
pub mod nets;
pub mod verdict;

use kernels::{Cpu, Ints};
use prover::{Boundary, Values, Weights};
use verifier::graph::*;
use verifier::key::{ModelKey, Partition, Security};
use verifier::statement::Statement;

/// Builds a graph node by node and runs it at once.
#[derive(Default)]
pub struct Net {
    pub graph: Graph,
    pub weights: Weights,
    pub values: Values,
    /// What is added to an element of a computed tensor; all that is computed from it follows.
    pub lie: Option<Lie>,
}

/// `delta` is added to an element of a tensor.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    pub tensor: TensorId,
    pub element: usize,
    pub delta: i64,
}

impl Net {
    fn tensor(&mut self, name: &str, shape: &[usize], source: Source, mut values: Vec<i64>) -> TensorId {
        let id = TensorId(self.graph.tensors.len() as u32);
        if let Some(lie) = self.lie.filter(|lie| lie.tensor == id) {
            values[lie.element] += lie.delta;
        }
        let (lo, hi) = (values.iter().min().unwrap(), values.iter().max().unwrap());
        // Wider than the values seen, as an interval analysis would give.
        let slack = (hi - lo) / 2 + 3;
        let name = format!("{name}{}", id.0);
        self.graph.tensors.push(Tensor { name, shape: shape.to_vec(), lo: lo - slack, hi: hi + slack, source });
        self.values.push(Some(Ints::from(values)));
        id
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

    fn node(&mut self, name: &str, op: Op) {
        self.graph.nodes.push(Node { name: name.into(), op });
    }

    fn next_source(&self) -> Source {
        Source::Node(self.graph.nodes.len() as u32)
    }

    /// `spec`: terms of (coefficient, operands with labels as letters), and the output's letters.
    pub fn einsum(&mut self, terms: &[(i64, &[(TensorId, &str)])], out: &str) -> TensorId {
        let label = |c: char| c as u8 - b'a';
        let mut dims = vec![1usize; 8];
        for (_, operands) in terms {
            for (t, labels) in *operands {
                labels.chars().zip(self.shape(*t)).for_each(|(c, d)| dims[label(c) as usize] = d);
            }
        }
        let out_labels: Vec<u8> = out.chars().map(label).collect();
        let joint: usize = dims.iter().product();
        let out_shape: Vec<usize> = out_labels.iter().map(|&l| dims[l as usize]).collect();
        let mut values = vec![0i64; out_shape.iter().product()];
        let digits = |flat: usize| -> Vec<usize> {
            let mut rest = flat;
            let mut digits = vec![0; 8];
            for l in (0..8).rev() {
                digits[l] = rest % dims[l];
                rest /= dims[l];
            }
            digits
        };
        let flat =
            |digits: &[usize], labels: &[u8]| labels.iter().fold(0, |f, &l| f * dims[l as usize] + digits[l as usize]);
        for (coefficient, operands) in terms {
            let operands: Vec<(Vec<i64>, Vec<u8>)> =
                operands.iter().map(|(t, labels)| (self.get(*t), labels.chars().map(label).collect())).collect();
            for i in 0..joint {
                let d = digits(i);
                // Labels of neither the term nor the output count once.
                let idle = (0..8u8).any(|l| {
                    d[l as usize] > 0 && !out_labels.contains(&l) && !operands.iter().any(|(_, ls)| ls.contains(&l))
                });
                if !idle {
                    let product: i64 = operands.iter().map(|(v, ls)| v[flat(&d, ls)]).product();
                    values[flat(&d, &out_labels)] += coefficient * product;
                }
            }
        }
        let output = self.tensor("einsum", &out_shape, self.next_source(), values);
        let terms = terms
            .iter()
            .map(|(coefficient, operands)| Term {
                coefficient: *coefficient,
                operands: operands
                    .iter()
                    .map(|(tensor, labels)| Operand { tensor: *tensor, labels: labels.chars().map(label).collect() })
                    .collect(),
            })
            .collect();
        self.node("einsum", Op::Einsum(Einsum { dims, out_labels, terms, output }));
        output
    }

    pub fn lookup(&mut self, mut l: Lookup, output: bool) -> Option<TensorId> {
        let table = l.table.map(|t| self.get(t));
        let values: Vec<i64> = self
            .get(l.input)
            .into_iter()
            .map(|x| {
                let h = (x * l.multiplier + l.add) >> l.shift;
                let c = h.clamp(l.lo, l.lo + (1 << l.bits) - 1);
                table.as_ref().map_or(c, |t| t[(c - l.lo) as usize])
            })
            .collect();
        let shape = self.shape(l.input);
        l.output = output.then(|| self.tensor("lookup", &shape, self.next_source(), values));
        self.node("lookup", Op::Lookup(l.clone()));
        l.output
    }

    pub fn view(&mut self, input: TensorId, shape: &[usize], groups: Vec<AxisGroup>) -> TensorId {
        let from = self.shape(input);
        let source = self.get(input);
        let len: usize = shape.iter().product();
        let maps: Vec<_> = groups.iter().map(|g| g.indices(&from, shape)).collect();
        let mut values = vec![0; len];
        for (flat, value) in values.iter_mut().enumerate() {
            let mut digits = vec![0; shape.len()];
            let mut rest = flat;
            for a in (0..shape.len()).rev() {
                digits[a] = rest % shape[a];
                rest /= shape[a];
            }
            let mut at = vec![0; from.len()];
            let mut inside = true;
            for (group, map) in groups.iter().zip(&maps) {
                let o = group.output_axes.iter().fold(0, |f, &a| f * shape[a] + digits[a]);
                match map[o] {
                    None => inside = false,
                    Some(mut i) => {
                        for &a in group.input_axes.iter().rev() {
                            at[a] = i % from[a];
                            i /= from[a];
                        }
                    }
                }
            }
            if inside {
                *value = source[at.iter().zip(&from).fold(0, |f, (&i, &d)| f * d + i)];
            }
        }
        let output = self.tensor("view", shape, self.next_source(), values);
        self.node("view", Op::View(View { input, output, groups }));
        output
    }

    pub fn advice_max(&mut self, input: TensorId) -> TensorId {
        let mut shape = self.shape(input);
        let n = shape.pop().unwrap();
        let values = self.get(input).chunks(n).map(|row| *row.iter().max().unwrap()).collect();
        let output = self.tensor("max", &shape, self.next_source(), values);
        self.node("max", Op::Advice(Advice { rule: AdviceRule::Max { input }, output }));
        output
    }

    /// `floor(numerator / denominator)`, without the assertions that leave one value.
    pub fn divide(&mut self, numerator: TensorId, denominator: TensorId) -> TensorId {
        let shape = self.shape(denominator);
        let values = self.get(numerator).iter().zip(self.get(denominator)).map(|(n, d)| n.div_euclid(d)).collect();
        let output = self.tensor("quotient", &shape, self.next_source(), values);
        self.node("quotient", Op::Advice(Advice { rule: AdviceRule::FloorDiv { numerator, denominator }, output }));
        output
    }

    pub fn assert_range(&mut self, input: TensorId, lo: i64, bits: u32) {
        let (below, above) = (Bound::Forbid, Bound::Forbid);
        self.lookup(Lookup { below, above, ..requant(input, 0, lo, bits) }, false);
    }

    pub fn output(&mut self, tensor: TensorId) {
        self.graph.outputs.push(Port { tensor, exponent: 0 });
    }

    pub fn statement(&self) -> Statement {
        let ports = |ports: &[Port]| ports.iter().map(|p| self.get(p.tensor)).collect();
        Statement { inputs: ports(&self.graph.inputs), outputs: ports(&self.graph.outputs) }
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
    let digest = statement.digest(&key);
    let prove = |s| prover::prove(&Cpu, &key, digest, boundary.root, s, &net.values).unwrap();
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
