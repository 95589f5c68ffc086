//! The argument of one subgraph: claims on the outputs of its nodes become claims on what is committed or public.
//!
//! One protocol per file; the prover's side of each is in `prover` under the same name.

pub mod einsum;
pub mod ledger;
pub mod logup;
pub mod lookup;
pub mod merge;
pub mod subgraph;
pub mod sumcheck;
pub mod view;

use crate::transcript::ReadError;
use alloc::string::String;
use thiserror::Error;

/// Why an argument is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// The bytes are not a transcript of this argument.
    #[error(transparent)]
    Malformed(#[from] ReadError),
    /// An equation does not hold.
    #[error("{place}: {equation} does not hold")]
    Equation {
        /// The node or table.
        place: String,
        /// The equation.
        equation: &'static str,
    },
}

/// Rejects unless the equation holds.
pub(crate) fn require(holds: bool, place: impl FnOnce() -> String, equation: &'static str) -> Result<(), Rejection> {
    if holds { Ok(()) } else { Err(Rejection::Equation { place: place(), equation }) }
}
