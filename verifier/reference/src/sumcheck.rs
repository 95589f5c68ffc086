//! Section 5: `sum over {0,1}^n of g = claim` becomes `g(point) = value`.

use crate::error::Error;
use crate::field::{F, K, count, inverse};
use crate::transcript::Transcript;
use ark_ff::AdditiveGroup;

/// What a sumcheck leaves to check.
#[derive(Clone, Debug)]
pub struct End {
    /// In the variables' order.
    pub point: Vec<K>,
    /// What `g` must be there.
    pub value: K,
}

/// Verifies the rounds; the variables are bound from the last to the first.
pub fn verify(transcript: &mut Transcript, claim: K, variables: usize, degree: usize) -> Result<End, Error> {
    transcript.charge("sumcheck", variables * degree);
    let (mut value, mut point) = (claim, Vec::new());
    for _ in 0..variables {
        let sent = transcript.read_all(degree)?;
        let (at_0, rest) = sent.split_first().ok_or(Error::Internal("a sumcheck of degree 0"))?;
        let mut values = vec![*at_0, value - *at_0];
        values.extend(rest);
        let challenge = transcript.challenge();
        value = interpolate(&values, challenge);
        point.push(challenge);
    }
    point.reverse();
    Ok(End { point, value })
}

/// The polynomial with these values at 0, 1, 2, .., at `x`: Lagrange's formula.
pub fn interpolate(values: &[K], x: K) -> K {
    let mut sum = K::ZERO;
    for (i, &value) in values.iter().enumerate() {
        let mut term = value;
        for j in (0..values.len()).filter(|&j| j != i) {
            let distance = F::from(i as u64) - F::from(j as u64);
            debug_assert!(distance != F::ZERO);
            term = term * (x - count(j)) * K::from(inverse(distance));
        }
        sum = sum + term;
    }
    sum
}
