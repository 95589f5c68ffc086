//! ONNX operators by their definition, and what is refused.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/onnx.rs"]
mod onnx;
#[path = "../reference/mod.rs"]
mod reference;
mod resolution;

use common::import_and_run;
use model::onnx_proto::data_type;
use model::{
    ImportError, ImportOptions, PartitionError, Subgraphs, dequantise, import_onnx, partition, quantise_input,
};
use onnx::Attribute::{Float, Int, Ints, Text};
use onnx::Builder;

/// Runs a model with one output on one sample.
fn run(bytes: &[u8], sample: &[Vec<f32>]) -> Vec<f64> {
    let (model, values) = import_and_run(bytes, sample).unwrap_or_else(|e| panic!("{e}"));
    let port = model.graph.outputs[0];
    dequantise(port.exponent, values[port.tensor.index()].as_ref().expect("the output is computed"))
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}, not {expected:?}");
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3);
    assert!(close, "{found:?}, not {expected:?}");
}

fn unary(operator: &str, attributes: &[(&str, onnx::Attribute)], x: &[f32]) -> Vec<f64> {
    let bytes = Builder::new(&[x.len() as i64]).node(operator, &["x"], "y", attributes).outputs(&["y"]);
    run(&bytes, &[x.to_vec()])
}

#[test]
fn elementwise_functions_have_known_values() {
    assert_close(&unary("Relu", &[], &[-1.5, 0.0, 2.5]), &[0.0, 0.0, 2.5]);
    assert_close(&unary("LeakyRelu", &[("alpha", Float(0.1))], &[-2.0, 3.0]), &[-0.2, 3.0]);
    assert_close(&unary("Abs", &[], &[-1.25, 0.5]), &[1.25, 0.5]);
    assert_close(&unary("Sign", &[], &[-1.25, 0.0, 0.5]), &[-1.0, 0.0, 1.0]);
    assert_close(&unary("Sigmoid", &[], &[0.0, 1.0, -2.0]), &[0.5, 0.731_059, 0.119_203]);
    assert_close(&unary("Tanh", &[], &[0.0, 1.0, -2.0]), &[0.0, 0.761_594, -0.964_028]);
    assert_close(&unary("Erf", &[], &[0.0, 1.0, -2.0]), &[0.0, 0.842_701, -0.995_322]);
    assert_close(&unary("Exp", &[], &[0.0, 0.5, -2.0]), &[1.0, 1.648_721, 0.135_335]);
    assert_close(&unary("HardSwish", &[], &[-4.0, 1.0, 4.0]), &[0.0, 0.666_667, 4.0]);
}

