//! The rule that turns (polynomials' sizes, opened points, target) into WHIR's parameters.
//!
//! Rate and first folding are the code's and depend on the polynomial's size alone, since a root outlives its openings. The level
//! per error term is the least one whose union over all terms reaches the target.

use super::scheme::{Pcs, tree_scheme};
use super::{Forest, Joint};
use crate::field::{F, K};
use crate::soundness::ErrorTerm;
use crate::transcript::Challenger;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use p3_sumcheck::{OpeningBatch, OpeningProtocol, PrescribedPointPcs, TableShape, TableSpec};
use p3_whir::{FoldingFactor, ProtocolParameters, SecurityAssumption, WhirConfig};
use thiserror::Error;

/// Most bits by which the level per term may exceed the target.
const MAX_SLACK: u32 = 8;
/// Bits of grinding before each set of queries.
const POW_BITS: usize = 16;
/// Variables folded under the first code: a leaf of 32 words, which is four blocks of BLAKE3.
const FIRST_FOLD: usize = 5;
/// Variables folded under a later code, but for the last.
const LATER_FOLD: usize = 4;
/// Logarithm of the factor by which the second code's domain is smaller than the first's; later ones halve.
const FIRST_SHRINKING: usize = 3;
/// Variables of a polynomial that is sent instead of being folded further.
const SENT: usize = 6;

/// No parameters reach the target.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a polynomial of 2^{num_variables} cells opened at {points} points cannot reach {target_bits} bits: {reason}")]
pub struct ParametersError {
    /// Variables of the polynomial.
    pub num_variables: usize,
    /// Points opened.
    pub points: usize,
    /// The target.
    pub target_bits: u32,
    /// What stands against it.
    pub reason: String,
}

/// The code under which a polynomial is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Logarithm of codeword length over message length.
    pub log_inv_rate: usize,
    /// Logarithm of a Merkle leaf's field elements: the variables folded first.
    pub log_width: usize,
}

impl Code {
    /// The code for polynomials of `num_variables` variables. Small ones can afford a low rate, which asks for fewer queries and
    /// so gives small proofs; for large ones the prover's time and memory count.
    pub fn new(num_variables: usize) -> Self {
        let log_inv_rate = match num_variables {
            ..=15 => 4,
            16..=18 => 3,
            19..=26 => 2,
            _ => 1,
        };
        Self { log_inv_rate, log_width: FIRST_FOLD.min(num_variables) }
    }
}

/// How a polynomial is folded until it is short enough to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The first code.
    pub code: Code,
    /// Per later code, the logarithm of its inverse rate, and the variables folded under it.
    pub rounds: Vec<(usize, usize)>,
    /// Most bits of grinding before each set of queries.
    pub pow_bits: usize,
}

impl Schedule {
    /// The schedule for a joint polynomial. Two polynomials double the elements of the first domain, and nothing after it.
    pub fn new(joint: &Joint) -> Self {
        let code = joint.code();
        let (mut rest, mut rate, mut folded) = (joint.log_rows(), code.log_inv_rate, code.log_width);
        let mut shrinking = FIRST_SHRINKING.min(joint.log_columns()) + (code.log_width - joint.log_columns());
        let mut rounds = Vec::new();
        while rest > SENT {
            rate += folded - shrinking;
            folded = LATER_FOLD.min(rest);
            rest -= folded;
            shrinking = 1;
            rounds.push((rate, folded));
        }
        Self { code, rounds, pow_bits: POW_BITS }
    }
}

/// WHIR's configuration for one opening.
#[derive(Debug)]
pub struct Parameters {
    joint: Joint,
    pcs: Pcs,
    config: WhirConfig<K, F, Challenger>,
    protocol: OpeningProtocol,
    bits: f64,
    log2_candidates: f64,
}

