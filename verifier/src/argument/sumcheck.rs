//! Sumcheck: `sum over {0,1}^n of g(x) = claim` becomes `g(r) = claim'`.
//!
//! Variables are bound from the last to the first. In each round the prover sends the round polynomial's values at
//! 0, 2, 3, .., degree; its value at 1 follows from the claim. (Lund, Fortnow, Karloff, Nisan 1992.)

use super::Rejection;
use crate::field::K;
use crate::transcript::{Reader, Transcript};
use alloc::vec;
use alloc::vec::Vec;
use p3_field::{Field, PrimeCharacteristicRing};

/// What a sumcheck leaves to check.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// One coordinate for each variable, in the variables' order.
    pub point: Vec<K>,
    /// The value that the summand must have there.
    pub value: K,
}

/// Verifies the rounds of a sumcheck over `variables` variables of a summand of this degree (at least 1) in each.
///
/// # Errors
/// If the proof is too short or not canonical.
pub fn verify(transcript: &mut Reader, claim: K, variables: usize, degree: usize) -> Result<Reduced, Rejection> {
    transcript.charge("sumcheck", (variables * degree) as u64);
    let mut value = claim;
    let mut point = vec![K::ZERO; variables];
    for coordinate in point.iter_mut().rev() {
        let message = transcript.read_all(degree)?;
        *coordinate = transcript.challenge();
        value = evaluate_round(&message, value, *coordinate);
    }
    Ok(Reduced { point, value })
}

/// The round polynomial at `x`, from its message and the claim `g(0) + g(1)`.
pub fn evaluate_round(message: &[K], claim: K, x: K) -> K {
    let Some((&at_zero, rest)) = message.split_first() else { return claim };
    let mut values = vec![at_zero, claim - at_zero];
    values.extend_from_slice(rest);
    interpolate(&values, x)
}

/// The polynomial with these values at 0, 1, 2, .., at `x`.
pub fn interpolate(values: &[K], x: K) -> K {
    let n = values.len();
    let at = |i: usize| K::from_usize(i);
    let mut sum = K::ZERO;
    for (i, &value) in values.iter().enumerate() {
        let others = || (0..n).filter(move |&j| j != i);
        let numerator: K = others().map(|j| x - at(j)).product();
        let denominator: K = others().map(|j| at(i) - at(j)).product();
        // The nodes are distinct small integers, so the denominator is not zero.
        sum += value * numerator * denominator.try_inverse().unwrap_or(K::ZERO);
    }
    sum
}
