//! Reed-Solomon encoding of matrices by columns, and Merkle trees over their rows.

use crate::device::Opened;
use p3_commit::Mmcs as _;
use p3_dft::TwoAdicSubgroupDft;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use p3_matrix::dense::RowMajorMatrix;
use rayon::prelude::*;
use std::sync::LazyLock;
use verifier::commitment::{Dft, TreeScheme, tree_scheme};
use verifier::field::{F, K};
use verifier::transcript::Digest;

/// A codeword and the digests over its rows.
pub type Tree = <TreeScheme as p3_commit::Mmcs<F>>::ProverData<RowMajorMatrix<F>>;

/// Words of an extension element.
const WORDS: usize = <K as BasedVectorSpace<F>>::DIMENSION;

/// The transform; it keeps the roots of unity of the largest one so far.
pub(super) static DFT: LazyLock<Dft> = LazyLock::new(Dft::default);

/// Encodes rows of `2^log_width` elements.
pub fn encode_base(message: &[F], log_width: usize, log_inv_rate: usize) -> RowMajorMatrix<F> {
    let mut padded = F::zero_vec(message.len() << log_inv_rate);
    padded[..message.len()].copy_from_slice(message);
    DFT.dft_batch(RowMajorMatrix::new(padded, 1 << log_width))
}

/// Encodes rows of `2^log_width` extension elements, word by word: the transform is linear over the base field.
pub fn encode_extension(message: &[K], log_width: usize, log_inv_rate: usize) -> RowMajorMatrix<F> {
    let mut padded = F::zero_vec((message.len() * WORDS) << log_inv_rate);
    padded.par_chunks_mut(WORDS << 10).zip(message.par_chunks(1 << 10)).for_each(|(words, elements)| {
        for (words, element) in words.chunks_exact_mut(WORDS).zip(elements) {
            words.copy_from_slice(element.as_basis_coefficients_slice());
        }
    });
    DFT.dft_batch(RowMajorMatrix::new(padded, WORDS << log_width))
}

/// Hashes a codeword's rows.
pub fn hash_rows(codeword: RowMajorMatrix<F>) -> (Digest, Tree) {
    let (cap, tree) = tree_scheme().commit_matrix(codeword);
    (cap[0], tree)
}

/// Opens rows of a codeword.
pub fn open_rows(tree: &Tree, rows: &[usize]) -> Opened {
    let (matrices, proof) = tree_scheme().open_multi_batch(rows, tree);
    Opened { rows: matrices.into_iter().flatten().collect(), proof }
}
