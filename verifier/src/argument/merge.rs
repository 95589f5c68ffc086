//! Several claims on one virtual tensor become one.
//!
//! `sum_j c^j v_j = sum_i (sum_j c^j eq(r_j, i)) T[i]`: a sumcheck over all axes of `T` ends in one point of `T~`.

use super::ledger::PointValue;
use super::{Rejection, require, sumcheck};
use crate::field::{K, horner};
use crate::graph::Tensor;
use crate::multilinear::{eq, num_variables};
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
    transcript.charge("merging of claims", claims.len());
    let values: Vec<K> = claims.iter().map(|claim| claim.value).collect();
    let reduced = sumcheck::verify(transcript, horner(&values, c), num_variables(&tensor.shape), DEGREE)?;
    let value = transcript.read()?;
    let weights: Vec<K> = claims.iter().map(|claim| eq(&claim.point, &reduced.point)).collect();
    require(reduced.value == horner(&weights, c) * value, || format!("tensor '{}'", tensor.name), "the merged claim")?;
    Ok(Some(PointValue { point: reduced.point, value }))
}
