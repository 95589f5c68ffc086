//! `Graph::check`: each rule, broken alone, is named. The argument relies on them: on bounds that keep integers from wrapping
//! most of all.

use verifier::graph::*;

const X: TensorId = TensorId(0);
const TABLE: TensorId = TensorId(1);
const Y: TensorId = TensorId(2);
const Z: TensorId = TensorId(3);
const MAX: TensorId = TensorId(4);

/// `y = table[x]`, `z` its transpose doubled, the maximum of each row of `y`.
fn graph() -> Graph {
    let tensor =
        |name: &str, shape: &[usize], lo, hi, source| Tensor { name: name.into(), shape: shape.into(), lo, hi, source };
    let (below, above) = (Bound::Saturate, Bound::Saturate);
    let lookup = Lookup {
        input: X,
        multiplier: 1,
        add: 0,
        shift: 0,
        lo: 0,
        bits: 2,
        below,
        above,
        table: Some(TABLE),
        output: Some(Y),
    };
    let einsum = Einsum {
        dims: vec![2, 3],
        out_labels: vec![1, 0],
        terms: vec![Term { coefficient: 2, operands: vec![Operand { tensor: Y, labels: vec![0, 1] }] }],
        output: Z,
    };
    let advice = Advice { rule: AdviceRule::Max { input: Y }, output: MAX };
    let map = IndexMap::Affine { offset: 0, strides: vec![1, 2] };
    let view = View {
        input: Z,
        output: TensorId(5),
        groups: vec![AxisGroup { input_axes: vec![0, 1], output_axes: vec![0, 1], map }],
    };
    Graph {
        tensors: vec![
            tensor("x", &[2, 3], -9, 9, Source::Input),
            tensor("table", &[4], -5, 5, Source::Weight),
            tensor("y", &[2, 3], -5, 5, Source::Node(0)),
            tensor("z", &[3, 2], -10, 10, Source::Node(1)),
            tensor("max", &[2], -5, 5, Source::Node(2)),
            tensor("moved", &[2, 3], -10, 10, Source::Node(3)),
        ],
        nodes: [Op::Lookup(lookup), Op::Einsum(einsum), Op::Advice(advice), Op::View(view)]
            .into_iter()
            .map(|op| Node { name: "node".into(), op })
            .collect(),
        inputs: vec![Port { tensor: X, exponent: 0 }],
        outputs: vec![Port { tensor: TensorId(5), exponent: 0 }],
        interface: Interface::Tensors,
    }
}

/// Changes the graph and expects a complaint with these words.
#[track_caller]
fn refused(words: &str, change: impl FnOnce(&mut Graph)) {
    let mut graph = graph();
    change(&mut graph);
    let error = graph.check().expect_err("the graph passes").to_string();
    assert!(error.contains(words), "{error}");
}

#[track_caller]
fn lookup(words: &str, change: impl FnOnce(&mut Lookup)) {
    refused(words, |graph| {
        if let Op::Lookup(lookup) = &mut graph.nodes[0].op {
            change(lookup)
        }
    });
}

#[track_caller]
fn einsum(words: &str, change: impl FnOnce(&mut Einsum)) {
    refused(words, |graph| {
        if let Op::Einsum(einsum) = &mut graph.nodes[1].op {
            change(einsum)
        }
    });
}

#[track_caller]
fn advice(words: &str, rule: AdviceRule) {
    refused(words, |graph| {
        if let Op::Advice(advice) = &mut graph.nodes[2].op {
            advice.rule = rule
        }
    });
}

#[track_caller]
fn view(words: &str, change: impl FnOnce(&mut AxisGroup)) {
    refused(words, |graph| {
        if let Op::View(view) = &mut graph.nodes[3].op {
            change(&mut view.groups[0])
        }
    });
}

#[test]
fn the_graph_is_well_formed() {
    graph().check().unwrap();
}

