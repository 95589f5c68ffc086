//! Several inputs in one proof: each inference is proved as if it were alone, the weights are opened once, and none can take
//! another's place.

mod common;

use common::attempt::Attempt;
use common::nets::{convnet, division, functions, large, layers, maximum, moved, shared, two_terms};
use common::verdict::verify;
use common::{Net, axis, run};
use prover::Values;
use verifier::VerifyError;
use verifier::graph::{AdviceRule, MAX_BATCH, Op, TensorId};
use verifier::proof::Proof;
use verifier::statement::Inference;

fn nets() -> Vec<(Net, Vec<usize>)> {
    vec![
        (layers(), vec![]),
        (layers(), vec![1, 2]),
        (functions(), vec![1]),
        (maximum(), vec![2]),
        (division(true), vec![2]),
        (shared(), vec![1]),
        (moved(), vec![1, 2]),
        (two_terms(), vec![]),
        (convnet(), vec![3, 9]),
        (large(), vec![2]),
    ]
}

#[test]
fn every_inference_is_proved_and_none_differs_from_one_alone() {
    for (net, cuts) in nets() {
        for count in [1, 2, 3, 5] {
            let mut net = net.clone();
            let runs = net.runs(count);
            let verified = Attempt::together(&net, &cuts, &runs).verify().expect("the batch is accepted");
            let alone: Vec<Inference> = runs.iter().map(|run| net.inference_of(run)).collect();
            assert_eq!(verified.inferences, alone);
            assert!(verified.soundness.total_bits >= 128.0, "{}", verified.soundness);
        }
    }
}

#[test]
fn weights_are_opened_once() {
    let mut net = large();
    let runs = net.runs(4);
    let together = Attempt::together(&net, &[2], &runs).proof().len();
    let alone = Attempt::together(&net, &[2], &runs[..1]).proof().len();
    // Four proofs of one inference each hold four openings for each subgraph.
    assert!(together < 2 * alone, "{together} bytes together, {alone} alone");
}

/// Three honest runs, two of which an element of a tensor tells apart.
fn three(net: &mut Net, differ: TensorId) -> Vec<Values> {
    let runs = net.runs(3);
    assert_ne!(runs[0][differ.index()], runs[1][differ.index()]);
    runs
}

#[test]
fn an_inference_has_its_own_output() {
    let mut net = layers();
    let runs = three(&mut net, TensorId(5));
    // Outputs exchanged, in the statement alone: each is the model's, for another input.
    let mut attempt = Attempt::together(&net, &[1], &runs);
    let (first, rest) = attempt.statement.inferences.split_at_mut(1);
    std::mem::swap(&mut first[0].outputs, &mut rest[0].outputs);
    attempt.rejected("boundary: public tensor 'einsum5': the claim on a public tensor does not hold");
    // In the values too: the last einsum is computed for other inputs than it is given.
    let length = net.get(TensorId(5)).len();
    for values in &mut attempt.values {
        let mut output = values[5].as_ref().unwrap().to_vec();
        output[..2 * length].rotate_left(length);
        values[5] = Some(output.into());
    }
    attempt.fill();
    let error = attempt.verify().expect_err("the lie is accepted").to_string();
    assert!(error.starts_with("subgraph 1: "), "{error}");
    // Inputs exchanged.
    let mut attempt = Attempt::together(&net, &[1], &runs);
    let (first, rest) = attempt.statement.inferences.split_at_mut(1);
    std::mem::swap(&mut first[0].inputs, &mut rest[0].inputs);
    attempt.rejected("boundary: public tensor 'input0': the claim on a public tensor does not hold");
}

#[test]
fn a_lie_in_one_inference_is_found_in_any() {
    for place in 0..3 {
        let mut net = layers();
        let mut runs = three(&mut net, TensorId(4));
        // What the lookup gave is another value, and all after it follows.
        let mut told = runs[place][4].as_ref().unwrap().to_vec();
        told[3] += 1;
        let mut liar = net.clone();
        liar.values.clone_from(&runs[place]);
        runs[place] = liar.telling(TensorId(4), told);
        for cuts in [&[][..], &[1], &[2], &[1, 2]] {
            let error = Attempt::together(&net, cuts, &runs).verify().expect_err("the lie is accepted").to_string();
            let found_by = ["subgraph ", "boundary: the claimed value"].iter().any(|place| error.starts_with(place));
            assert!(found_by, "{place} {cuts:?}: {error}");
        }
    }
}

