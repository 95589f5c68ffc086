//! Several leaves of one Merkle tree against its root: a leaf is the BLAKE3 of its row's words, a node that of its children.
//!
//! The same verdict as `MerkleTreeMmcs::verify_multi_batch` of one matrix, whose siblings come level by level from the leaves, from left to
//! right; but the hashes of a level are computed side by side.

use crate::field::F;
use crate::transcript::Digest;
use alloc::vec;
use alloc::vec::Vec;
use p3_blake3::Blake3;
use p3_field::PrimeField64;
use p3_symmetric::CryptographicHasher;
use thiserror::Error;

/// Why rows are not leaves of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TreeError {
    /// A row for each query, of the tree's width, at a leaf that exists.
    #[error("rows that are not the tree's")]
    Rows,
    /// One leaf has two values.
    #[error("leaf {0} is shown with two values")]
    Contradiction(usize),
    /// More or fewer siblings than the queries need.
    #[error("the tree's siblings are not as many as the queries need")]
    Siblings,
    /// Another root.
    #[error("the rows do not hash to the root")]
    Root,
}

/// Hashed at once: enough for every lane of a vector unit, and few enough for the nearest cache.
const SIDE_BY_SIDE: usize = 16;
const WORD: usize = 8;
const DIGEST: usize = size_of::<Digest>();

/// Checks that leaf `indices[i]` of the tree of `2^log_leaves` rows of so many words is `rows[i]`.
///
/// # Errors
/// If the rows contradict each other or the root, or the siblings are not those that the indices need.
pub fn verify<R: AsRef<[F]>>(
    root: &Digest,
    (log_leaves, width): (usize, usize),
    indices: &[usize],
    rows: &[R],
    siblings: &[Digest],
) -> Result<(), TreeError> {
    let fits = |(&index, row): (&usize, &R)| index >> log_leaves == 0 && row.as_ref().len() == width;
    if indices.len() != rows.len() || !indices.iter().zip(rows).all(fits) {
        return Err(TreeError::Rows);
    }
    let mut leaves: Vec<(usize, &[F])> = indices.iter().copied().zip(rows.iter().map(AsRef::as_ref)).collect();
    leaves.sort_by_key(|&(index, _)| index);
    let differ = |pair: &[(usize, &[F])]| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1;
    if let Some(pair) = leaves.windows(2).find(|pair| differ(pair)) {
        return Err(TreeError::Contradiction(pair[0].0));
    }
    leaves.dedup_by_key(|(index, _)| *index);

    let mut digests = hash_rows(&leaves, width);
    let mut indices: Vec<usize> = leaves.iter().map(|&(index, _)| index).collect();
    let mut siblings = siblings.iter();
    for _ in 0..log_leaves {
        (indices, digests) = parents(&indices, &digests, &mut siblings).ok_or(TreeError::Siblings)?;
    }
    if siblings.next().is_some() {
        return Err(TreeError::Siblings);
    }
    if digests.iter().all(|digest| digest == root) { Ok(()) } else { Err(TreeError::Root) }
}

fn hash_rows(leaves: &[(usize, &[F])], width: usize) -> Vec<Digest> {
    let mut digests = vec![[0; DIGEST]; leaves.len()];
    let mut bytes = vec![0; SIDE_BY_SIDE * width * WORD];
    for (leaves, digests) in leaves.chunks(SIDE_BY_SIDE).zip(digests.chunks_mut(SIDE_BY_SIDE)) {
        let bytes = &mut bytes[..leaves.len() * width * WORD];
        let words = leaves.iter().flat_map(|(_, row)| row.iter());
        for (bytes, word) in bytes.chunks_exact_mut(WORD).zip(words) {
            bytes.copy_from_slice(&word.as_canonical_u64().to_le_bytes());
        }
        Blake3.hash_many(bytes, digests);
    }
    digests
}

