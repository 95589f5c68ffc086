//! The polynomial commitment: many integer tensors under one root, opened at points that the caller's challenges fix.
//!
//! Relation: `root` commits to the packed tensors `T_0, T_1, ..`, and `T_t~(point) = value` for every claim. Large polynomials
//! are opened by WHIR (ACFY 2024), small ones are sent in the clear; [`Layout`] alone decides which.

pub mod clear;
mod layout;
mod parameters;
mod scheme;
mod whir;

pub use layout::{AxisBlock, Block, Layout, Opening, Term};
pub use parameters::{Code, Parameters, ParametersError, Schedule};
pub use scheme::{Commitment, Dft, Mmcs, Pcs, Proof, mmcs};
pub use whir::verify as verify_packed;

use crate::field::K;
use crate::soundness::ErrorTerm;
use crate::transcript::{Digest, ReadError, Reader};
use alloc::vec::Vec;
use p3_whir::VerifierError;
use thiserror::Error;

/// The statement that the multilinear extension of a tensor has a value at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Index into the layout's shapes.
    pub tensor: usize,
    /// Per axis of the tensor, in order, `ceil(log2 d)` coordinates, the most significant bit's first.
    pub point: Vec<K>,
    /// The claimed value.
    pub value: K,
}

/// Why an opening is not accepted.
#[derive(Debug, Error)]
pub enum OpeningError {
    /// The claim names a tensor that is not in the layout.
    #[error("a claim is about tensor {tensor}, but the commitment holds {tensors}")]
    NoSuchTensor {
        /// The tensor named.
        tensor: usize,
        /// Tensors in the layout.
        tensors: usize,
    },
    /// The claim's point does not fit its tensor.
    #[error("a claim about tensor {tensor} has a point of {actual} coordinates, the tensor's shape needs {expected}")]
    PointLength {
        /// The tensor.
        tensor: usize,
        /// Coordinates that its shape needs.
        expected: usize,
        /// Coordinates given.
        actual: usize,
    },
    /// The proof ends early.
    #[error("opening: {0}")]
    Read(#[from] ReadError),
    /// No parameters reach the target.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// The message is not the one encoding of an opening.
    #[error("the opening is not a canonically encoded proof")]
    Encoding,
    /// A list in the opening has another length than the parameters say.
    #[error("the opening has {actual} {what}, expected {expected}")]
    Shape {
        /// Which list.
        what: &'static str,
        /// Its length by the parameters.
        expected: usize,
        /// Its length in the proof.
        actual: usize,
    },
    /// Values sent in the clear do not hash to the root.
    #[error("the values sent are not the committed ones")]
    Root,
    /// WHIR rejects.
    #[error("the opening does not hold: {0}")]
    Whir(VerifierError),
    /// The opened blocks do not add up to the claimed value.
    #[error("the claimed value of tensor {tensor} is not the opened one")]
    Value {
        /// The tensor.
        tensor: usize,
    },
}

/// Checks that the polynomials under `root` satisfy `claims`, reading one message of the proof (none without claims).
///
/// The caller has bound `root` to the transcript before it drew any coordinate of the points, and `claims` follow from
/// what was bound. `target_bits` bounds the error of the whole opening by `2^-target_bits`.
///
/// # Errors
/// If a claim does not fit the layout, no parameters reach the target, or the proof does not show the claims.
pub fn verify(
    root: &Digest,
    layout: &Layout,
    claims: &[Claim],
    target_bits: u32,
    transcript: &mut Reader,
) -> Result<(), OpeningError> {
    let opening = layout.opening(claims)?;
    if claims.is_empty() {
        return Ok(());
    }
    if layout.in_the_clear() {
        let message = transcript.read_message()?;
        let packed = clear::decode(message, layout.cells()).ok_or(OpeningError::Encoding)?;
        if clear::digest(message) != *root {
            return Err(OpeningError::Root);
        }
        let values = opening
            .points
            .iter()
            .map(|(block, point)| clear::evaluate(&packed[layout.blocks()[*block].range()], point));
        return opening.check(claims, &values.collect::<Vec<_>>());
    }
    let parameters = Parameters::new(layout.num_variables(), opening.points.len(), target_bits)?;
    let values = whir::verify(root, layout, &opening, &parameters, transcript)?;
    opening.check(claims, &values)
}

/// The error terms of an opening of `points` block values, and the logarithm of the number of polynomials that the root may
/// still stand for when the caller draws its own challenges: those errors are to be multiplied by it.
///
/// # Errors
/// If no parameters reach the target.
pub fn opening_soundness(
    layout: &Layout,
    points: usize,
    target_bits: u32,
) -> Result<(Vec<ErrorTerm>, f64), ParametersError> {
    if points == 0 || layout.in_the_clear() {
        return Ok((Vec::new(), 0.0));
    }
    let parameters = Parameters::new(layout.num_variables(), points, target_bits)?;
    Ok((parameters.error_terms(), parameters.log2_candidates()))
}