#[test]
fn tensors() {
    refused("another tensor has this name", |g| g.tensors[3].name = "x".into());
    for shape in [vec![0], vec![1 << 31], vec![1 << 40, 1 << 40], vec![usize::MAX, 2]] {
        refused("empty or too large", |g| g.tensors[1].shape = shape);
    }
    for (lo, hi) in [(1, 0), (-(1 << 62), 0), (0, 1 << 62), (i64::MIN, i64::MAX)] {
        refused("tensor 1 'table': interval", |g| (g.tensors[1].lo, g.tensors[1].hi) = (lo, hi));
    }
    for node in [1, 9, u32::MAX] {
        refused("does not compute it", |g| g.tensors[2].source = Source::Node(node));
    }
    refused("does not name once", |g| g.tensors[1].source = Source::Input);
    refused("does not name once", |g| g.inputs.push(Port { tensor: X, exponent: 0 }));
    refused("computes a tensor of another node", |g| g.tensors[2].source = Source::Weight);
}

#[test]
fn ports() {
    refused("an input names a tensor that is not one", |g| g.inputs.push(Port { tensor: TABLE, exponent: 0 }));
    refused("an input names a tensor that is not one", |g| g.inputs.push(Port { tensor: TensorId(99), exponent: 0 }));
    for tensor in [X, TABLE, TensorId(99)] {
        refused("an output names a tensor that no node computes", |g| g.outputs[0].tensor = tensor);
    }
    refused("a tensor is an output twice", |g| g.outputs.push(g.outputs[0]));
    refused("the graph has no output", |g| g.outputs.clear());
}

#[test]
fn nodes_come_after_what_they_read() {
    lookup("uses tensor 3 before it is computed", |l| l.input = Z);
    lookup("uses tensor 2 before it is computed", |l| l.input = Y);
    lookup("tensor 99 does not exist", |l| l.input = TensorId(99));
    einsum("tensor 99 does not exist", |e| e.terms[0].operands[0].tensor = TensorId(99));
}

#[test]
fn lookups() {
    for multiplier in [0, -1, 1 << 62, i64::MIN] {
        lookup("is not positive", |l| l.multiplier = multiplier);
    }
    for (shift, bits) in [(63, 2), (u32::MAX, 2), (0, 0), (0, 63), (0, u32::MAX)] {
        lookup("shift beyond 62, or bits not in 1..=62", |l| (l.shift, l.bits) = (shift, bits));
    }
    for value in [1 << 62, -(1 << 62), i64::MIN, i64::MAX] {
        lookup("lowest value beyond 62 bits", |l| l.lo = value);
        lookup("number added beyond 62 bits", |l| l.add = value);
    }
    lookup("the table is not a constant", |l| l.table = Some(X));
    lookup("the table's shape is not [2^bits]", |l| l.bits = 3);
    lookup("a table of more than 2^20 rows", |l| l.bits = 21);
    refused("an assertion has a table", |g| {
        let Op::Lookup(l) = &mut g.nodes[0].op else { return };
        l.output = None;
        g.tensors[2].source = Source::Weight;
    });
    refused("an assertion saturates", |g| {
        let Op::Lookup(l) = &mut g.nodes[0].op else { return };
        (l.output, l.table) = (None, None);
        g.tensors[2].source = Source::Weight;
    });
    refused("input and output differ in shape", |g| g.tensors[0].shape = vec![3, 2]);
}

