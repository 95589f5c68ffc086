//! An opening as it stands in a proof: `p3-whir`'s proof in postcard's encoding, in order its fields, lists after their
//! length, digests and words as they are.
//!
//! Decoded by the parameters: every length that they fix is compared before what follows it is read, and what they do not fix is
//! bounded by the bytes left. One proof has one encoding: variable-length integers are shortest, words below the modulus,
//! and nothing follows.

use super::scheme::{MultiProof, Proof};
use super::{OpeningError, Parameters};
use crate::field::{F, K, K_BYTES, k_from_bytes};
use crate::transcript::Digest;
use alloc::vec::Vec;
use p3_field::{PrimeCharacteristicRing, PrimeField64};
use p3_multilinear_util::poly::Poly;
use p3_sumcheck::{OpeningBatch, SumcheckData};
use p3_whir::{QueryOpenings, SharedProofOpening, WhirProof, WhirRoundProof};

type Result<T> = core::result::Result<T, OpeningError>;

const WORD: usize = 8;
/// Variants of [`QueryOpenings`].
const BASE: usize = 0;
const EXTENSION: usize = 1;

/// Decodes the opening that fits the parameters.
///
/// # Errors
/// If a length is not the parameters', or the bytes are not the one encoding of an opening.
pub fn decode(message: &[u8], parameters: &Parameters) -> Result<Proof> {
    let mut decoder = Decoder { rest: message };
    let proof = decoder.proof(parameters)?;
    if decoder.rest.is_empty() { Ok(proof) } else { Err(OpeningError::Encoding) }
}

struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn proof(&mut self, parameters: &Parameters) -> Result<Proof> {
        let config = parameters.config();
        let folding = config.folding_schedule();
        let initial_ood_answers = self.extensions("out-of-domain answers", config.commitment_ood_samples())?;
        let initial_sumcheck = self.sumcheck(folding[0])?;
        self.expect("rounds", config.n_rounds())?;
        let rounds = config.round_parameters().iter().enumerate().map(|(index, round)| {
            self.some("commitment in a round")?;
            self.expect("commitments in a round", 1)?;
            Ok(WhirRoundProof {
                commitment: Some(alloc::vec![self.digest()?].into()),
                ood_answers: self.extensions("out-of-domain answers", round.ood_samples)?,
                pow_witness: self.word()?,
                openings: self.openings(index, folding[index])?,
                sumcheck: self.sumcheck(folding[index + 1])?,
            })
        });
        let rounds = rounds.collect::<Result<_>>()?;
        self.some("final polynomial")?;
        let variables = config.final_sumcheck_rounds();
        let last = config.n_rounds();
        let whir = WhirProof {
            initial_ood_answers,
            initial_sumcheck,
            rounds,
            final_poly: Some(Poly::new(self.extensions("final coefficients", 1 << variables)?)),
            final_pow_witness: self.word()?,
            final_openings: self.openings(last, folding[last])?,
            final_sumcheck: match variables {
                0 => self.expect("final sumchecks", 0).map(|()| None)?,
                _ => self.some("final sumcheck").and_then(|()| self.sumcheck(variables)).map(Some)?,
            },
        };
        let points = parameters.protocol().num_openings();
        self.expect("opened values", points)?;
        let evals = (0..points).map(|_| {
            let values = self.extensions("values per point", 1)?;
            self.expect("successor values", 0)?;
            Ok(OpeningBatch::new(values, Vec::new()))
        });
        Ok(Proof { whir, evals: evals.collect::<Result<_>>()? })
    }

    /// `p3-whir` compares the number of nonces with the grinding.
    fn sumcheck(&mut self, rounds: usize) -> Result<SumcheckData<F, K>> {
        self.expect("sumcheck rounds", rounds)?;
        let polynomial_evaluations = (0..rounds).map(|_| Ok([self.extension()?, self.extension()?]));
        let polynomial_evaluations = polynomial_evaluations.collect::<Result<_>>()?;
        let nonces = self.length(WORD)?;
        Ok(SumcheckData { polynomial_evaluations, pow_witnesses: self.words(nonces)? })
    }

    /// Base rows in the first round, extension rows after it, `2^log_width` elements each. `p3-whir` compares their number
    /// with the queries; the forest, the siblings with what the queries need.
    fn openings(&mut self, round: usize, log_width: usize) -> Result<QueryOpenings<F, K, Vec<MultiProof>>> {
        let width = 1 << log_width;
        let field = if round == 0 { BASE } else { EXTENSION };
        if self.variable()? != field {
            return Err(OpeningError::Shape { what: "rows of the right field", expected: 1, actual: 0 });
        }
        Ok(if round == 0 {
            let rows = self.rows(width, WORD, Self::words)?;
            QueryOpenings::Base(SharedProofOpening { rows, proof: self.siblings()? })
        } else {
            let rows = self.rows(width, K_BYTES, Self::elements)?;
            QueryOpenings::Extension(SharedProofOpening { rows, proof: self.siblings()? })
        })
    }

    fn rows<T>(
        &mut self,
        width: usize,
        bytes: usize,
        row: impl Fn(&mut Self, usize) -> Result<Vec<T>>,
    ) -> Result<Vec<Vec<T>>> {
        let rows = self.length(width * bytes)?;
        let row = |_| self.expect("elements in a row", width).and_then(|()| row(self, width));
        (0..rows).map(row).collect()
    }

    fn siblings(&mut self) -> Result<Vec<MultiProof>> {
        let trees = self.length(1)?;
        let tree = |_| {
            let siblings = self.length(size_of::<Digest>())?;
            Ok(MultiProof { sibling_hashes: (0..siblings).map(|_| self.digest()).collect::<Result<_>>()? })
        };
        (0..trees).map(tree).collect()
    }

    /// A list whose length the parameters fix.
    fn extensions(&mut self, what: &'static str, expected: usize) -> Result<Vec<K>> {
        self.expect(what, expected)?;
        self.elements(expected)
    }

    fn elements(&mut self, count: usize) -> Result<Vec<K>> {
        (0..count).map(|_| self.extension()).collect()
    }

    fn words(&mut self, count: usize) -> Result<Vec<F>> {
        (0..count).map(|_| self.word()).collect()
    }

    fn extension(&mut self) -> Result<K> {
        k_from_bytes(self.take::<K_BYTES>()?).ok_or(OpeningError::Encoding)
    }

    fn word(&mut self) -> Result<F> {
        let word = u64::from_le_bytes(*self.take::<WORD>()?);
        if word < F::ORDER_U64 { Ok(F::from_u64(word)) } else { Err(OpeningError::Encoding) }
    }

    fn digest(&mut self) -> Result<Digest> {
        self.take().copied()
    }

    /// An option that the parameters say is there.
    fn some(&mut self, what: &'static str) -> Result<()> {
        self.expect(what, 1)
    }

    fn expect(&mut self, what: &'static str, expected: usize) -> Result<()> {
        let actual = self.variable()?;
        if expected == actual { Ok(()) } else { Err(OpeningError::Shape { what, expected, actual }) }
    }

    /// The length of a list whose elements have at least so many bytes: no more than there are.
    fn length(&mut self, bytes: usize) -> Result<usize> {
        let length = self.variable()?;
        if length <= self.rest.len() / bytes { Ok(length) } else { Err(OpeningError::Encoding) }
    }

    /// Seven bits a byte, the lowest first; the last byte is not zero unless it is the only one. Nothing that a proof
    /// counts needs more than 32 bits.
    fn variable(&mut self) -> Result<usize> {
        let mut value = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let [byte] = *self.take::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let shortest = byte != 0 || shift == 0;
                let value = u32::try_from(value).ok().filter(|_| shortest);
                return value.map(|value| value as usize).ok_or(OpeningError::Encoding);
            }
        }
        Err(OpeningError::Encoding)
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(OpeningError::Encoding)?;
        self.rest = rest;
        Ok(head)
    }
}
