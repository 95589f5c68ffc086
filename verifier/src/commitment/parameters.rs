//! The rule that turns (variables, opened points, target) into WHIR's parameters.
//!
//! Rate and first folding are the code's and depend on the polynomial's size alone, since a root outlives its openings. The level
//! per error term is the least one whose union over all terms reaches the target.

use super::scheme::{Pcs, mmcs};
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
/// Bits of grinding per query phase.
const POW_BITS: usize = 16;

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
    /// The code for polynomials of `num_variables` variables.
    pub fn new(num_variables: usize) -> Self {
        Self { log_inv_rate: 1, log_width: 4.min(num_variables) }
    }
}

/// WHIR's configuration for one opening.
#[derive(Debug)]
pub struct Parameters {
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
    pub fn new(num_variables: usize, points: usize, target_bits: u32) -> Result<Self, ParametersError> {
        let fail = |reason: String| ParametersError { num_variables, points, target_bits, reason };
        let table = TableSpec::new(TableShape::new(num_variables, 1), vec![OpeningBatch::new(vec![0], vec![]); points]);
        let protocol = OpeningProtocol::new(vec![table]);
        let mut reached = 0.0;
        for level in target_bits..=target_bits + MAX_SLACK {
            let config = config(num_variables, points, level).map_err(fail)?;
            let pcs = Pcs::new(config.clone(), Default::default(), mmcs());
            let security = PrescribedPointPcs::<K, Challenger>::prescribed_security(&pcs, &protocol)
                .ok_or_else(|| fail("no bound is known".to_string()))?;
            reached = security.error().bits();
            if reached >= f64::from(target_bits) {
                let log2_candidates = security.log2_max_candidates;
                return Ok(Self { pcs, config, protocol, bits: reached, log2_candidates });
            }
        }
        Err(fail(alloc::format!("{reached:.1} bits at most")))
    }

    /// The scheme so configured.
    pub fn pcs(&self) -> &Pcs {
        &self.pcs
    }

    /// WHIR's derived configuration.
    pub fn config(&self) -> &WhirConfig<K, F, Challenger> {
        &self.config
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

fn config(num_variables: usize, points: usize, level: u32) -> Result<WhirConfig<K, F, Challenger>, String> {
    let code = Code::new(num_variables);
    let folding_factor = FoldingFactor::ConstantFromSecondRound(code.log_width, 4);
    let parameters = ProtocolParameters {
        starting_log_inv_rate: code.log_inv_rate,
        round_log_inv_rates: Vec::new(),
        folding_factor,
        soundness_type: SecurityAssumption::JohnsonBound,
        security_level: level as usize,
        pow_bits: POW_BITS,
    };
    WhirConfig::new_with_initial_claims(num_variables, parameters, points).map_err(|error| error.to_string())
}
