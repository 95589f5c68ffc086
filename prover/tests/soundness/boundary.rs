//! Lies about tensors that cross from one subgraph to another.

use crate::common::attempt::Attempt;
use crate::common::nets::{large, layers};
use crate::common::{Job, Lie, run};
use kernels::{Cpu, Ints};
use prover::{AggregateError, Boundary, aggregate};
use verifier::graph::TensorId;

/// A cut after the dense layer (the boundary is virtual), and one after the requantisation (it is a lookup's output).
const CUTS: [(usize, TensorId); 2] = [(1, TensorId(3)), (2, TensorId(4))];
const OPENING: &str = "boundary: the claimed value of tensor 0 is not the opened one";

#[test]
fn the_honest_prover_is_accepted() {
    for (cut, _) in CUTS {
        Attempt::of(&layers(), &[cut]).accepted();
        Attempt::of(&large(), &[cut]).accepted();
    }
}

#[test]
fn a_boundary_that_is_not_what_the_producer_computed_is_rejected() {
    for (cut, tensor) in CUTS {
        // Commitment and consumer agree, the producer computed something else.
        let lie = Lie { tensor, element: 4, delta: 1 };
        let mut attempt = Attempt::lying(&layers(), &[cut], lie);
        attempt.values[0] = layers().values;
        attempt.fill();
        attempt.rejected(OPENING);
    }
}

#[test]
fn a_consumer_of_other_values_than_the_committed_is_rejected() {
    for (cut, tensor) in CUTS {
        let lie = Lie { tensor, element: 4, delta: 1 };
        let mut attempt = Attempt::lying(&layers(), &[cut], lie);
        let honest = layers().values;
        attempt.values[0].clone_from(&honest);
        attempt.boundary = honest;
        attempt.fill();
        attempt.rejected(OPENING);
    }
}

#[test]
fn a_producer_that_computed_wrongly_is_rejected() {
    let lie = |tensor| Lie { tensor, element: 4, delta: 1 };
    let attempt = Attempt::lying(&layers(), &[1], lie(TensorId(3)));
    attempt.rejected("subgraph 0: einsum 'einsum3': the product of the operands does not hold");
    let attempt = Attempt::lying(&layers(), &[2], lie(TensorId(4)));
    attempt.rejected("subgraph 0: einsum 'einsum3': the product of the operands does not hold");
}

#[test]
fn a_boundary_under_a_large_commitment_is_bound() {
    let (cut, tensor) = CUTS[1];
    let mut attempt = Attempt::lying(&large(), &[cut], Lie { tensor: TensorId(3), element: 4, delta: 1 });
    attempt.values[0] = large().values;
    attempt.fill();
    let _ = tensor;
    attempt.rejected(OPENING);
}

/// Whoever writes to the store can leave a boundary there of any shape.
#[test]
fn a_stored_boundary_of_other_shapes_is_refused() {
    for net in [layers(), large()] {
        let Job { key, statement, boundary, subgraphs, .. } = run(&net, &[2]);
        let aggregated = |tensors: Vec<Ints>| {
            let boundary = Boundary { root: boundary.root, tensors };
            aggregate(&Cpu, &key, statement.clone(), &boundary, subgraphs.clone())
        };
        assert!(aggregated(boundary.tensors.clone()).is_ok());
        let tensor = boundary.tensors[0].to_vec();
        let short = Ints::from(tensor[1..].to_vec());
        let long = Ints::from([&tensor[..], &[0]].concat());
        for tensors in [vec![], vec![short], vec![long], vec![boundary.tensors[0].clone(); 2]] {
            assert!(matches!(aggregated(tensors), Err(AggregateError::Boundary)));
        }
    }
}
