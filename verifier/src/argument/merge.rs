//! Several claims on one virtual tensor become one.
//!
//! `sum_j c^j v_j = sum_i (sum_j c^j eq(r_j, i)) T[i]`: a sumcheck over all axes of `T` ends in one point of `T~`.

use super::ledger::PointValue;
use super::{Rejection, require, sumcheck};
use crate::field::{K, horner};
use crate::graph::Tensor;
use crate::multilinear::{eq_below, num_variables, split_point};
use crate::transcript::{Reader, Transcript};
use alloc::format;
use alloc::vec::Vec;

/// Degree of the summand in each variable.
pub const DEGREE: usize = 2;

/// Reduces the claims to one; one claim stays as it is. `None` if there are none.
///
/// # Errors
/// If the prover's messages are malformed or do not fit the claims.
pub fn verify(
    transcript: &mut Reader,
    tensor: &Tensor,
    mut claims: Vec<PointValue>,
) -> Result<Option<PointValue>, Rejection> {
    if claims.len() <= 1 {
        return Ok(claims.pop());
    }
    let c = transcript.challenge();
    transcript.charge("merging of claims", claims.len() as u64);
    let values: Vec<K> = claims.iter().map(|claim| claim.value).collect();
    let reduced = sumcheck::verify(transcript, horner(&values, c), num_variables(&tensor.shape), DEGREE)?;
    let value = transcript.read()?;
    let (shape, end) = (&tensor.shape, split_point(&tensor.shape, &reduced.point));
    let weight = |claim: &PointValue| -> K {
        split_point(shape, &claim.point).iter().zip(&end).zip(shape).map(|((a, b), &d)| eq_below(a, b, d)).product()
    };
    let weights: Vec<K> = claims.iter().map(weight).collect();
    require(reduced.value == horner(&weights, c) * value, || format!("tensor '{}'", tensor.name), "the merged claim")?;
    Ok(Some(PointValue { point: reduced.point, value }))
}
