//! Rules of a graph, on which the argument's soundness rests: ids, shapes, labels and magnitudes.

use crate::error::Error;
use crate::generation;
use crate::graph::{Advice, AdviceRule, Bound, Einsum, Graph, IndexMap, Lookup, Op, Source, View};
use std::collections::BTreeSet;

const MAX_MAGNITUDE: i128 = 1 << 62;
const MAX_SATURATING: i128 = 1 << 57;
const MAX_ELEMENTS: usize = 1 << 30;

fn rule(holds: bool, place: &str, rule: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Key(format!("{place}: {rule}"))) }
}

fn below_62_bits(x: i64) -> bool {
    i128::from(x).abs() < MAX_MAGNITUDE
}

/// Checks a graph.
pub fn check(graph: &Graph) -> Result<(), Error> {
    check_structure(graph)?;
    generation::check(graph)
}

/// Checks a graph but for what its ports stand for.
pub fn check_structure(graph: &Graph) -> Result<(), Error> {
    check_tensors(graph)?;
    check_ports(graph)?;
    for (index, node) in graph.nodes.iter().enumerate() {
        let place = format!("node '{}'", node.name);
        for input in node.op.inputs() {
            let tensor = graph.tensor(input).map_err(|_| Error::Key(format!("{place}: a tensor does not exist")))?;
            if let Source::Node(by) = tensor.source {
                rule((by as usize) < index, &place, "it reads a tensor that is computed later")?;
            }
        }
        if let Some(output) = node.op.output() {
            let tensor = graph.tensor(output).map_err(|_| Error::Key(format!("{place}: a tensor does not exist")))?;
            rule(tensor.source == Source::Node(index as u32), &place, "its output belongs to another node")?;
        }
        match &node.op {
            Op::Einsum(e) => check_einsum(graph, e, &place)?,
            Op::Lookup(l) => check_lookup(graph, l, &place)?,
            Op::View(v) => check_view(graph, v, &place)?,
            Op::Advice(a) => check_advice(graph, a, &place)?,
        }
    }
    Ok(())
}

fn check_tensors(graph: &Graph) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for (index, tensor) in graph.tensors.iter().enumerate() {
        let place = format!("tensor '{}'", tensor.name);
        rule(names.insert(&tensor.name), &place, "another tensor has this name")?;
        let length = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(0);
        rule((1..=MAX_ELEMENTS).contains(&length), &place, "it is empty or too large")?;
        let interval = tensor.lo <= tensor.hi && below_62_bits(tensor.lo) && below_62_bits(tensor.hi);
        rule(interval, &place, "its interval is empty or beyond 62 bits")?;
        let sourced = match tensor.source {
            Source::Weight => true,
            Source::Input => graph.inputs.iter().filter(|p| p.tensor as usize == index).count() == 1,
            Source::Node(n) => {
                graph.nodes.get(n as usize).and_then(|n| n.op.output()).is_some_and(|t| t as usize == index)
            }
        };
        rule(sourced, &place, "its source does not name it")?;
    }
    Ok(())
}

fn check_ports(graph: &Graph) -> Result<(), Error> {
    let source = |id: u32| graph.tensors.get(id as usize).map(|t| t.source);
    let mut seen = BTreeSet::new();
    for port in &graph.inputs {
        rule(source(port.tensor) == Some(Source::Input), "ports", "an input names a tensor that is none")?;
    }
    for port in &graph.outputs {
        rule(matches!(source(port.tensor), Some(Source::Node(_))), "ports", "an output is not computed")?;
        rule(seen.insert(port.tensor), "ports", "a tensor is an output twice")?;
    }
    rule(!seen.is_empty(), "ports", "there is no output")
}

fn check_einsum(graph: &Graph, e: &Einsum, place: &str) -> Result<(), Error> {
    rule(e.dims.len() <= 64, place, "it has more than 64 labels")?;
    check_labels(graph, e, &e.out_labels, e.output, place)?;
    rule(!e.terms.is_empty(), place, "it has no terms")?;
    for term in &e.terms {
        rule(term.coefficient != 0 && below_62_bits(term.coefficient), place, "a coefficient is 0 or too large")?;
        rule(term.operands.len() <= 8, place, "a term has more than 8 operands")?;
        for operand in &term.operands {
            check_labels(graph, e, &operand.labels, operand.tensor, place)?;
        }
    }
    Ok(())
}