#[test]
fn rounding_follows_onnx() {
    let x = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.75, -0.75];
    assert_close(&unary("Floor", &[], &x), &[-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 0.0, -1.0]);
    assert_close(&unary("Ceil", &[], &x), &[-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 1.0, 0.0]);
    assert_close(&unary("Round", &[], &x), &[-2.0, -2.0, 0.0, 0.0, 2.0, 2.0, 1.0, -1.0]);
    let cast = unary("Cast", &[("to", Int(i64::from(data_type::INT64)))], &x);
    assert_close(&cast, &[-2.0, -1.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
}

#[test]
fn integer_division_rounds_towards_zero() {
    let bytes = Builder::default()
        .input("a", data_type::INT64, &[5])
        .ints("b", &[3])
        .node("Div", &["a", "b"], "y", &[])
        .outputs(&["y"]);
    assert_eq!(run(&bytes, &[vec![-7.0, -6.0, -1.0, 6.0, 8.0]]), [-2.0, -2.0, 0.0, 2.0, 2.0]);
}

#[test]
fn ties_of_an_arg_max_go_to_the_first_or_the_last() {
    let x = vec![vec![1.0, 3.0, 3.0, -1.0, 2.0, 2.0, 2.0, 2.0]];
    for (last, expected) in [(0, [1.0, 0.0]), (1, [2.0, 3.0])] {
        let attributes = [("axis", Int(1)), ("keepdims", Int(0)), ("select_last_index", Int(last))];
        let bytes = Builder::new(&[2, 4]).node("ArgMax", &["x"], "y", &attributes).outputs(&["y"]);
        assert_eq!(run(&bytes, &x), expected);
    }
}

#[test]
fn an_arg_max_over_a_long_axis_finds_the_first_or_the_last() {
    // Two digits; the maximum at both ends, twice inside, and nowhere but at the end.
    for (places, first, last) in
        [(vec![0, 299], 0.0, 299.0), (vec![17, 255, 256], 17.0, 256.0), (vec![299], 299.0, 299.0)]
    {
        let x: Vec<f32> =
            (0..300).map(|i| if places.contains(&i) { 2.0 } else { (i % 7) as f32 / 7.0 - 1.0 }).collect();
        for (select, expected) in [(0, first), (1, last)] {
            let attributes = [("axis", Int(1)), ("keepdims", Int(0)), ("select_last_index", Int(select))];
            let bytes = Builder::new(&[1, 300]).node("ArgMax", &["x"], "y", &attributes).outputs(&["y"]);
            assert_eq!(run(&bytes, std::slice::from_ref(&x)), [expected]);
        }
    }
}

#[test]
fn a_convolution_pads_with_zeros_and_keeps_groups_apart() {
    let bytes = Builder::new(&[1, 2, 3, 3])
        .floats("w", &[2, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0, -1.0, 0.0, 0.0, 1.0])
        .floats("b", &[2], &[0.5, -0.5])
        .node(
            "Conv",
            &["x", "w", "b"],
            "y",
            &[("group", Int(2)), ("pads", Ints(&[1, 1, 0, 0])), ("strides", Ints(&[2, 2]))],
        )
        .outputs(&["y"]);
    let x: Vec<f32> = (1..=18).map(|i| i as f32).collect();
    assert_close(&run(&bytes, &[x]), &[4.5, 18.5, 36.5, 77.5, 9.5, 11.5, 15.5, 3.5]);
}

#[test]
fn padding_of_a_max_pool_never_wins() {
    let attributes = [("kernel_shape", Ints(&[2, 2])), ("pads", Ints(&[1, 1, 1, 1])), ("strides", Ints(&[2, 2]))];
    let bytes = Builder::new(&[1, 1, 2, 2]).node("MaxPool", &["x"], "y", &attributes).outputs(&["y"]);
    assert_close(&run(&bytes, &[vec![-4.0, -3.0, -2.0, -1.0]]), &[-4.0, -3.0, -2.0, -1.0]);
}

#[test]
fn an_average_pool_counts_padding_only_if_told() {
    for (count, expected) in [(0, [1.0, 2.5]), (1, [0.5, 1.25])] {
        let attributes = [
            ("kernel_shape", Ints(&[2])),
            ("pads", Ints(&[1, 1])),
            ("strides", Ints(&[2])),
            ("count_include_pad", Int(count)),
        ];
        let bytes = Builder::new(&[1, 1, 2]).node("AveragePool", &["x"], "y", &attributes).outputs(&["y"]);
        assert_close(&run(&bytes, &[vec![1.0, 2.5]]), &expected);
    }
}

#[test]
fn softmax_gives_masked_entries_exactly_nothing() {
    let mask = [0.0, f32::NEG_INFINITY, 0.0, 0.0];
    let bytes = Builder::new(&[1, 4])
        .floats("mask", &[1, 4], &mask)
        .node("Add", &["x", "mask"], "s", &[])
        .node("Softmax", &["s"], "y", &[("axis", Int(-1))])
        .outputs(&["y"]);
    let y = run(&bytes, &[vec![1.0, 9.0, 2.0, -1.0]]);
    assert_close(&y, &[0.259_496, 0.0, 0.705_385, 0.035_119]);
    assert_eq!(y[1], 0.0);
}

#[test]
fn layer_normalisation_has_known_values() {
    let bytes = Builder::new(&[2, 4])
        .floats("scale", &[4], &[1.0, 1.0, 2.0, 1.0])
        .floats("bias", &[4], &[0.0, 0.5, 0.0, 0.0])
        .node("LayerNormalization", &["x", "scale", "bias"], "y", &[("epsilon", Float(1e-5))])
        .outputs(&["y"]);
    let y = run(&bytes, &[vec![1.0, 2.0, 3.0, 4.0, -0.1, 0.0, 0.0, 0.1]]);
    assert_close(&y, &[-1.341_635, 0.052_788, 0.894_424, 1.341_635, -1.412_802, 0.5, 0.0, 1.412_802]);
}

#[test]
fn run_time_indices_select_rows() {
    let bytes = Builder::default()
        .input("i", data_type::INT64, &[3])
        .floats("table", &[4, 2], &[0.0, 1.0, 10.0, 11.0, 20.0, 21.0, 30.0, 31.0])
        .node("Gather", &["table", "i"], "y", &[])
        .outputs(&["y"]);
    assert_close(&run(&bytes, &[vec![3.0, 0.0, 2.0]]), &[30.0, 31.0, 0.0, 1.0, 20.0, 21.0]);
    let (model, _) = import_and_run(&bytes, &[vec![3.0, 0.0, 2.0]]).expect("the model is supported");
    assert!(quantise_input(&model.graph, 0, &[4.0, 0.0, 0.0]).is_err(), "an index beyond the table");
}

#[test]
fn resize_takes_the_nearest_element() {
    let bytes = Builder::new(&[1, 1, 2, 2])
        .floats("scales", &[4], &[1.0, 1.0, 2.0, 1.0])
        .node("Resize", &["x", "", "scales"], "y", &[("mode", Text("nearest"))])
        .outputs(&["y"]);
    assert_close(&run(&bytes, &[vec![1.0, 2.0, 3.0, 4.0]]), &[1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
}

/// A small network of dense layers and softmax; the first axis is symbolic.
fn network() -> Vec<u8> {
    Builder::new(&[0, 3])
        .floats("w", &[3, 4], &[0.5, -1.0, 0.25, 2.0, 1.0, 0.0, -0.5, 1.5, -2.0, 1.0, 1.0, 0.75])
        .floats("b", &[4], &[0.1, 0.2, -0.3, 0.0])
        .node("Gemm", &["x", "w", "b"], "h", &[])
        .node("Relu", &["h"], "a", &[])
        .node("Softmax", &["a"], "y", &[])
        .outputs(&["y"])
}

#[test]
fn a_batch_is_as_good_as_one_by_one() {
    let rows = [vec![0.5, -1.0, 2.0], vec![1.5, 0.25, -0.75]];
    let options = ImportOptions {
        axes: [("batch".into(), 2)].into(),
        samples: vec![vec![rows.concat()]],
        ..ImportOptions::default()
    };
    let both = import_onnx(&network(), &options).expect("the model is supported");
    assert_eq!(both.graph.tensor(both.graph.inputs[0].tensor).shape, [2, 3]);
    assert!(both.report.outputs[0].max_error < 1e-3);
}

#[test]
fn import_is_a_function_of_its_input() {
    let import = || import_onnx(&network(), &ImportOptions::default()).expect("the model is supported");
    let (a, b) = (import(), import());
    assert_eq!((a.graph, a.weights), (b.graph, b.weights));
    assert_eq!(a.report.warnings.len(), 1, "generated samples are worth a warning");
}

#[test]
fn a_partition_has_as_many_parts_as_asked_for_or_none() {
    let model = import_onnx(&network(), &ImportOptions::default()).expect("the model is supported");
    let Err(PartitionError::Count { most, .. }) = partition(&model, Subgraphs::Count(10_000)) else {
        panic!("a small model has 10000 parts")
    };
    assert!(partition(&model, Subgraphs::Count(0)).is_err());
    for count in 1..=most as u32 {
        let parts = partition(&model, Subgraphs::Count(count)).expect("the model can be cut");
        let sizes: Vec<usize> =
            (0..count).map(|s| parts.subgraph_of_node.iter().filter(|&&p| p == s).count()).collect();
        assert!(parts.subgraph_of_node.is_sorted() && sizes.iter().all(|&n| n > 0), "{sizes:?}");
    }
    assert_eq!(partition(&model, Subgraphs::Auto).map(|p| p.count), Ok(1));
}

fn refusal(bytes: &[u8], options: &ImportOptions) -> String {
    import_onnx(bytes, options).expect_err("the model should be refused").to_string()
}

#[test]
fn refusals_name_node_operator_and_reason() {
    let default = ImportOptions::default();
    let unknown = Builder::new(&[2]).node("Frobnicate", &["x"], "y", &[]).outputs(&["y"]);
    assert_eq!(
        refusal(&unknown, &default),
        "node 'Frobnicate of y' (Frobnicate) is not supported: the operator is not supported"
    );
    let attribute = Builder::new(&[2]).node("Relu", &["x"], "y", &[("bend", Int(1))]).outputs(&["y"]);
    assert!(refusal(&attribute, &default).contains("'Relu of y' (Relu) is not supported: attribute 'bend'"));
    let data_dependent = Builder::default()
        .input("x", data_type::FLOAT, &[4])
        .input("shape", data_type::INT64, &[2])
        .node("Reshape", &["x", "shape"], "y", &[])
        .outputs(&["y"]);
    assert!(refusal(&data_dependent, &default).contains("depends on the model's input"));
    let mismatch =
        Builder::new(&[2, 3]).floats("w", &[4, 1], &[0.0; 4]).node("MatMul", &["x", "w"], "y", &[]).outputs(&["y"]);
    assert!(refusal(&mismatch, &default).contains("[2, 3] and [4, 1]"));
    let undefined = Builder::new(&[2]).node("Add", &["x", "z"], "y", &[]).outputs(&["y"]);
    assert!(refusal(&undefined, &default).contains("'z'"));
    let zero = Builder::new(&[2]).node("Sub", &["x", "x"], "d", &[]).node("Div", &["x", "d"], "y", &[]).outputs(&["y"]);
    assert!(refusal(&zero, &default).contains("may be zero"));
    assert!(matches!(import_onnx(b"not a model", &default), Err(ImportError::NotOnnx(_))));
    assert!(import_onnx(&[], &default).is_err());
    assert!(import_onnx(&Builder::new(&[2]).outputs(&[]), &default).is_err());
}

#[test]
fn bad_numbers_are_refused() {
    let weights = |w: f32| {
        let builder = Builder::new(&[1, 1]).floats("w", &[1, 1], &[w]);
        builder.node("MatMul", &["x", "w"], "y", &[]).outputs(&["y"])
    };
    assert!(refusal(&weights(f32::NAN), &ImportOptions::default()).contains("constant 'w'"));
    let with_sample = |sample: Vec<Vec<f32>>| ImportOptions { samples: vec![sample], ..ImportOptions::default() };
    assert!(refusal(&weights(1.0), &with_sample(vec![vec![f32::NAN]])).contains("sample 0"));
    assert!(refusal(&weights(1.0), &with_sample(vec![vec![1.0, 2.0]])).contains("2 elements instead of 1"));
    assert!(refusal(&weights(1.0), &with_sample(vec![])).contains("0 inputs"));
    let bits = ImportOptions { activation_bits: 33, ..ImportOptions::default() };
    assert!(refusal(&weights(1.0), &bits).contains("activation_bits"));
    let model = import_onnx(&weights(1.0), &with_sample(vec![vec![1.0]])).expect("the model is supported");
    for bad in [vec![f32::NAN], vec![f32::INFINITY], vec![1e9], vec![], vec![0.0, 0.0]] {
        assert!(quantise_input(&model.graph, 0, &bad).is_err(), "{bad:?}");
    }
    assert!(quantise_input(&model.graph, 1, &[0.0]).is_err());
}

/// Files that were cut or altered give a model or an error, and never a panic.
#[test]
fn damaged_files_never_panic() {
    let attributes = [("kernel_shape", Ints(&[2, 2])), ("pads", Ints(&[1, 0, 1, 0])), ("ceil_mode", Int(1))];
    let image = Builder::new(&[1, 2, 4, 4])
        .floats("w", &[2, 2, 3, 3], &[0.5; 36])
        .ints("shape", &[1, -1])
        .ints("starts", &[1])
        .ints("ends", &[7])
        .ints("axes", &[1])
        .node("Conv", &["x", "w"], "c", &[("dilations", Ints(&[1, 1])), ("pads", Ints(&[1, 1, 1, 1]))])
        .node("MaxPool", &["c"], "p", &attributes)
        .node("AveragePool", &["p"], "q", &[("kernel_shape", Ints(&[2, 2]))])
        .node("Reshape", &["q", "shape"], "f", &[])
        .node("Slice", &["f", "starts", "ends", "axes"], "s", &[])
        .node("Transpose", &["s"], "t", &[("perm", Ints(&[1, 0]))])
        .node("ReduceMean", &["t"], "y", &[("axes", Ints(&[0])), ("keepdims", Int(0))])
        .outputs(&["y"]);
    for file in [network(), image] {
        assert!(import_onnx(&file, &ImportOptions::default()).is_ok());
        for length in 0..file.len() {
            let _ = import_onnx(&file[..length], &ImportOptions::default());
        }
        for position in 0..file.len() {
            for flip in [0x01, 0x80] {
                let mut damaged = file.clone();
                damaged[position] ^= flip;
                let _ = import_onnx(&damaged, &ImportOptions::default());
            }
        }
    }
}
