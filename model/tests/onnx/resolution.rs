//! Weights of more bits: taken where output channels differ and it pays, not elsewhere; exact either way.

use crate::onnx::Builder;
use crate::reference::{self, Tensors};
use model::{ImportOptions, Model, Values, execute, import_onnx, quantise_input};
use verifier::graph::{Op, Source};
use verifier::key::Partition;
use verifier::plan::Plan;

const WIDTH: usize = 24;

/// Two dense layers. Channel `c` of the first is `2^-spread(c)` small, which is undone between them: all matter alike.
fn network(spread: impl Fn(usize) -> i32) -> Vec<u8> {
    let weight = |i: usize, seed: usize| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0;
    // Beyond the range of a float: a channel of zeros.
    let scale = |c: usize| 2f32.powi(-spread(c));
    let undo = |c: usize| if scale(c) == 0.0 { 1.0 } else { 1.0 / scale(c) };
    let first: Vec<f32> = (0..WIDTH * WIDTH).map(|i| weight(i, 1) * scale(i % WIDTH)).collect();
    let undone: Vec<f32> = (0..WIDTH).map(undo).collect();
    let second: Vec<f32> = (0..WIDTH * WIDTH).map(|i| weight(i, 2)).collect();
    let n = WIDTH as i64;
    Builder::new(&[1, n])
        .floats("a", &[n, n], &first)
        .floats("u", &[n], &undone)
        .floats("b", &[n, n], &second)
        .node("MatMul", &["x", "a"], "h", &[])
        .node("Relu", &["h"], "r", &[])
        .node("Mul", &["r", "u"], "v", &[])
        .node("MatMul", &["v", "b"], "y", &[])
        .outputs(&["y"])
}

fn sample(seed: usize) -> Vec<f32> {
    (0..WIDTH).map(|i| ((i * 31 + seed * 17) % 23) as f32 / 11.0 - 1.0).collect()
}

fn import(bytes: &[u8], weight_bits: u32) -> Model {
    let options =
        ImportOptions { samples: (0..3).map(|s| vec![sample(s)]).collect(), weight_bits, ..ImportOptions::default() };
    import_onnx(bytes, &options).expect("the model is supported")
}

fn cells(model: &Model) -> usize {
    let graph = &model.graph;
    let plan = Plan::new(graph, &Partition { subgraph_of_node: vec![0; graph.nodes.len()], count: 1 });
    plan.subgraphs[0].column_shapes.iter().map(|shape| shape.iter().product::<usize>()).sum()
}

/// Bits, with the sign, of the widest weight of each contraction.
fn weight_bits(model: &Model) -> Vec<u32> {
    let bits = |op: &Op| {
        let Op::Einsum(e) = op else { return None };
        let operands = e.terms.iter().flat_map(|t| &t.operands).map(|o| model.graph.tensor(o.tensor));
        let weights = operands.filter(|t| t.source == Source::Weight);
        weights.map(|t| 65 - t.lo.unsigned_abs().max(t.hi.unsigned_abs()).leading_zeros()).max()
    };
    model.graph.nodes.iter().filter_map(|n| bits(&n.op)).collect()
}

fn runs_as_defined(model: &Model) {
    let graph = &model.graph;
    let mut values: Values = vec![None; graph.tensors.len()];
    model.weights.iter().for_each(|(id, weight)| values[id.index()] = Some(weight.clone()));
    values[graph.inputs[0].tensor.index()] = Some(quantise_input(graph, 0, &sample(0)).expect("the sample fits"));
    let mut tensors = Tensors::new();
    for (tensor, value) in (0..).map(verifier::graph::TensorId).zip(&values) {
        tensors.extend(value.as_ref().map(|v| (tensor, v.to_vec().into_iter().map(i128::from).collect())));
    }
    execute(&kernels::Cpu, graph, 0..graph.nodes.len() as u32, &mut values).expect("the model runs");
    reference::run(graph, &mut tensors).expect("the definition runs");
    let output = graph.outputs[0].tensor;
    let found = values[output.index()].as_ref().map(|v| v.to_vec().into_iter().map(i128::from).collect());
    assert_eq!(found, tensors.remove(&output));
}

#[test]
fn small_channels_get_the_digits_that_they_lack() {
    let uneven = import(&network(|c| if c % 2 == 0 { 0 } else { 6 }), 8);
    let even = import(&network(|_| 0), 8);
    // The even network says what the weights' own eight bits cost; without more bits the uneven one is 2^6 times worse.
    let (error, own) = (uneven.report.outputs[0].mean_error, even.report.outputs[0].mean_error);
    println!("mean error {error:.2e}, of the even network {own:.2e}");
    assert!(error < 4.0 * own, "{error} is not close to {own}");
    assert!(weight_bits(&even).iter().all(|&bits| bits <= 8));
    let bits = weight_bits(&uneven);
    assert!((13..=16).contains(&bits[0]), "{bits:?}");
    assert_eq!(bits.last(), Some(&8), "its output channels are even");
    runs_as_defined(&uneven);
    assert!(cells(&uneven) <= cells(&even) + cells(&even) / 8, "{} cells, not {}", cells(&uneven), cells(&even));
}

#[test]
fn channels_without_weight_do_not_count() {
    let dead = import(&network(|c| if c == 3 { 200 } else { 0 }), 8);
    assert_eq!(weight_bits(&dead)[0], 8);
}