fn check_labels(graph: &Graph, e: &Einsum, labels: &[u8], tensor: u32, place: &str) -> Result<(), Error> {
    rule(labels.iter().collect::<BTreeSet<_>>().len() == labels.len(), place, "a label is named twice")?;
    let lengths: Option<Vec<usize>> = labels.iter().map(|&l| e.dims.get(usize::from(l)).copied()).collect();
    rule(lengths.as_ref() == Some(&graph.tensor(tensor)?.shape), place, "labels do not fit a shape")
}

fn check_lookup(graph: &Graph, l: &Lookup, place: &str) -> Result<(), Error> {
    let input = graph.tensor(l.input)?;
    rule(l.multiplier > 0 && below_62_bits(l.multiplier), place, "the multiplier is not in range")?;
    rule(l.shift <= 62 && (1..=62).contains(&l.bits), place, "shift or bits are beyond 62")?;
    rule(below_62_bits(l.lo) && below_62_bits(l.add), place, "a parameter is beyond 62 bits")?;
    let image = |x: i64| i128::from(x) * i128::from(l.multiplier) + i128::from(l.add);
    let saturates = l.below == Bound::Saturate || l.above == Bound::Saturate;
    let limit = if saturates { MAX_SATURATING } else { MAX_MAGNITUDE };
    rule(image(input.lo) > -limit && image(input.hi) < limit, place, "the scaled input is too large")?;
    let top = i128::from(l.lo) + (1 << l.bits) - 1;
    let domain = top << l.shift < limit && i128::from(l.lo) << l.shift > -limit;
    rule(domain, place, "the domain before the shift is too large")?;
    if let Some(table) = l.table {
        let table = graph.tensor(table)?;
        rule(l.output.is_some(), place, "an assertion has a table")?;
        rule(l.bits <= 20 && table.shape == [1 << l.bits], place, "the table has another shape than 2^bits")?;
        rule(table.source == Source::Weight, place, "the table is not a constant")?;
    }
    match l.output {
        Some(output) => rule(graph.tensor(output)?.shape == input.shape, place, "input and output differ in shape"),
        None => rule(!saturates, place, "an assertion saturates"),
    }
}

fn check_view(graph: &Graph, v: &View, place: &str) -> Result<(), Error> {
    let (input, output) = (&graph.tensor(v.input)?.shape, &graph.tensor(v.output)?.shape);
    let mut input_axes: Vec<usize> = v.groups.iter().flat_map(|g| g.input_axes.iter().copied()).collect();
    let mut output_axes: Vec<usize> = v.groups.iter().flat_map(|g| g.output_axes.iter().copied()).collect();
    input_axes.sort_unstable();
    output_axes.sort_unstable();
    let partition = input_axes.iter().copied().eq(0..input.len()) && output_axes.iter().copied().eq(0..output.len());
    rule(partition, place, "an axis is in no group or in several")?;
    for group in &v.groups {
        let fits = match &group.map {
            IndexMap::Affine { offset, strides } => {
                let small = |&x: &i64| x.unsigned_abs() <= MAX_ELEMENTS as u64;
                strides.len() == group.output_axes.len() && small(offset) && strides.iter().all(small)
            }
            IndexMap::Table(table) => {
                table.len() == group.output_axes.iter().filter_map(|&a| output.get(a)).product::<usize>()
            }
        };
        rule(fits, place, "an index map does not fit its axes")?;
    }
    Ok(())
}

fn check_advice(graph: &Graph, a: &Advice, place: &str) -> Result<(), Error> {
    let shape = |id: u32| graph.tensor(id).map(|t| t.shape.as_slice());
    let positive = |id: u32| graph.tensor(id).map(|t| t.lo > 0);
    let output = shape(a.output)?;
    let fits = match a.rule {
        AdviceRule::Max { input } => shape(input)?.split_last().is_some_and(|(_, rest)| rest == output),
        AdviceRule::FloorDiv { numerator, denominator } => {
            let numerator = shape(numerator)?;
            output.ends_with(numerator) && shape(denominator)? == output && positive(denominator)?
        }
        AdviceRule::Rsqrt { input, exponent } => shape(input)? == output && positive(input)? && exponent <= 62,
    };
    rule(fits, place, "the rule does not fit the shapes and intervals")
}