#[test]
fn the_number_of_inferences_is_the_statements() {
    let mut net = layers();
    let runs = net.runs(3);
    let attempt = Attempt::together(&net, &[1], &runs);
    let (key, proof) = (net.key(&[1]), attempt.proof());
    assert_eq!(attempt.key.commitment(), key.commitment());
    let with = |change: &dyn Fn(&mut Vec<Inference>)| {
        let mut proof = Proof::from_bytes(&proof).unwrap();
        change(&mut proof.statement.inferences);
        verify(&key, &proof.to_bytes()).expect_err("another number of inferences is accepted")
    };
    for shorter in 1..3 {
        assert!(matches!(with(&|all| all.truncate(shorter)), VerifyError::Subgraph { .. }));
    }
    assert!(matches!(with(&|all| all.push(all[0].clone())), VerifyError::Subgraph { .. }));
    assert!(matches!(with(&Vec::clear), VerifyError::Batch(_)));
    let error = with(&|all| *all = vec![all[0].clone(); MAX_BATCH + 1]).to_string();
    assert!(error.contains("1025 inferences; 1 to 1024"), "{error}");
    assert!(matches!(with(&|all| all[2] = Inference::default()), VerifyError::Statement(_)));
    // Nor is a proof of one inference a proof of it twice.
    let job = run(&net, &[1]);
    let mut twice = Proof::from_bytes(&job.proof).unwrap();
    twice.statement.inferences.push(twice.statement.inferences[0].clone());
    assert!(matches!(verify(&key, &twice.to_bytes()), Err(VerifyError::Subgraph { .. })));
}

#[test]
fn a_tensor_that_no_input_reaches_is_the_same_for_all() {
    let mut net = layers();
    let constant = net.view(TensorId(1), &[5, 4], vec![axis(1, 0), axis(0, 1)]);
    net.output(constant);
    let runs = net.runs(2);
    Attempt::together(&net, &[2], &runs).accepted();
    // One inference says otherwise.
    for place in 0..2 {
        let mut attempt = Attempt::together(&net, &[2], &runs);
        attempt.statement.inferences[place].outputs[1][7] += 1;
        attempt.rejected("boundary: public tensor 'view6': the claim on a public tensor does not hold");
    }
    // Both do.
    let mut attempt = Attempt::together(&net, &[2], &runs);
    attempt.statement.inferences.iter_mut().for_each(|inference| inference.outputs[1][7] += 1);
    attempt.rejected("boundary: public tensor 'view6': the claim on a public tensor does not hold");
}

#[test]
fn what_has_no_batch_is_refused_with_the_reason() {
    let refused = |net: &Net, size: usize| net.graph.batch(size).expect_err("there is no such batch").to_string();
    assert!(refused(&layers(), 0).contains("0 inferences"));
    assert!(refused(&layers(), MAX_BATCH + 1).contains("1 to 1024 go into one proof"));
    assert!(layers().graph.batch(MAX_BATCH).is_ok());
    let mut constant = Net::default();
    let w = constant.weight(&[3], vec![1, 2, 3]);
    let doubled = constant.einsum(&[(2, &[(w, "a")])], "a");
    constant.output(doubled);
    assert!(refused(&constant, 2).contains("without inputs"));
    // A number that follows from the input, divided by a tensor.
    let mut scalar = Net::default();
    let n = scalar.input(&[], vec![100]);
    let d = scalar.input(&[2], vec![7, 9]);
    scalar.within(d, 1, 10);
    let q = scalar.advice_quotient(n, d);
    scalar.output(q);
    assert!(matches!(&scalar.graph.nodes[0].op, Op::Advice(a) if matches!(a.rule, AdviceRule::FloorDiv { .. })));
    assert!(refused(&scalar, 2).contains("node 'quotient'"), "{}", refused(&scalar, 2));
    let mut long = Net::default();
    let x = long.input(&[1], vec![1]);
    let spread = verifier::graph::IndexMap::Affine { offset: 0, strides: vec![0] };
    let group = verifier::graph::AxisGroup { input_axes: vec![0], output_axes: vec![0], map: spread };
    long.graph.tensors[x.index()].shape = vec![1];
    let wide = long.view(x, &[1 << 20], vec![group]);
    long.output(wide);
    assert!(long.graph.batch(MAX_BATCH).is_ok());
    long.graph.tensors[wide.index()].shape = vec![1 << 21];
    assert!(refused(&long, MAX_BATCH).contains("too large"));
}
