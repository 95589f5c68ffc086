//! `model inspect`: graph, partition, quantisation, bits of every accumulator, accuracy.

use std::{fmt::Write, fs};

use anyhow::{Context, Result};
use model::AccuracyReport;
use verifier::{
    graph::{Graph, Op, Source, Tensor},
    key::ModelKey,
};

use super::{
    drawing::draw,
    import::{Imported, set_up},
};
use crate::{args::InspectArgs, verify};

/// Security of a key that is made only to be looked at.
const SECURITY_BITS: u32 = 128;

/// Prints what a model is, and draws it if asked.
pub fn inspect(args: &InspectArgs) -> Result<()> {
    let extension = args.source.extension();
    let is_model = args.source.is_dir()
        || extension.is_some_and(|e| e.eq_ignore_ascii_case("onnx") || e.eq_ignore_ascii_case("gguf"));
    let (key, report) = if is_model {
        let Imported { key, report, .. } = set_up(&args.source, &args.setup, SECURITY_BITS)?;
        (ModelKey::from_bytes(&key)?, Some(serde_json::from_slice::<AccuracyReport>(&report)?))
    } else {
        (verify::read_key(&args.source)?, None)
    };
    print!("{}", summary(&key));
    print!("{}", nodes(&key));
    if let Some(report) = &report {
        print!("{}", accuracy(report));
    }
    if let Some(path) = &args.svg {
        fs::write(path, draw(&key)).with_context(|| format!("cannot write {}", path.display()))?;
        println!("\ndrawn in {}", path.display());
    }
    Ok(())
}

fn summary(key: &ModelKey) -> String {
    let (graph, plan) = (key.graph(), key.plan());
    let is_weight = |tensor: &&Tensor| tensor.source == Source::Weight;
    let weights: usize = graph.tensors.iter().filter(is_weight).map(Tensor::len).sum();
    let boundary: usize = plan.boundary.iter().map(|&tensor| graph.tensor(tensor).len()).sum();
    let mut text = format!(
        "model      {}\nnodes      {}\nconstants  {weights}\nsubgraphs  {}\nboundary   {} tensors, {boundary} elements\nsecurity   {} bits\n",
        verify::commitment(key),
        graph.nodes.len(),
        key.partition().count,
        plan.boundary.len(),
        key.security().bits(),
    );
    for (title, ports) in [("input", &graph.inputs), ("output", &graph.outputs)] {
        for port in ports {
            let tensor = graph.tensor(port.tensor);
            let (shape, bits) = (shape(tensor), bits(tensor));
            let _ = writeln!(
                text,
                "{title:<11}{} ({shape}), {bits} bits, real = integer * 2^{}",
                tensor.name, -port.exponent
            );
        }
    }
    text
}

/// A row for each node: the accumulator is what an einsum computes before it is requantised; `weights` are the bits of the
/// widest constant that it contracts.
fn nodes(key: &ModelKey) -> String {
    let graph = key.graph();
    let mut text = format!(
        "\n{:>5} {:>8} {:<7} {:<16} {:>5} {:>7}  {}\n",
        "node", "subgraph", "kind", "shape", "bits", "weights", "layer"
    );
    for (index, (node, subgraph)) in graph.nodes.iter().zip(&key.partition().subgraph_of_node).enumerate() {
        let output = node.op.output().map(|id| graph.tensor(id));
        let (shape, bits) = output.map_or(("assertion".into(), String::new()), |t| (shape(t), bits(t).to_string()));
        let weights = weights(graph, &node.op).map_or_else(String::new, |bits| bits.to_string());
        let _ = writeln!(
            text,
            "{index:>5} {subgraph:>8} {:<7} {shape:<16} {bits:>5} {weights:>7}  {}",
            kind(&node.op),
            node.name
        );
    }
    text + &widest(graph)
}

/// Bits of the widest constant that an einsum contracts.
fn weights(graph: &Graph, op: &Op) -> Option<u32> {
    let Op::Einsum(einsum) = op else { return None };
    let operands = einsum.terms.iter().filter(|term| term.operands.len() > 1).flat_map(|term| &term.operands);
    let constants = operands.map(|o| graph.tensor(o.tensor)).filter(|t| t.source == Source::Weight);
    constants.map(bits).max()
}

/// The einsum that comes closest to the limit that the interval analysis keeps.
fn widest(graph: &Graph) -> String {
    let einsums = graph.nodes.iter().filter(|node| matches!(node.op, Op::Einsum(_)));
    let accumulators = einsums.filter_map(|node| Some((bits(graph.tensor(node.op.output()?)), &node.name)));
    accumulators
        .max_by_key(|&(bits, _)| bits)
        .map_or(String::new(), |(bits, layer)| format!("widest accumulator: {bits} bits, layer {layer}\n"))
}

/// How close the integer model is to the model in floating point.
pub fn accuracy(report: &AccuracyReport) -> String {
    let mut text = format!("\n{:>10} {:>10} {:>10}  layer\n", "cosine", "max error", "mean error");
    for layer in &report.layers {
        let (cosine, max, mean) = (layer.cosine, layer.max_error, layer.mean_error);
        let _ = writeln!(text, "{cosine:>10.7} {max:>10.2e} {mean:>10.2e}  {}", layer.layer);
    }
    for output in &report.outputs {
        let (max, mean) = (output.max_error, output.mean_error);
        let _ = writeln!(text, "output {}: max error {max:.2e}, mean error {mean:.2e}", output.name);
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// A node's kind, in the vocabulary of the relation.
pub(super) const fn kind(op: &Op) -> &'static str {
    match op {
        Op::Einsum(_) => "einsum",
        Op::Lookup(_) => "lookup",
        Op::View(_) => "view",
        Op::Advice(_) => "advice",
    }
}

/// Bits of the narrowest integer, with its sign, that holds every value of a tensor.
pub(super) fn bits(tensor: &Tensor) -> u32 {
    let magnitude = |value: i64| i64::BITS - if value < 0 { (!value).leading_zeros() } else { value.leading_zeros() };
    magnitude(tensor.lo).max(magnitude(tensor.hi)) + u32::from(tensor.lo < 0)
}

/// A shape as `1x8x24x24`.
pub(super) fn shape(tensor: &Tensor) -> String {
    match tensor.shape.as_slice() {
        [] => "scalar".into(),
        shape => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}
