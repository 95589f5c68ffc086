//! Openings of commitments: `docs/commitment.md`.

mod clear;
mod layout;
mod merkle;
mod message;
mod parameters;
mod seed;
mod whir;

pub use layout::Layout;

use crate::claims::Claim;
use crate::error::Error;
use crate::soundness::Account;
use crate::transcript::{Digest, Transcript};
use parameters::Parameters;

/// Verifies that the tensors under `root` satisfy the claims, which name tensors by their place in the layout.
pub fn verify(
    root: &Digest,
    layout: &Layout,
    claims: &[(usize, Claim)],
    target: u32,
    transcript: &mut Transcript,
    account: &mut Account,
) -> Result<(), Error> {
    if claims.is_empty() {
        return Ok(());
    }
    let opened = layout.points(claims)?;
    let points = opened.packed();
    let message = transcript.read_message()?;
    let values = if layout.in_the_clear() {
        clear::verify(root, layout.cells, &points, message)?
    } else {
        let parameters = Parameters::new(layout.variables(), points.len(), target)?;
        account.add(parameters.bits());
        whir::verify(root, &points, &parameters, message, &mut transcript.sponge)?
    };
    if opened.hold(claims, &values) {
        return Ok(());
    }
    Err(Error::Opening("a claimed value is not the opened one".into()))
}

/// Logarithm of the number of polynomials that a root may stand for when the caller draws its challenges.
pub fn log2_candidates(layout: &Layout, target: u32) -> Result<f64, Error> {
    if layout.in_the_clear() {
        return Ok(0.0);
    }
    Ok(Parameters::new(layout.variables(), 1, target)?.log2_candidates())
}
