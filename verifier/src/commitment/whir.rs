//! The WHIR opening of a joint polynomial at full points: decoding, and `p3-whir`'s verifier.

use super::{OpeningError, Parameters, message};
use crate::field::{F, K};
use crate::transcript::{Challenger, Digest, Reader, Transcript};
use alloc::vec::Vec;
use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use p3_symmetric::MerkleCap;

/// Verifies the next message as an opening, at `points`, of the joint polynomial under `roots`; returns the values there.
pub fn verify(
    roots: &[Digest],
    points: &[Vec<K>],
    parameters: &Parameters,
    transcript: &mut Reader,
) -> Result<Vec<K>, OpeningError> {
    let message = transcript.read_message()?;
    let proof = message::decode(message, parameters)?;
    let points: Vec<_> = points.iter().cloned().map(Point::new).collect();
    let commitment = MerkleCap::<F, [u8; 32]>::from(roots.to_vec());
    let evals = PrescribedPointPcs::<K, Challenger>::verify_at(
        parameters.pcs(),
        &commitment,
        &proof,
        parameters.protocol(),
        &points,
        transcript.challenger(),
    )
    .map_err(OpeningError::Whir)?;
    Ok(evals.iter().map(|batch| batch.current()[0]).collect())
}
