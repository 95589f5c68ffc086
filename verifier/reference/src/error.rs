//! Why a key or a proof is refused.

use thiserror::Error;

/// See the module.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Error {
    /// The bytes are not a model key.
    #[error("not a model key: {0}")]
    Key(String),
    /// The bytes are not a proof file.
    #[error("not a proof file: {0}")]
    File(&'static str),
    /// The proof is about another model.
    #[error("the proof is about another model than the key")]
    Model,
    /// The public values do not fit the model.
    #[error("the public values do not fit the model: {0}")]
    Statement(String),
    /// The public values are not a prompt and its answer.
    #[error("the public values are no generation: {0}")]
    Generation(&'static str),
    /// Another number of subgraph proofs than subgraphs, or a boundary root where there is no boundary, or the reverse.
    #[error("the proof's parts do not fit the partition")]
    Parts,
    /// A part of the proof ends early, goes on after its end or holds a word that is not below the modulus.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// An equation of the protocol does not hold.
    #[error("{place}: {equation} does not hold")]
    Equation {
        /// Node, tensor or table.
        place: String,
        /// Which equation.
        equation: &'static str,
    },
    /// An opening of a commitment fails.
    #[error("opening: {0}")]
    Opening(String),
    /// The error terms do not reach the key's security.
    #[error("{found:.1} bits of soundness, the key demands {demanded}")]
    Soundness {
        /// The bits of all terms together.
        found: f64,
        /// The key's.
        demanded: u32,
    },
    /// A part of a proof is refused.
    #[error("{part}: {error}")]
    Part {
        /// A subgraph or the boundary.
        part: String,
        /// Why.
        error: Box<Error>,
    },
    /// A checked key led to a state that its checks exclude.
    #[error("internal: {0}")]
    Internal(&'static str),
}

/// Refuses unless the equation holds.
pub fn require(holds: bool, place: impl FnOnce() -> String, equation: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Equation { place: place(), equation }) }
}
