//! The float executor: the shadow run that calibrates scales and that the accuracy report compares with.

use super::{Graph, Node, Op, Value};
use kernels::dense::{self, Factor};
use rayon::prelude::*;
use std::borrow::Cow;

/// Elements that one core computes a function of at a time.
const PARALLEL: usize = 1 << 13;

/// Every value of the graph for the given inputs (row-major, in order, with the lengths of the input nodes), handed to
/// `visit` in order. Values are kept no longer than they are read.
pub fn run(graph: &Graph, inputs: &[Vec<f64>], visit: &mut dyn FnMut(Value, &[f64])) {
    let mut last_use: Vec<usize> = (0..graph.nodes.len()).collect();
    for (index, node) in graph.nodes.iter().enumerate() {
        node.op.inputs().iter().for_each(|v| last_use[v.0] = index);
    }
    let mut values: Vec<Cow<'_, [f64]>> = vec![Cow::Borrowed(&[]); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let operands = node.op.inputs();
        let value = match &node.op {
            Op::Input(position) => Cow::Borrowed(&inputs[*position][..]),
            Op::Constant(data) => Cow::Borrowed(&data[..]),
            _ => {
                let operands: Vec<&[f64]> = operands.iter().map(|v| &*values[v.0]).collect();
                Cow::Owned(compute(graph, node, &operands))
            }
        };
        visit(Value(index), &value);
        if last_use[index] > index {
            values[index] = value;
        }
        for operand in operands.iter().filter(|v| last_use[v.0] == index) {
            values[operand.0] = Cow::Borrowed(&[]);
        }
    }
}

/// The value of a node from those of its inputs, in the order of [`Op::inputs`].
pub fn compute(graph: &Graph, node: &Node, operands: &[&[f64]]) -> Vec<f64> {
    let map = |f: &(dyn Fn(f64) -> f64 + Sync)| {
        let chunks = operands[0].par_chunks(PARALLEL).flat_map_iter(|chunk| chunk.iter().map(|&x| f(x)));
        chunks.collect()
    };
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
                    let factors = factors.map(|((_, labels), d)| Factor::borrowed(d, labels));
                    (term.coefficient, factors.collect())
                })
                .collect();
            dense::einsum(dims, out, terms)
        }
        Op::View { input, groups } => dense::rearrange(operands[0], graph.shape(*input), &node.shape, groups),
        Op::Map { function, .. } => map(&|x| function.eval(x)),
        Op::Noisy(_) => operands[0].to_vec(),
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
        Op::Mask { floor, .. } => {
            let seen = operands[1].iter().cycle();
            operands[0].iter().zip(seen).map(|(&x, &seen)| if seen == 0.0 { *floor } else { x }).collect()
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