impl Parameters {
    /// Parameters whose composed error is at most `2^-target_bits`.
    ///
    /// # Errors
    /// If there are none: the polynomial is too large, or too small to fold, or the points too many.
    pub fn new(joint: &Joint, points: usize, target_bits: u32) -> Result<Self, ParametersError> {
        Self::with_schedule(joint, points, target_bits, &Schedule::new(joint))
    }

    /// The same under another schedule than the rule's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_schedule(
        joint: &Joint,
        points: usize,
        target_bits: u32,
        schedule: &Schedule,
    ) -> Result<Self, ParametersError> {
        let num_variables = joint.num_variables();
        let fail = |reason: String| ParametersError { num_variables, points, target_bits, reason };
        let together = joint.parts().len();
        if !(1..=2).contains(&together) {
            return Err(fail(alloc::format!("one polynomial or two can be opened together, not {together}")));
        }
        let table = TableSpec::new(TableShape::new(num_variables, 1), vec![OpeningBatch::new(vec![0], vec![]); points]);
        let protocol = OpeningProtocol::new(vec![table]);
        let mut reached = 0.0;
        for level in target_bits..=target_bits + MAX_SLACK {
            let config = derive(num_variables, points, level, schedule).map_err(fail)?;
            let forest = Forest::new(tree_scheme(), joint);
            let pcs = Pcs::new(config.clone(), Default::default(), forest);
            let security = PrescribedPointPcs::<K, Challenger>::prescribed_security(&pcs, &protocol)
                .ok_or_else(|| fail("no bound is known".to_string()))?;
            reached = security.error().bits();
            if reached >= f64::from(target_bits) {
                let log2_candidates = security.log2_max_candidates;
                let joint = joint.clone();
                return Ok(Self { joint, pcs, config, protocol, bits: reached, log2_candidates });
            }
        }
        Err(fail(alloc::format!("{reached:.1} bits at most")))
    }

    /// How the polynomials lie in the one that is opened.
    pub fn joint(&self) -> &Joint {
        &self.joint
    }

    /// The scheme so configured.
    pub fn pcs(&self) -> &Pcs {
        &self.pcs
    }

    /// WHIR's derived configuration.
    pub fn config(&self) -> &WhirConfig<K, F, Challenger> {
        &self.config
    }

    /// The code of the root.
    pub fn code(&self) -> Code {
        Code {
            log_inv_rate: self.config.params().starting_log_inv_rate,
            log_width: self.config.round_folding_factor(0),
        }
    }

    /// One table of one column, opened at every point.
    pub fn protocol(&self) -> &OpeningProtocol {
        &self.protocol
    }

    /// The composed error, in bits.
    pub fn bits(&self) -> f64 {
        self.bits
    }

    /// Logarithm of the number of polynomials that a root may stand for.
    pub fn log2_candidates(&self) -> f64 {
        self.log2_candidates
    }

    /// The opening's part in the proof's soundness.
    pub fn error_terms(&self) -> Vec<ErrorTerm> {
        vec![ErrorTerm::new(
            alloc::format!("opening of a polynomial of {} variables", self.config.num_variables()),
            "WHIR (ePrint 2024/1586), Johnson regime (ePrint 2025/2055, 2026/2056)",
            self.bits,
        )]
    }
}

fn derive(
    num_variables: usize,
    points: usize,
    level: u32,
    schedule: &Schedule,
) -> Result<WhirConfig<K, F, Challenger>, String> {
    let (rates, folds): (Vec<_>, Vec<_>) = schedule.rounds.iter().copied().unzip();
    let parameters = ProtocolParameters {
        starting_log_inv_rate: schedule.code.log_inv_rate,
        round_log_inv_rates: rates,
        folding_factor: FoldingFactor::PerRound([vec![schedule.code.log_width], folds].concat()),
        soundness_type: SecurityAssumption::JohnsonBound,
        security_level: level as usize,
        pow_bits: schedule.pow_bits,
    };
    WhirConfig::new_with_initial_claims(num_variables, parameters, points).map_err(|error| error.to_string())
}
