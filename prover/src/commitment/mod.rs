//! The prover's side of [`verifier::commitment`]: commit tensors under one root, then open claims about them.

pub mod bench;
pub mod instance;
pub mod reference;
mod rows;
mod sumcheck;
mod whir;

use kernels::Device;
use std::borrow::Borrow;
use thiserror::Error;
use verifier::commitment::{Claim, Code, Joint, Layout, OpeningError, Parameters, ParametersError, clear};
use verifier::transcript::{Digest, Transcript, Writer};
use whir::Polynomial;

/// Why no opening can be made.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The claims do not fit the layout.
    #[error(transparent)]
    Claim(#[from] OpeningError),
    /// No parameters reach the target.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
}

/// Committed tensors: the root, and what opening them needs.
#[derive(Debug)]
pub struct Committed<D: Device> {
    /// The commitment.
    pub root: Digest,
    content: Content<D>,
}

#[derive(Debug)]
enum Content<D: Device> {
    /// The encoded cells.
    Clear(Vec<u8>),
    /// The `2^num_variables` packed cells and their codeword.
    Encoded(D::Base, D::Tree),
}

/// Commits `tensors`, row-major and in the order of the layout's shapes.
///
/// # Panics
/// If the tensors have not the layout's shapes.
pub fn commit<D: Device, I: Borrow<D::Integers>>(device: &D, layout: &Layout, tensors: &[I]) -> Committed<D> {
    // A GPU would read on beyond a tensor that is too short.
    let lengths = layout.shapes().iter().map(|shape| shape.iter().product::<usize>());
    assert!(tensors.iter().map(|tensor| device.count(tensor.borrow())).eq(lengths), "tensors of other shapes");
    if layout.in_the_clear() {
        let mut cells = vec![0; layout.cells()];
        for (index, tensor) in tensors.iter().enumerate() {
            layout.pack(&mut cells, index, &device.download_integers(tensor.borrow()).to_vec(), |x| x);
        }
        let bytes = clear::encode(&cells);
        return Committed { root: clear::digest(&bytes), content: Content::Clear(bytes) };
    }
    let Code { log_inv_rate, log_width } = Code::new(layout.num_variables());
    let cells = device.pack(layout, &tensors.iter().map(Borrow::borrow).collect::<Vec<_>>());
    let (root, tree) = device.commit_base(&cells, log_width, log_inv_rate);
    Committed { root, content: Content::Encoded(cells, tree) }
}

/// Committed tensors, and claims about them.
#[derive(Debug)]
pub struct Claimed<'a, D: Device> {
    /// What is committed.
    pub committed: &'a Committed<D>,
    /// Its layout.
    pub layout: &'a Layout,
    /// Claims about it; without any it is not opened.
    pub claims: &'a [Claim],
}

/// Appends to the proof what shows all claims: the cells of every commitment in the clear, then one opening of all others
/// together, of which there may be two. The caller has bound the roots and drawn the points.
///
/// # Errors
/// If claims do not fit their layout or no parameters reach the target.
pub fn open<D: Device>(
    device: &D,
    commitments: &[Claimed<D>],
    target_bits: u32,
    transcript: &mut Writer,
) -> Result<(), OpenError> {
    let mut polynomials = Vec::new();
    for Claimed { committed, layout, claims } in commitments.iter().filter(|c| !c.claims.is_empty()) {
        let opening = layout.opening(claims)?;
        match &committed.content {
            Content::Clear(bytes) => transcript.write_message(bytes),
            Content::Encoded(values, tree) => polynomials.push(Polynomial { values, tree, layout, opening }),
        }
    }
    let Some(joint) = Joint::of(polynomials.iter().map(|p| p.layout)) else { return Ok(()) };
    let points = polynomials.iter().map(|p| p.opening.points.len()).sum();
    let parameters = Parameters::new(&joint, points, target_bits)?;
    let proof = whir::open(device, &polynomials, &parameters, transcript.challenger());
    transcript.write_message(&postcard::to_allocvec(&proof).expect("a proof is plain data"));
    Ok(())
}