/// Before the shift everything stays so far below the modulus that no other integer is equal to it there: below `2^57` where
/// the excess of saturation is added, below `2^62` elsewhere.
#[test]
fn nothing_in_a_lookup_wraps() {
    let identity = |below, above, lo, bits, shift: u32| {
        move |l: &mut Lookup| {
            l.table = None;
            (l.below, l.above, l.lo, l.bits, l.shift) = (below, above, lo, bits, shift);
        }
    };
    use Bound::{Forbid, Saturate};
    for (below, above, limit) in
        [(Saturate, Saturate, 57), (Saturate, Forbid, 57), (Forbid, Saturate, 57), (Forbid, Forbid, 62)]
    {
        // The number itself: 9 and -9 times the multiplier.
        let words = format!("the limit is 2^{limit}");
        lookup(&words, |l| {
            identity(below, above, 0, 4, 0)(l);
            l.multiplier = (1 << limit) / 9 + 1;
        });
        lookup(&words, |l| {
            identity(below, above, 0, 4, 0)(l);
            l.add = (1 << (limit - 1)) - 5;
            l.multiplier = 1 << (limit - 4);
        });
        // Both ends of the domain.
        let words = format!("the domain before the shift is beyond 2^{limit}");
        lookup(&words, identity(below, above, 1, limit, 0));
        lookup(&words, identity(below, above, 0, 6, limit - 5));
        lookup(&words, identity(below, above, -(1 << (limit - 10)), 1, 10));
        // Up to the limit all is well.
        let mut graph = graph();
        let Op::Lookup(l) = &mut graph.nodes[0].op else { return };
        identity(below, above, -(1 << (limit - 11)), limit - 10, 10)(l);
        l.multiplier = (1 << (limit - 4)) - 1;
        graph.check().unwrap();
    }
}

#[test]
fn einsums() {
    einsum("an output label is named twice", |e| e.out_labels = vec![0, 0]);
    einsum("label 7 has no length", |e| e.out_labels = vec![7, 0]);
    einsum("the output's shape differs", |e| e.out_labels = vec![0, 1]);
    einsum("the output's shape differs", |e| e.dims[1] = 4);
    einsum("has no terms", |e| e.terms.clear());
    einsum("more than 64 labels", |e| e.dims.resize(65, 1));
    for coefficient in [0, 1 << 62, -(1 << 62), i64::MIN] {
        einsum("is zero or beyond 62 bits", |e| e.terms[0].coefficient = coefficient);
    }
    einsum("more than 8 operands", |e| e.terms[0].operands = vec![e.terms[0].operands[0].clone(); 9]);
    einsum("an operand names a label twice", |e| e.terms[0].operands[0].labels = vec![0, 0]);
    einsum("do not fit its shape", |e| e.terms[0].operands[0].labels = vec![1, 0]);
    einsum("do not fit its shape", |e| e.terms[0].operands[0].labels = vec![0]);
}

#[test]
fn advice_of_every_rule() {
    advice("is not [2]", AdviceRule::Max { input: Z });
    advice("is not [2]", AdviceRule::Max { input: TABLE });
    advice("shapes of numerator", AdviceRule::FloorDiv { numerator: Y, denominator: Y });
    advice("shapes of input and output differ", AdviceRule::Rsqrt { input: Y, exponent: 3 });
    // Shapes that fit, and a divisor that may be zero.
    let fitting = |rule: AdviceRule| {
        move |g: &mut Graph| {
            g.tensors[4].shape = vec![2, 3];
            if let Op::Advice(advice) = &mut g.nodes[2].op {
                advice.rule = rule;
            }
        }
    };
    refused("may be zero or negative", fitting(AdviceRule::FloorDiv { numerator: X, denominator: Y }));
    refused("may be zero or negative", fitting(AdviceRule::Rsqrt { input: Y, exponent: 3 }));
    refused("exponent beyond 62", fitting(AdviceRule::Rsqrt { input: Y, exponent: 63 }));
}

#[test]
fn views() {
    view("an axis is in no group or in several", |g| g.input_axes = vec![0]);
    view("an axis is in no group or in several", |g| g.input_axes = vec![0, 1, 1]);
    view("an input axis that does not exist", |g| g.input_axes = vec![0, 2]);
    view("an output axis that does not exist", |g| g.output_axes = vec![0, usize::MAX]);
    view("strides and output axes differ in number", |g| g.map = IndexMap::Affine { offset: 0, strides: vec![1] });
    for (offset, stride) in [(i64::MIN, 1), (1 << 31, 1), (0, i64::MAX), (0, -(1 << 31))] {
        view("a stride or offset is too large", |g| g.map = IndexMap::Affine { offset, strides: vec![stride, 1] });
    }
    view("an index table has 5 entries, not 6", |g| g.map = IndexMap::Table(vec![0; 5]));
}
