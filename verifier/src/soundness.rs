//! Soundness accounting: every way in which a false statement may pass, its probability in bits, and where the bound is proved.
//!
//! `Pr[accept a false statement] <= sum over terms of 2^-bits` (union bound).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use p3_security::ErrorBits;

/// Lower bound of `log2 |K|`.
const LOG2_K: f64 = 191.999;

/// One way to accept a false statement.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorTerm {
    /// What errs.
    pub name: String,
    /// Paper and theorem of the bound.
    pub source: &'static str,
    /// `-log2` of the probability.
    pub bits: f64,
}

impl ErrorTerm {
    /// A term of `bits`.
    pub fn new(name: impl Into<String>, source: &'static str, bits: f64) -> Self {
        Self { name: name.into(), source, bits }
    }

    /// `degree / |K|`: non-zero polynomials, of degrees that sum to `degree`, vanish at random points.
    pub fn schwartz_zippel(name: impl Into<String>, degree: u64) -> Self {
        Self::new(name, "Schwartz 1980, Zippel 1979", LOG2_K - libm::log2(degree.max(1) as f64))
    }

    /// The term when the prover may choose among `2^log2_candidates` committed polynomials after the challenge.
    #[must_use]
    pub fn over_candidates(mut self, log2_candidates: f64) -> Self {
        self.bits = (self.bits - log2_candidates.max(0.0)).max(0.0);
        self
    }
}

/// All terms of a proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Soundness {
    /// The terms.
    pub terms: Vec<ErrorTerm>,
    /// The bits of their union.
    pub total_bits: f64,
}

impl Soundness {
    /// Composes terms by the union bound.
    pub fn new(terms: Vec<ErrorTerm>) -> Self {
        let bits: Vec<_> = terms.iter().map(|term| ErrorBits::from_log2(term.bits)).collect();
        Self { total_bits: ErrorBits::sum(&bits).bits(), terms }
    }
}

impl fmt::Display for Soundness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for term in &self.terms {
            writeln!(f, "{:8.1} bits  {} ({})", term.bits, term.name, term.source)?;
        }
        write!(f, "{:8.1} bits  altogether", self.total_bits)
    }
}
