//! The WHIR opening of a joint polynomial at full points: decoding, shape checks, and `p3-whir`'s verifier.

use super::scheme::Proof;
use super::{OpeningError, Parameters};
use crate::field::{F, K};
use crate::transcript::{Challenger, Digest, Reader, Transcript};
use alloc::vec::Vec;
use p3_multilinear_util::point::Point;
use p3_sumcheck::PrescribedPointPcs;
use p3_symmetric::MerkleCap;
use p3_whir::QueryOpenings;
use postcard::ser_flavors::Flavor;

/// Verifies the next message as an opening, at `points`, of the joint polynomial under `roots`; returns the values there.
pub fn verify(
    roots: &[Digest],
    points: &[Vec<K>],
    parameters: &Parameters,
    transcript: &mut Reader,
) -> Result<Vec<K>, OpeningError> {
    let message = transcript.read_message()?;
    let proof: Proof = postcard::from_bytes(message).map_err(|_| OpeningError::Encoding)?;
    // A proof has one encoding: no padding of variable-length integers, no bytes after the end.
    if postcard::serialize_with_flavor(&proof, Expected(message)) != Ok(true) {
        return Err(OpeningError::Encoding);
    }
    check_shape(&proof, parameters)?;
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

/// Compares what is encoded with these bytes as it comes; true if none are left.
struct Expected<'a>(&'a [u8]);

impl Flavor for Expected<'_> {
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        // Bytes that differ have no place, as bytes beyond a buffer's end.
        self.0 = self.0.strip_prefix(bytes).ok_or(postcard::Error::SerializeBufferFull)?;
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        Ok(self.0.is_empty())
    }
}

fn expect(what: &'static str, expected: usize, actual: usize) -> Result<(), OpeningError> {
    if expected == actual { Ok(()) } else { Err(OpeningError::Shape { what, expected, actual }) }
}

/// Compares every length in the proof with the configuration, so that the verifier's arithmetic sees only fitting shapes.
fn check_shape(proof: &Proof, parameters: &Parameters) -> Result<(), OpeningError> {
    let config = parameters.config();
    let whir = &proof.whir;
    expect("opened values", parameters.protocol().num_openings(), proof.evals.len())?;
    for batch in &proof.evals {
        expect("values per point", 1, batch.current().len())?;
        expect("successor values", 0, batch.next().len())?;
    }
    expect("out-of-domain answers", config.commitment_ood_samples(), whir.initial_ood_answers.len())?;
    let folding = config.folding_schedule();
    expect("sumcheck rounds", folding[0], whir.initial_sumcheck.num_rounds())?;
    expect("rounds", config.n_rounds(), whir.rounds.len())?;
    for (index, (round, expected)) in whir.rounds.iter().zip(config.round_parameters()).enumerate() {
        expect("commitments in a round", 1, round.commitment.iter().map(|cap| cap.num_roots()).sum())?;
        expect("out-of-domain answers", expected.ood_samples, round.ood_answers.len())?;
        expect("sumcheck rounds", folding[index + 1], round.sumcheck.num_rounds())?;
        check_rows(&round.openings, index, folding[index])?;
    }
    let last = config.n_rounds();
    check_rows(&whir.final_openings, last, folding[last])?;
    let rounds = config.final_sumcheck_rounds();
    expect("final coefficients", 1 << rounds, whir.final_poly.as_ref().map_or(0, |poly| poly.as_slice().len()))?;
    expect("final sumcheck rounds", rounds, whir.final_sumcheck.as_ref().map_or(0, |data| data.num_rounds()))
}

/// Base rows in the first round, extension rows after it, `2^log_width` elements each.
fn check_rows<P>(openings: &QueryOpenings<F, K, P>, round: usize, log_width: usize) -> Result<(), OpeningError> {
    let widths: Vec<usize> = match openings {
        QueryOpenings::Base(opening) if round == 0 => opening.rows.iter().map(Vec::len).collect(),
        QueryOpenings::Extension(opening) if round > 0 => opening.rows.iter().map(Vec::len).collect(),
        _ => return Err(OpeningError::Shape { what: "rows of the right field", expected: 1, actual: 0 }),
    };
    widths.into_iter().try_for_each(|width| expect("elements in a row", 1 << log_width, width))
}
