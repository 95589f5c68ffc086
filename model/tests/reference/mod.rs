//! The definition of a graph's meaning, as `docs/semantics.md` words it: nested loops over `i128`, nothing clever.

use std::collections::BTreeMap;
use verifier::graph::{AdviceRule, Bound, Einsum, Graph, IndexMap, Lookup, Op, TensorId, View};

/// Values of tensors, row-major.
pub type Tensors = BTreeMap<TensorId, Vec<i128>>;

/// Runs the whole graph; `tensors` holds inputs and weights. Checks what is forbidden, and every interval.
pub fn run(graph: &Graph, tensors: &mut Tensors) -> Result<(), String> {
    for node in &graph.nodes {
        let result = match &node.op {
            Op::Einsum(e) => Some(einsum(graph, e, tensors)),
            Op::Lookup(l) => lookup(l, tensors)?,
            Op::View(v) => Some(view(graph, v, tensors)),
            Op::Advice(a) => Some(advice(graph, &a.rule, tensors)),
        };
        if let (Some(values), Some(output)) = (result, node.op.output()) {
            let tensor = graph.tensor(output);
            assert_eq!(values.len(), tensor.len(), "{}", tensor.name);
            if let Some(x) = values.iter().find(|x| !(tensor.lo.into()..=tensor.hi.into()).contains(*x)) {
                return Err(format!("'{}': {x} is outside its interval {}..={}", tensor.name, tensor.lo, tensor.hi));
            }
            tensors.insert(output, values);
        }
    }
    Ok(())
}

/// All indices of a shape, in row-major order.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    shape.iter().fold(vec![Vec::new()], |prefixes, &n| {
        prefixes.iter().flat_map(|p| (0..n).map(move |i| p.iter().copied().chain([i]).collect())).collect()
    })
}

fn at(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |flat, (&n, &i)| flat * n + i)
}

fn einsum(graph: &Graph, e: &Einsum, tensors: &Tensors) -> Vec<i128> {
    let lengths = |labels: &[u8]| labels.iter().map(|&l| e.dims[l as usize]).collect::<Vec<_>>();
    let mut output = Vec::new();
    for out in indices(&lengths(&e.out_labels)) {
        let mut place = vec![0; e.dims.len()];
        e.out_labels.iter().zip(&out).for_each(|(&l, &i)| place[l as usize] = i);
        let mut sum = 0i128;
        for term in &e.terms {
            let mut summed: Vec<u8> = term.operands.iter().flat_map(|o| &o.labels).copied().collect();
            summed.retain(|l| !e.out_labels.contains(l));
            summed.sort_unstable();
            summed.dedup();
            for inner in indices(&lengths(&summed)) {
                summed.iter().zip(&inner).for_each(|(&l, &i)| place[l as usize] = i);
                let mut product = i128::from(term.coefficient);
                for operand in &term.operands {
                    let index: Vec<usize> = operand.labels.iter().map(|&l| place[l as usize]).collect();
                    product *= tensors[&operand.tensor][at(&graph.tensor(operand.tensor).shape, &index)];
                }
                sum += product;
            }
        }
        output.push(sum);
    }
    output
}

fn lookup(l: &Lookup, tensors: &Tensors) -> Result<Option<Vec<i128>>, String> {
    let (lo, hi) = (i128::from(l.lo), i128::from(l.lo) + (1i128 << l.bits) - 1);
    let mut output = Vec::new();
    for &x in &tensors[&l.input] {
        let h = (x * i128::from(l.multiplier) + i128::from(l.add)).div_euclid(1i128 << l.shift);
        if (h < lo && l.below == Bound::Forbid) || (h > hi && l.above == Bound::Forbid) {
            return Err(format!("{h} is outside {lo}..={hi}"));
        }
        let c = h.clamp(lo, hi);
        output.push(match l.table {
            Some(table) => tensors[&table][(c - lo) as usize],
            None => c,
        });
    }
    Ok(l.output.map(|_| output))
}

fn view(graph: &Graph, v: &View, tensors: &Tensors) -> Vec<i128> {
    let (from, to) = (&graph.tensor(v.input).shape, &graph.tensor(v.output).shape);
    let element = |out: Vec<usize>| -> i128 {
        let mut place = vec![0; from.len()];
        for group in &v.groups {
            let own: Vec<usize> = group.output_axes.iter().map(|&a| out[a]).collect();
            let lengths: Vec<usize> = group.input_axes.iter().map(|&a| from[a]).collect();
            let flat = match &group.map {
                IndexMap::Affine { offset, strides } => {
                    own.iter().zip(strides).fold(*offset, |sum, (&o, &s)| sum + s * o as i64)
                }
                IndexMap::Table(table) => {
                    let shape: Vec<usize> = group.output_axes.iter().map(|&a| to[a]).collect();
                    table[at(&shape, &own)]
                }
            };
            if flat < 0 || flat >= lengths.iter().product::<usize>() as i64 {
                return 0;
            }
            let mut rest = flat as usize;
            for (&axis, &n) in group.input_axes.iter().zip(&lengths).rev() {
                place[axis] = rest % n;
                rest /= n;
            }
        }
        tensors[&v.input][at(from, &place)]
    };
    indices(to).into_iter().map(element).collect()
}

fn advice(graph: &Graph, rule: &AdviceRule, tensors: &Tensors) -> Vec<i128> {
    match rule {
        AdviceRule::Max { input } => {
            let row = graph.tensor(*input).shape.last().copied().unwrap_or(1);
            tensors[input].chunks(row).map(|r| r.iter().copied().max().unwrap_or(0)).collect()
        }
        AdviceRule::FloorDiv { numerator, denominator } => {
            let n = &tensors[numerator];
            let divide = |(i, d): (usize, &i128)| n[if n.len() == 1 { 0 } else { i }].div_euclid(*d);
            tensors[denominator].iter().enumerate().map(divide).collect()
        }
        AdviceRule::Rsqrt { input, exponent } => {
            let largest = |w: &i128| {
                let (mut low, mut high) = (0i128, 1i128 << 32);
                while low + 1 < high {
                    let r = (low + high) / 2;
                    if r * r * w <= 1i128 << exponent { low = r } else { high = r }
                }
                low
            };
            tensors[input].iter().map(largest).collect()
        }
    }
}
