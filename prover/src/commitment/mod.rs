//! The prover's side of [`verifier::commitment`]: commit tensors under one root, then open claims about them.

mod reference;

use kernels::{Device, Ints, with_ints};
use p3_field::PrimeCharacteristicRing;
use thiserror::Error;
use verifier::commitment::{Claim, Layout, OpeningError, Parameters, ParametersError, digest, encode};
use verifier::field::{F, from_i64};
use verifier::transcript::{Digest, Writer};

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
#[derive(Clone, Debug)]
pub struct Committed {
    /// The commitment.
    pub root: Digest,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// The encoded cells.
    Clear(Vec<u8>),
    /// The packed cells, `2^num_variables` of them.
    Packed(Vec<F>),
}

/// Commits `tensors`, row-major and in the order of the layout's shapes.
///
/// # Panics
/// If a tensor has fewer cells than its shape.
pub fn commit<D: Device>(_device: &D, layout: &Layout, tensors: &[Ints]) -> Committed {
    if layout.in_the_clear() {
        let mut cells = vec![0; layout.cells()];
        pack(layout, tensors, &mut cells, |x| x);
        let bytes = encode(&cells);
        return Committed { root: digest(&bytes), content: Content::Clear(bytes) };
    }
    let mut packed = vec![F::ZERO; 1 << layout.num_variables()];
    pack(layout, tensors, &mut packed, from_i64);
    Committed { root: reference::root(&packed), content: Content::Packed(packed) }
}

fn pack<P: Copy>(layout: &Layout, tensors: &[Ints], packed: &mut [P], convert: impl Fn(i64) -> P) {
    for (index, tensor) in tensors.iter().enumerate() {
        with_ints!(tensor, cells => pack_tensor(layout, packed, index, cells, &convert));
    }
}

fn pack_tensor<T: Copy + Into<i64>, P: Copy>(
    layout: &Layout,
    packed: &mut [P],
    index: usize,
    cells: &[T],
    convert: impl Fn(i64) -> P,
) {
    layout.pack(packed, index, cells, |x| convert(x.into()));
}

/// Appends the opening of `claims` to the proof; the caller has bound the root and drawn the points.
///
/// # Errors
/// If the claims do not fit the layout or no parameters reach the target.
pub fn open<D: Device>(
    _device: &D,
    committed: &Committed,
    layout: &Layout,
    claims: &[Claim],
    target_bits: u32,
    transcript: &mut Writer,
) -> Result<(), OpenError> {
    let opening = layout.opening(claims)?;
    if claims.is_empty() {
        return Ok(());
    }
    match &committed.content {
        Content::Clear(bytes) => transcript.write_message(bytes),
        Content::Packed(packed) => {
            let parameters = Parameters::new(layout.num_variables(), opening.points.len(), target_bits)?;
            let points: Vec<_> =
                opening.points.iter().map(|(block, local)| layout.packed_point(*block, local)).collect();
            let proof = reference::open(packed, &parameters, &points, transcript);
            transcript.write_message(&proof);
        }
    }
    Ok(())
}
