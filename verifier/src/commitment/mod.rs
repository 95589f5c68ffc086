//! The polynomial commitment: many integer tensors under one root, opened at points that the caller's challenges fix.
//!
//! Relation: `root` commits to the packed tensors `T_0, T_1, ..`, and `T_t~(point) = value` for every claim. Large polynomials
//! are opened by WHIR (ACFY 2024), small ones are sent in the clear; [`Layout`] alone decides which.

pub mod clear;
mod forest;
mod joint;
mod layout;
mod message;
mod parameters;
mod scheme;
mod tree;
mod whir;

pub use forest::Forest;
pub use joint::{Joint, Part};
pub use layout::{AxisBlock, Block, Layout, Opening, Term};
pub use parameters::{Code, Parameters, ParametersError, Schedule};
pub use scheme::{Commitment, Dft, MultiProof, Pcs, Proof, TreeScheme, tree_scheme};
pub use tree::TreeError;
pub use whir::verify as verify_joint;

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

/// A commitment, and claims about what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The commitment.
    pub root: &'a Digest,
    /// What it holds.
    pub layout: &'a Layout,
    /// Claims about it; without any it is not opened.
    pub claims: &'a [Claim],
}

/// Checks that what is committed satisfies the claims: one message for every commitment in the clear, then one opening of
/// all others together, of which there may be two.
///
/// The caller has bound every root to the transcript before it drew any coordinate of the points, and the claims follow from
/// what was bound. `target_bits` bounds the error of the whole opening by `2^-target_bits`.
///
/// # Errors
/// If a claim does not fit its layout, no parameters reach the target, or the proof does not show the claims.
pub fn verify(commitments: &[Claimed], target_bits: u32, transcript: &mut Reader) -> Result<(), OpeningError> {
    let mut joint = Vec::new();
    for commitment in commitments.iter().filter(|commitment| !commitment.claims.is_empty()) {
        let opening = commitment.layout.opening(commitment.claims)?;
        if commitment.layout.in_the_clear() {
            verify_clear(commitment, &opening, transcript)?;
        } else {
            joint.push((commitment, opening));
        }
    }
    let Some(layouts) = Joint::of(joint.iter().map(|(commitment, _)| commitment.layout)) else { return Ok(()) };
    let roots: Vec<Digest> = joint.iter().map(|(commitment, _)| *commitment.root).collect();
    let points: Vec<Vec<K>> = joint
        .iter()
        .enumerate()
        .flat_map(|(part, (commitment, opening))| {
            let packed = |(block, local): &(usize, Vec<K>)| commitment.layout.packed_point(*block, local);
            opening.points.iter().map(packed).map(move |point| (part, point))
        })
        .map(|(part, point)| layouts.point(part, &point))
        .collect();
    let parameters = Parameters::new(&layouts, points.len(), target_bits)?;
    let values = whir::verify(&roots, &points, &parameters, transcript)?;
    let mut values = values.as_slice();
    for (commitment, opening) in &joint {
        let (own, rest) = values.split_at(opening.points.len());
        opening.check(commitment.claims, own)?;
        values = rest;
    }
    Ok(())
}

/// Reads the cells, and checks them and the claims.
fn verify_clear(commitment: &Claimed, opening: &Opening, transcript: &mut Reader) -> Result<(), OpeningError> {
    let layout = commitment.layout;
    let message = transcript.read_message()?;
    let packed = clear::decode(message, layout.cells()).ok_or(OpeningError::Encoding)?;
    if clear::digest(message) != *commitment.root {
        return Err(OpeningError::Root);
    }
    let value = |(block, point): &(usize, Vec<K>)| clear::evaluate(&packed[layout.blocks()[*block].range()], point);
    opening.check(commitment.claims, &opening.points.iter().map(value).collect::<Vec<_>>())
}

/// The error terms of one opening of commitments, each at so many block values, and the logarithm of the number of
/// polynomials that its roots may still stand for when the caller draws its own challenges: those errors are to be
/// multiplied by it.
///
/// # Errors
/// If no parameters reach the target.
pub fn opening_soundness(
    commitments: &[(&Layout, usize)],
    target_bits: u32,
) -> Result<(Vec<ErrorTerm>, f64), ParametersError> {
    let opened = commitments.iter().filter(|(layout, points)| *points > 0 && !layout.in_the_clear());
    let Some(joint) = Joint::of(opened.clone().map(|(layout, _)| *layout)) else { return Ok((Vec::new(), 0.0)) };
    let points = opened.map(|(_, points)| points).sum();
    let parameters = Parameters::new(&joint, points, target_bits)?;
    Ok((parameters.error_terms(), parameters.log2_candidates()))
}
