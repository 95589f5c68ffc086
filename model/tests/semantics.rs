//! The executor computes what the definition says, bit for bit, on random graphs and on imported models; and advice is
//! pinned: another value of it breaks an assertion.

mod common;
mod reference;
#[path = "common/sample.rs"]
mod sample;
#[path = "common/shared.rs"]
mod shared;

use common::import_and_run;
use kernels::Ints;
use model::{Values, execute};
use reference::Tensors;
use sample::read_sample;
use shared::shared;
use verifier::graph::{
    Advice, AdviceRule, AxisGroup, Bound, Einsum, Graph, IndexMap, Lookup, Node, Op, Operand, Port, Source, Tensor,
    TensorId, Term, View,
};

/// A small pseudo-random sequence.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) % n as u64) as usize
    }

    fn between(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo + 1) as usize) as i64
    }

    fn shape(&mut self) -> Vec<usize> {
        (0..1 + self.below(3)).map(|_| 1 + self.below(4)).collect()
    }
}

struct Net {
    graph: Graph,
    given: Vec<(TensorId, Vec<i64>)>,
    random: Random,
}

const WIDE: i64 = 1 << 61;

impl Net {
    fn tensor(&mut self, shape: Vec<usize>, bound: i64, source: Source) -> TensorId {
        let name = format!("t{}", self.graph.tensors.len());
        self.graph.tensors.push(Tensor { name, shape, lo: -bound, hi: bound, source });
        TensorId(self.graph.tensors.len() as u32 - 1)
    }

    fn given(&mut self, shape: Vec<usize>, source: Source) -> TensorId {
        let values = (0..shape.iter().product()).map(|_| self.random.between(-100, 100)).collect();
        let id = self.tensor(shape, 100, source);
        if source == Source::Input {
            self.graph.inputs.push(Port { tensor: id, exponent: 0 });
        }
        self.given.push((id, values));
        id
    }

    fn computed(&mut self, shape: Vec<usize>, bound: i64, op: impl FnOnce(TensorId) -> Op) -> TensorId {
        let id = self.tensor(shape, bound, Source::Node(self.graph.nodes.len() as u32));
        self.graph.nodes.push(Node { name: "layer".into(), op: op(id) });
        id
    }

    /// Any tensor to narrow values, so that nothing wraps later.
    fn narrowed(&mut self, input: TensorId) -> TensorId {
        let shape = self.graph.tensor(input).shape.clone();
        let (shift, bits) = (self.random.below(5) as u32, 2 + self.random.below(6) as u32);
        let (lo, add) = (self.random.between(-60, 3), self.random.between(0, 20));
        let multiplier = self.random.between(1, 3);
        let table = (self.random.below(2) == 0).then(|| self.given(vec![1 << bits], Source::Weight));
        let (below, above) = (Bound::Saturate, Bound::Saturate);
        self.computed(shape, 200, |output| {
            Op::Lookup(Lookup { input, multiplier, add, shift, lo, bits, below, above, table, output: Some(output) })
        })
    }

    fn random_view(&mut self, input: TensorId) -> TensorId {
        let shape = self.graph.tensor(input).shape.clone();
        let (mut out, mut groups) = (Vec::new(), Vec::new());
        for (axis, &n) in shape.iter().enumerate() {
            let lengths: Vec<usize> = (0..self.random.below(3)).map(|_| 1 + self.random.below(4)).collect();
            let count: usize = lengths.iter().product();
            let map = if self.random.below(2) == 0 {
                let strides = lengths.iter().map(|_| self.random.between(-2, 2)).collect();
                IndexMap::Affine { offset: self.random.between(-1, n as i64), strides }
            } else {
                IndexMap::Table((0..count).map(|_| self.random.between(-1, n as i64)).collect())
            };
            let output_axes = (out.len()..out.len() + lengths.len()).collect();
            out.extend(lengths);
            groups.push(AxisGroup { input_axes: vec![axis], output_axes, map });
        }
        let bound = self.graph.tensor(input).hi;
        self.computed(out, bound, |output| Op::View(View { input, output, groups }))
    }

    /// Labels at random: axes of one length may share one, and any may be kept.
    fn random_einsum(&mut self, pool: &[TensorId]) -> TensorId {
        let mut dims: Vec<usize> = Vec::new();
        let mut terms = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let mut operands = Vec::new();
            for _ in 0..self.random.below(4) {
                let tensor = pool[self.random.below(pool.len())];
                let mut labels: Vec<u8> = Vec::new();
                for &n in &self.graph.tensor(tensor).shape.clone() {
                    let shared = (0..dims.len() as u8).find(|&l| dims[l as usize] == n && !labels.contains(&l));
                    let label = shared.filter(|_| self.random.below(4) != 0).unwrap_or_else(|| {
                        dims.push(n);
                        dims.len() as u8 - 1
                    });
                    labels.push(label);
                }
                operands.push(Operand { tensor, labels });
            }
            terms.push(Term { coefficient: self.random.between(1, 5), operands });
        }
        let mut out: Vec<u8> = Vec::new();
        for label in 0..dims.len() as u8 {
            let place = self.random.below(out.len() + 1);
            if out.len() < 4 && self.random.below(2) == 0 {
                out.insert(place, label);
            }
        }
        let shape = out.iter().map(|&l| dims[l as usize]).collect();
        self.computed(shape, WIDE, |output| Op::Einsum(Einsum { dims, out_labels: out, terms, output }))
    }
}

