//! The float executor: the shadow run that calibrates scales and that the accuracy report compares with.

use super::{Graph, Node, Op, Value};
use crate::dense::{self, Factor};

/// Every value of the graph for the given inputs (row-major, in order, with the lengths of the input nodes).
pub fn run(graph: &Graph, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut values: Vec<Vec<f64>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let value = match &node.op {
            Op::Input(position) => inputs[*position].clone(),
            _ => {
                let operands: Vec<&[f64]> = node.op.inputs().iter().map(|v| values[v.0].as_slice()).collect();
                compute(graph, node, &operands)
            }
        };
        values.push(value);
    }
    values
}

/// The value of a node from those of its inputs, in the order of [`Op::inputs`].
pub fn compute(graph: &Graph, node: &Node, operands: &[&[f64]]) -> Vec<f64> {
    let map = |f: &dyn Fn(f64) -> f64| operands[0].iter().map(|&x| f(x)).collect();
    let rows = |input: Value| operands[0].chunks_exact(graph.shape(input).last().copied().unwrap_or(1).max(1));
    match &node.op {
        Op::Input(_) => Vec::new(),
        Op::Constant(data) => data.clone(),
        Op::Einsum { dims, out, terms } => {
            let mut data = operands.iter();
            let terms = terms
                .iter()
                .map(|term| {
                    let factors = term.operands.iter().zip(data.by_ref());
                    let factors = factors.map(|((_, labels), d)| Factor { data: d.to_vec(), labels: labels.clone() });
                    (term.coefficient, factors.collect())
                })
                .collect();
            dense::einsum(dims, out, terms)
        }
        Op::View { input, groups } => dense::rearrange(operands[0], graph.shape(*input), &node.shape, groups),
        Op::Map { function, .. } => map(&|x| function.eval(x)),
        Op::Positive(_) => map(&|x| f64::from(x > 0.0)),
        Op::Floor(_) => map(&f64::floor),
        Op::Reciprocal(_) => map(&|x| 1.0 / x),
        Op::Rsqrt(_) => map(&|x| 1.0 / x.sqrt()),
        Op::Max { input, present } => {
            let counts = |i: usize| present.is_none() || operands[1][i % operands[1].len()] != 0.0;
            let length = graph.shape(*input).last().copied().unwrap_or(1);
            let max = |(r, row): (usize, &[f64])| {
                let counted = row.iter().enumerate().filter(|&(j, _)| counts(r * length + j));
                counted.fold(f64::NEG_INFINITY, |max, (_, &x)| max.max(x))
            };
            rows(*input).enumerate().map(max).collect()
        }
        Op::ArgMax { input, last } => rows(*input).map(|row| arg_max(row, *last) as f64).collect(),
        Op::Quotient(..) => operands[0].iter().zip(operands[1]).map(|(a, b)| (a / b).floor()).collect(),
    }
}

fn arg_max(row: &[f64], last: bool) -> usize {
    let mut best = 0;
    for (index, &x) in row.iter().enumerate() {
        if x > row[best] || (last && x == row[best]) {
            best = index;
        }
    }
    best
}
