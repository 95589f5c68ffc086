//! Openings of commitments: `docs/commitment.md`.

mod clear;
mod joint;
mod layout;
mod merkle;
mod message;
mod parameters;
mod seed;
mod whir;

pub use layout::Layout;
use layout::Points;

use crate::claims::Claim;
use crate::error::Error;
use crate::field::K;
use crate::soundness::Account;
use crate::transcript::{Digest, Transcript};
use parameters::Parameters;

/// Tensors under a root, and claims that name them by their place in the layout.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The root.
    pub root: Digest,
    /// What is under it.
    pub layout: &'a Layout,
    /// The claims.
    pub claims: &'a [(usize, Claim)],
}

/// Verifies that the tensors under the roots satisfy the claims: those in the clear each by a message, all others (one or
/// two) by one opening.
pub fn verify(
    commitments: &[Claimed],
    target: u32,
    transcript: &mut Transcript,
    account: &mut Account,
) -> Result<(), Error> {
    let mut together = Vec::new();
    for commitment in commitments {
        if commitment.claims.is_empty() {
            continue;
        }
        let opened = commitment.layout.points(commitment.claims)?;
        if commitment.layout.in_the_clear() {
            let message = transcript.read_message()?;
            let values = clear::verify(&commitment.root, commitment.layout.cells, &opened.packed(), message)?;
            hold(commitment, &opened, &values)?;
        } else {
            together.push((commitment, opened));
        }
    }
    if together.is_empty() {
        return Ok(());
    }
    let variables: Vec<usize> = together.iter().map(|(commitment, _)| commitment.layout.variables()).collect();
    let count = together.iter().map(|(_, opened)| opened.packed().len()).sum();
    let parameters = Parameters::new(&variables, count, target)?;
    let parts = joint::parts(&variables);
    let mut points = Vec::new();
    let mut trees = Vec::new();
    for (part, (commitment, opened)) in parts.iter().zip(&together) {
        trees.push((commitment.root, part.log_leaves));
        points.extend(opened.packed().iter().map(|own| joint::point(&parts, part, parameters.log_rows(), own)));
    }
    account.add(parameters.bits());
    let message = transcript.read_message()?;
    let mut values = whir::verify(&trees, &points, &parameters, message, &mut transcript.sponge)?;
    for (commitment, opened) in &together {
        let rest = values.split_off(opened.packed().len());
        hold(commitment, opened, &values)?;
        values = rest;
    }
    Ok(())
}

fn hold(commitment: &Claimed, opened: &Points, values: &[K]) -> Result<(), Error> {
    if opened.hold(commitment.claims, values) {
        return Ok(());
    }
    Err(Error::Opening("a claimed value is not the opened one".into()))
}

/// Logarithm of the number of polynomials that roots opened together may stand for when the caller draws its challenges.
pub fn log2_candidates(layouts: &[&Layout], target: u32) -> Result<f64, Error> {
    let large = layouts.iter().filter(|layout| !layout.in_the_clear());
    let variables: Vec<usize> = large.map(|layout| layout.variables()).collect();
    if variables.is_empty() {
        return Ok(0.0);
    }
    Ok(Parameters::new(&variables, 1, target)?.log2_candidates())
}