fn random_net(seed: u64) -> Net {
    let mut net = Net { graph: Graph::default(), given: Vec::new(), random: Random(seed * 2 + 1) };
    let mut pool = Vec::new();
    for source in [Source::Input, Source::Weight, Source::Input] {
        let shape = net.random.shape();
        pool.push(net.given(shape, source));
    }
    for _ in 0..8 {
        let next = match net.random.below(3) {
            0 => {
                let input = pool[net.random.below(pool.len())];
                net.random_view(input)
            }
            _ => {
                let wide = net.random_einsum(&pool);
                net.narrowed(wide)
            }
        };
        if net.graph.tensor(next).len() < 200 && net.graph.tensor(next).shape.len() <= 4 {
            pool.push(next);
        }
    }
    let last = pool[pool.len() - 1];
    let shape = net.graph.tensor(last).shape.clone();
    if let Some((_, row)) = shape.split_last() {
        net.computed(row.to_vec(), 200, |output| Op::Advice(Advice { rule: AdviceRule::Max { input: last }, output }));
    }
    net
}

fn compare(graph: &Graph, given: &Values, name: &str) {
    let mut tensors: Tensors = Tensors::new();
    for (index, value) in given.iter().enumerate() {
        if let Some(value) = value {
            tensors.insert(TensorId(index as u32), value.to_vec().into_iter().map(i128::from).collect());
        }
    }
    let mut values = given.clone();
    let found = execute(&kernels::Cpu, graph, 0..graph.nodes.len() as u32, &mut values);
    reference::run(graph, &mut tensors).unwrap_or_else(|e| panic!("{name}: {e}"));
    found.unwrap_or_else(|e| panic!("{name}: {e}"));
    for (index, tensor) in graph.tensors.iter().enumerate() {
        let id = TensorId(index as u32);
        let fast = values[index].as_ref().map(Ints::to_vec);
        let slow = tensors.get(&id).map(|v| v.iter().map(|&x| x as i64).collect::<Vec<_>>());
        assert_eq!(fast, slow, "{name}: tensor '{}'", tensor.name);
    }
}

#[test]
fn random_graphs_run_as_defined() {
    for seed in 0..300 {
        let net = random_net(seed);
        let mut given: Values = vec![None; net.graph.tensors.len()];
        for (id, values) in &net.given {
            given[id.index()] = Some(Ints::from(values.clone()));
        }
        compare(&net.graph, &given, &format!("seed {seed}"));
    }
}

/// Steps of the definition above which a model is too slow to define.
const MOST_STEPS: usize = 20_000_000;

fn steps(graph: &Graph) -> usize {
    let work = |op: &Op| match op {
        Op::Einsum(e) => e
            .terms
            .iter()
            .map(|t| {
                let mut labels: Vec<u8> =
                    t.operands.iter().flat_map(|o| &o.labels).chain(&e.out_labels).copied().collect();
                labels.sort_unstable();
                labels.dedup();
                labels.iter().map(|&l| e.dims[l as usize]).product::<usize>()
            })
            .sum(),
        op => op.output().map_or(0, |t| graph.tensor(t).len()),
    };
    graph.nodes.iter().map(|n| work(&n.op)).sum()
}

#[test]
fn imported_models_run_as_defined_and_their_advice_is_pinned() {
    let Some(folder) = shared("onnx") else { return };
    let mut compared = 0;
    for entry in std::fs::read_dir(&folder).expect("the folder is readable").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let bytes = std::fs::read(entry.path().join("network.onnx")).expect("the model is readable");
        let sample = read_sample(&entry.path().join("input.json"));
        let Ok((model, values)) = import_and_run(&bytes, &sample) else { continue };
        if steps(&model.graph) > MOST_STEPS {
            println!("{name} takes too many steps for the definition");
            continue;
        }
        let given = model.graph.tensors.iter().zip(&values).map(|(t, v)| match t.source {
            Source::Node(_) => None,
            Source::Input | Source::Weight => v.clone(),
        });
        compare(&model.graph, &given.collect::<Values>(), &name);
        advice_is_pinned(&model.graph, &values, &name);
        compared += 1;
    }
    assert!(compared > 50, "only {compared} models were compared");
}

/// Every advice, one element moved up or down by one: some assertion must fail.
fn advice_is_pinned(graph: &Graph, values: &Values, name: &str) {
    let count = graph.nodes.len() as u32;
    for (index, node) in graph.nodes.iter().enumerate() {
        let Op::Advice(advice) = &node.op else { continue };
        for step in [-1, 1] {
            let mut altered = values.clone();
            let mut output = values[advice.output.index()].as_ref().map(Ints::to_vec).expect("the model was run");
            let element = index % output.len();
            output[element] += step;
            altered[advice.output.index()] = Some(Ints::from(output));
            let result = execute(&kernels::Cpu, graph, index as u32 + 1..count, &mut altered);
            assert!(result.is_err(), "{name}: '{}' may be off by {step}", graph.tensor(advice.output).name);
        }
    }
}
