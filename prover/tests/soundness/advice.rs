//! Lies about advice: values that only assertions pin down.

use crate::common::Lie;
use crate::common::attempt::Attempt;
use crate::common::nets::{division, maximum};
use verifier::graph::TensorId;

const SUM: &str = "subgraph 0: the lookup argument: the sum of all lookups does not hold";

#[test]
fn the_honest_prover_is_accepted() {
    Attempt::of(&maximum(), &[]).accepted();
    Attempt::of(&division(true), &[]).accepted();
}

#[test]
fn a_maximum_that_is_too_large_is_not_attained() {
    for delta in [1, 2, 7] {
        for element in 0..2 {
            Attempt::lying(&maximum(), &[], Lie { tensor: TensorId(3), element, delta }).rejected(SUM);
        }
    }
}

#[test]
fn a_maximum_that_is_too_small_leaves_a_forbidden_gap() {
    // Of an odd gap the last limb is not in its table; of an even one it is, but does not make up the gap.
    let gap = "subgraph 0: einsum 'einsum4': the sum of the terms does not hold";
    for (delta, equation) in [(-1, SUM), (-2, gap), (-14, gap)] {
        for element in 0..2 {
            Attempt::lying(&maximum(), &[], Lie { tensor: TensorId(3), element, delta }).rejected(equation);
        }
    }
}

#[test]
fn a_gap_said_to_be_none_is_rejected() {
    // The maximum is too large, and the first element's gap is said to be 0 all the same.
    let mut attempt = Attempt::lying(&maximum(), &[], Lie { tensor: TensorId(3), element: 0, delta: 2 });
    attempt.set(0, TensorId(5), 0, 0);
    attempt.set(0, TensorId(6), 0, 0);
    attempt.fill();
    assert!(attempt.verify().is_err());
}

#[test]
fn a_quotient_off_by_one_is_rejected() {
    for delta in [-1, 1] {
        for element in 0..3 {
            let lie = Lie { tensor: TensorId(2), element, delta };
            Attempt::lying(&division(true), &[], lie).rejected(SUM);
        }
    }
}

/// The integer that is `x` modulo `p`, at most `p / 2` in magnitude.
fn centred(x: i128) -> i64 {
    const P: i128 = (1 << 64) - (1 << 32) + 1;
    let x = x.rem_euclid(P);
    i64::try_from(if x > P / 2 { x - P } else { x }).unwrap()
}

fn power(base: i128, mut exponent: u64) -> i128 {
    let (mut square, mut result) = (base, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = i128::from(centred(result * square));
        }
        square = i128::from(centred(square * square));
        exponent >>= 1;
    }
    result
}

/// `1000 = q * 7 + remainder` modulo `p`: a quotient that no integers give.
fn wrapped(bounded: bool, remainder: i128) -> Attempt {
    let (n, d) = (1000, 7);
    let inverse = power(d, 0xffff_ffff_0000_0001 - 2);
    let quotient = centred((n - remainder) * inverse);
    assert_eq!(centred(i128::from(quotient) * d + remainder - n), 0);
    let mut attempt = Attempt::of(&division(bounded), &[]);
    for (tensor, value) in [(2, quotient), (3, remainder as i64), (4, (d - 1 - remainder) as i64)] {
        attempt.set(0, TensorId(tensor), 0, value);
    }
    attempt.fill();
    attempt
}

#[test]
fn a_quotient_that_wraps_in_the_field_is_rejected() {
    // An assertion bounds the quotient, so that its product with the divisor does not wrap: limbs in their tables do not
    // make it up, or limbs that do are not in their tables.
    let column = "subgraph 0: the claimed value of tensor 0 is not the opened one";
    for (remainder, equation) in [(0, SUM), (1, SUM), (2, SUM), (3, column), (4, column), (5, column)] {
        wrapped(true, remainder).rejected(equation);
        // All else holds: without that assertion the same lie is accepted.
        wrapped(false, remainder).accepted();
    }
}