/// The level above nodes in ascending order; `None` if siblings are missing.
fn parents<'a>(
    indices: &[usize],
    digests: &[Digest],
    siblings: &mut impl Iterator<Item = &'a Digest>,
) -> Option<(Vec<usize>, Vec<Digest>)> {
    let mut above = Vec::with_capacity(indices.len());
    let mut pairs: Vec<[Digest; 2]> = Vec::with_capacity(indices.len());
    let mut nodes = indices.iter().zip(digests).peekable();
    while let Some((&index, &digest)) = nodes.next() {
        let both = nodes.next_if(|(next, _)| index ^ 1 == **next);
        let other = both.map_or_else(|| siblings.next(), |(_, right)| Some(right)).copied()?;
        pairs.push(if index & 1 == 0 { [digest, other] } else { [other, digest] });
        above.push(index >> 1);
    }
    let mut hashed = vec![[0; DIGEST]; pairs.len()];
    Blake3.hash_many(pairs.as_flattened().as_flattened(), &mut hashed);
    Some((above, hashed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commitment::tree_scheme;
    use p3_commit::Mmcs;
    use p3_field::PrimeCharacteristicRing;
    use p3_matrix::dense::RowMajorMatrix;

    /// A change of rows and siblings.
    type Change = dyn Fn(&mut Vec<Vec<F>>, &mut Vec<Digest>);

    const WIDTH: usize = 6;

    /// The verdict on some change of honest rows and siblings, the same as that of `p3`.
    fn verdict(
        log_leaves: usize,
        indices: &[usize],
        change: impl Fn(&mut Vec<Vec<F>>, &mut Vec<Digest>),
    ) -> Result<(), TreeError> {
        let (scheme, height) = (tree_scheme(), 1 << log_leaves);
        let cells = (0..height * WIDTH).map(|i| F::from_usize(i * i + 7)).collect();
        let (root, data) = scheme.commit_matrix(RowMajorMatrix::new(cells, WIDTH));
        let (rows, mut proof) = scheme.open_multi_batch(indices, &data);
        let mut rows: Vec<Vec<F>> = rows.into_iter().flatten().collect();
        change(&mut rows, &mut proof.sibling_hashes);
        let ours = verify(&root[0], (log_leaves, WIDTH), indices, &rows, &proof.sibling_hashes);
        let rows: Vec<_> = rows.into_iter().map(|row| vec![row]).collect();
        let dimensions = [p3_matrix::Dimensions { width: WIDTH, height }];
        let theirs = scheme.verify_multi_batch(&root, &dimensions, indices, &rows, &proof);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{indices:?}: {ours:?}, {theirs:?}");
        ours
    }

    #[test]
    fn verdicts_are_those_of_p3() {
        let spread: Vec<usize> = (0..40).map(|i| i * i * 5 % 128).collect();
        let cases: [(usize, &[usize]); 5] = [(0, &[0]), (1, &[1]), (3, &[6, 1, 6, 7]), (5, &[31]), (7, &spread)];
        for (log_leaves, indices) in cases {
            let with = |change: &Change| verdict(log_leaves, indices, change);
            assert_eq!(with(&|_, _| ()), Ok(()));
            assert!(with(&|rows, _| rows[0][WIDTH - 1] += F::ONE).is_err());
            assert_eq!(with(&|rows, _| rows.truncate(rows.len() - 1)), Err(TreeError::Rows));
            assert_eq!(with(&|rows, _| rows[0].truncate(WIDTH - 1)), Err(TreeError::Rows));
            assert_eq!(with(&|_, siblings| siblings.push([0; 32])), Err(TreeError::Siblings));
            if log_leaves > 0 {
                assert_eq!(with(&|_, siblings| siblings.truncate(siblings.len() - 1)), Err(TreeError::Siblings));
                assert_eq!(with(&|_, siblings| siblings[0][0] ^= 1), Err(TreeError::Root));
                assert_eq!(with(&|_, siblings| siblings.last_mut().unwrap()[31] ^= 1), Err(TreeError::Root));
            }
        }
        // Of two rows for one leaf, each matters.
        let indices = [6, 1, 6, 7];
        assert_eq!(verdict(3, &indices, |rows, _| rows[0][0] += F::ONE), Err(TreeError::Contradiction(6)));
        assert_eq!(verdict(3, &indices, |rows, _| rows[2][0] += F::ONE), Err(TreeError::Contradiction(6)));
    }

    #[test]
    fn a_leaf_beyond_the_tree_is_refused() {
        let row = [F::ONE; WIDTH];
        assert_eq!(verify(&[0; 32], (2, WIDTH), &[4], &[row], &[]), Err(TreeError::Rows));
    }
}
