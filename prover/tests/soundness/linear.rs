//! Lies about einsums, views, merged claims, weights, inputs and outputs.

use crate::common::Lie;
use crate::common::attempt::Attempt;
use crate::common::nets::{large, layers, moved, requantised, shared, two_terms};
use kernels::Cpu;
use prover::{Job, ProveError, commit_weights, prove};
use verifier::graph::TensorId;

#[test]
fn the_honest_prover_is_accepted() {
    for build in [requantised, layers, shared, moved, two_terms, large] {
        Attempt::of(&build(), &[]).accepted();
    }
}

#[test]
fn a_wrong_sum_of_products_is_rejected() {
    // A hidden tensor, and an output.
    let hidden = Attempt::lying(&layers(), &[], Lie { tensor: TensorId(3), element: 2, delta: 1 << 20 });
    hidden.rejected("subgraph 0: einsum 'einsum3': the product of the operands does not hold");
    let output = Attempt::lying(&layers(), &[], Lie { tensor: TensorId(5), element: 1, delta: -1 });
    output.rejected("subgraph 0: einsum 'einsum5': the product of the operands does not hold");
    let terms = Attempt::lying(&two_terms(), &[], Lie { tensor: TensorId(3), element: 0, delta: 6 });
    terms.rejected("subgraph 0: einsum 'einsum3': the sum of the terms does not hold");
}

#[test]
fn an_element_moved_wrongly_is_rejected() {
    for element in 0..5 {
        let attempt = Attempt::lying(&moved(), &[], Lie { tensor: TensorId(3), element, delta: 3 });
        attempt.rejected("subgraph 0: view 'view3': the sum over moved indices does not hold");
    }
}

#[test]
fn readers_of_one_tensor_that_disagree_are_rejected() {
    // The lookup reads another product than the einsum; the prover merges their claims over either.
    let lie = Lie { tensor: TensorId(2), element: 3, delta: 40 };
    let pair = || (Attempt::of(&shared(), &[]), Attempt::lying(&shared(), &[], lie));
    for (mut attempt, lookup) in [pair(), (pair().1, pair().0)] {
        attempt.witnesses[0].lookups.clone_from(&lookup.witnesses[0].lookups);
        attempt.values[0][3].clone_from(&lookup.values[0][3]);
        attempt.statement.inferences[0].outputs[0].clone_from(&lookup.statement.inferences[0].outputs[0]);
        attempt.count(0);
        attempt.rejected("subgraph 0: tensor 'einsum2': the merged claim does not hold");
    }
}

#[test]
fn a_wrong_output_in_the_statement_is_rejected() {
    for build in [requantised, layers, shared, moved, two_terms, large] {
        let net = build();
        let output = net.graph.outputs[0].tensor;
        let mut attempt = Attempt::of(&net, &[]);
        attempt.statement.inferences[0].outputs[0][1] += 1;
        let name = &net.graph.tensor(output).name;
        attempt.rejected(&format!("boundary: public tensor '{name}': the claim on a public tensor does not hold"));
    }
}

#[test]
fn a_wrong_input_in_the_statement_is_rejected() {
    for build in [requantised, layers, shared, moved, two_terms, large] {
        let mut attempt = Attempt::of(&build(), &[]);
        attempt.statement.inferences[0].inputs[0][2] -= 1;
        attempt.rejected("boundary: public tensor 'input0': the claim on a public tensor does not hold");
    }
}

/// What was committed before is used if it is the key's, and gives the same proof; other weights are refused.
#[test]
fn weights_that_were_committed_before_are_the_keys() {
    let (net, lie) = (large(), Lie { tensor: TensorId(1), element: 0, delta: 1 });
    let (honest, lying) = (Attempt::of(&net, &[]), Attempt::lying(&net, &[], lie));
    let key = &honest.key;
    let job = Job { key, statement: honest.statement.digest(key), boundary: honest.boundary().root };
    let commit = |attempt: &Attempt| commit_weights(&Cpu, key, 0, &attempt.values[0]).unwrap().unwrap();
    let proved = prove(&Cpu, job, 0, &honest.values[0], Some(&commit(&honest))).unwrap();
    assert!(proved == prove(&Cpu, job, 0, &honest.values[0], None).unwrap());
    let refused = prove(&Cpu, job, 0, &honest.values[0], Some(&commit(&lying))).unwrap_err();
    assert!(matches!(refused, ProveError::Weights(0)), "{refused}");
    let none = commit_weights(&Cpu, key, 1, &honest.values[0]).unwrap_err();
    assert!(matches!(none, ProveError::Subgraph { index: 1, count: 1 }), "{none}");
}

#[test]
fn weights_of_another_model_are_rejected() {
    for build in [layers, two_terms] {
        let attempt = Attempt::lying(&build(), &[], Lie { tensor: TensorId(1), element: 0, delta: 1 });
        attempt.rejected("subgraph 0: the values sent are not the committed ones");
    }
    let attempt = Attempt::lying(&large(), &[], Lie { tensor: TensorId(1), element: 0, delta: 1 });
    let error = attempt.verify().unwrap_err().to_string();
    assert!(error.starts_with("subgraph 0: the opening does not hold"), "{error}");
}
