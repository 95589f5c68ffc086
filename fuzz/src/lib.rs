//! A small model with a valid proof, for the targets: a dense layer, then requantisation and ReLU, in two subgraphs.
//! The weights are just too many to be sent in the clear, so that the proof holds a WHIR opening.

use kernels::{Cpu, Ints};
use prover::{Job, Weights, aggregate, commit_boundary, prove, setup};
use verifier::graph::{
    Bound, Einsum, Graph, Interface, Lookup, Node, Op, Operand, Port, Source, Tensor, TensorId, Term,
};
use verifier::key::{ModelKey, Partition, Security};
use verifier::statement::{Inference, Statement};

const INPUTS: usize = 64;
const OUTPUTS: usize = 257;
const X: TensorId = TensorId(0);
const W: TensorId = TensorId(1);
const H: TensorId = TensorId(2);
const Y: TensorId = TensorId(3);

fn graph() -> Graph {
    let tensor =
        |name: &str, shape: &[usize], lo, hi, source| Tensor { name: name.into(), shape: shape.into(), lo, hi, source };
    let dense = Einsum {
        dims: vec![INPUTS, OUTPUTS],
        out_labels: vec![1],
        terms: vec![Term {
            coefficient: 1,
            operands: vec![Operand { tensor: X, labels: vec![0] }, Operand { tensor: W, labels: vec![0, 1] }],
        }],
        output: H,
    };
    let relu = Lookup {
        input: H,
        multiplier: 1,
        add: 8,
        shift: 4,
        lo: 0,
        bits: 7,
        below: Bound::Saturate,
        above: Bound::Saturate,
        table: None,
        output: Some(Y),
    };
    Graph {
        tensors: vec![
            tensor("x", &[INPUTS], -8, 7, Source::Input),
            tensor("w", &[INPUTS, OUTPUTS], -8, 7, Source::Weight),
            tensor("h", &[OUTPUTS], -4096, 4096, Source::Node(0)),
            tensor("y", &[OUTPUTS], 0, 127, Source::Node(1)),
        ],
        nodes: vec![
            Node { name: "dense".into(), op: Op::Einsum(dense) },
            Node { name: "relu".into(), op: Op::Lookup(relu) },
        ],
        inputs: vec![Port { tensor: X, exponent: 0 }],
        outputs: vec![Port { tensor: Y, exponent: 0 }],
        interface: Interface::Tensors,
    }
}

/// The model's key and a proof that it accepts.
pub fn tiny() -> (ModelKey, Vec<u8>) {
    let x: Vec<i64> = (0..INPUTS as i64).map(|i| i * 5 % 16 - 8).collect();
    let w: Vec<i64> = (0..(INPUTS * OUTPUTS) as i64).map(|i| i * i % 17 % 16 - 8).collect();
    let h: Vec<i64> = (0..OUTPUTS).map(|j| (0..INPUTS).map(|i| x[i] * w[i * OUTPUTS + j]).sum()).collect();
    let y: Vec<i64> = h.iter().map(|h| ((h + 8) >> 4).clamp(0, 127)).collect();
    let weights = Weights::from([(W, Ints::from(w.clone()))]);
    let partition = Partition { subgraph_of_node: vec![0, 1], count: 2 };
    let key = setup(&Cpu, graph(), &weights, partition, Security::Bits100).expect("the model can be set up");
    let inference = Inference { inputs: vec![x.clone()], outputs: vec![y.clone()], sampling: None };
    let statement = Statement::of(inference);
    let values = [x, w, h, y].map(|values| Some(Ints::from(values))).to_vec();
    let boundary = commit_boundary(&Cpu, &key, &values).expect("all values are there");
    let job = Job { key: &key, statement: statement.digest(&key), boundary: boundary.root };
    let subgraphs = (0..2).map(|i| prove(&Cpu, job, i, &values, None).expect("the run is honest"));
    let proof = aggregate(&Cpu, &key, statement, &boundary, subgraphs.collect()).expect("the proofs are honest");
    (key, proof)
}
