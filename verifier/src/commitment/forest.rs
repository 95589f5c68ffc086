//! Several Merkle trees read as one: row `place` is leaf `place mod leaves_i` of every tree, side by side.
//!
//! A commitment of one root is a tree as ever (that is every round but the first). Each tree's leaves are checked against its own root, with widths
//! and heights that [`Joint`] fixes; an error in one is an error in all.

use super::Joint;
use super::scheme::{Commitment, TreeScheme};
use super::tree::TreeError;
use crate::field::F;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use p3_commit::{BatchOpening, BatchOpeningRef, Mmcs};
use p3_matrix::dense::RowMajorMatrix;
use p3_matrix::{Dimensions, Matrix};
use p3_symmetric::MerkleCap;

type TreeData<M> = <TreeScheme as Mmcs<F>>::ProverData<M>;
type PathError = <TreeScheme as Mmcs<F>>::Error;

/// Trees over the codewords of the polynomials of a [`Joint`].
#[derive(Clone, Debug)]
pub struct Forest {
    tree: TreeScheme,
    /// Per tree, the logarithm of its leaves.
    log_leaves: Vec<usize>,
    /// Elements of a row of all trees.
    width: usize,
}

/// Why rows are not those under the roots.
#[derive(Debug)]
pub enum ForestError {
    /// A tree rejects a leaf.
    Tree(PathError),
    /// A tree rejects several leaves.
    Leaves(TreeError),
    /// Another number of roots, proofs or elements than there are trees.
    Shape,
}

/// What the prover keeps.
#[derive(Debug)]
pub enum ForestData<M> {
    /// One tree over the matrix.
    Tree(TreeData<M>),
    /// The interleaved codeword, and a tree over each polynomial's.
    Trees(Vec<M>, Vec<TreeData<RowMajorMatrix<F>>>),
}

impl Forest {
    /// The trees of the joint polynomial's parts.
    pub fn new(tree: TreeScheme, joint: &Joint) -> Self {
        let log_leaves = joint.parts().iter().map(|part| part.log_leaves).collect();
        Self { tree, log_leaves, width: 1 << joint.code().log_width }
    }

    /// Of each tree: its elements' places in a row, and its leaves.
    fn places(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        let columns = self.width / self.log_leaves.len();
        let place = move |(i, &log_leaves): (usize, &usize)| (i * columns..(i + 1) * columns, 1 << log_leaves);
        self.log_leaves.iter().enumerate().map(place)
    }

    /// What each root is to be checked against.
    fn trees<'a, P>(
        &self,
        commit: &Commitment,
        dimensions: &[Dimensions],
        proofs: &'a [P],
    ) -> Result<Vec<(Tree, &'a P)>, ForestError> {
        let &[whole] = dimensions else { return Err(ForestError::Shape) };
        let joint = whole.width == self.width && proofs.len() == self.log_leaves.len();
        if commit.num_roots() != proofs.len() || (proofs.len() != 1 && !joint) {
            return Err(ForestError::Shape);
        }
        if let [proof] = proofs {
            return Ok(vec![(Tree { root: commit.clone(), columns: 0..whole.width, dimensions: whole }, proof)]);
        }
        let mut trees = Vec::with_capacity(proofs.len());
        for ((&root, proof), (columns, height)) in commit.roots().iter().zip(proofs).zip(self.places()) {
            let dimensions = Dimensions { width: columns.len(), height };
            trees.push((Tree { root: MerkleCap::new(vec![root]), columns, dimensions }, proof));
        }
        Ok(trees)
    }
}

/// One tree of a commitment.
struct Tree {
    root: Commitment,
    /// Its elements' places in a row.
    columns: Range<usize>,
    dimensions: Dimensions,
}

impl Tree {
    /// Its part of the row of the one matrix.
    fn part<'a, R: AsRef<[F]>>(&self, row: &'a [R]) -> Result<&'a [F], ForestError> {
        match row {
            [row] => row.as_ref().get(self.columns.clone()).ok_or(ForestError::Shape),
            _ => Err(ForestError::Shape),
        }
    }
}

impl Mmcs<F> for Forest {
    type ProverData<M> = ForestData<M>;
    type Commitment = Commitment;
    type Proof = Vec<<TreeScheme as Mmcs<F>>::Proof>;
    type MultiProof = Vec<<TreeScheme as Mmcs<F>>::MultiProof>;
    type Error = ForestError;

    fn commit<M: Matrix<F>>(&self, mut inputs: Vec<M>) -> (Commitment, ForestData<M>) {
        let interleaved = self.log_leaves.len() > 1 && inputs.iter().all(|matrix| matrix.width() == self.width);
        let Some(matrix) = inputs.pop_if(|_| interleaved) else {
            let (root, data) = self.tree.commit(inputs);
            return (root, ForestData::Tree(data));
        };
        let split = self.places().map(|(columns, leaves)| {
            let row = |r| matrix.row_slice(r).map_or_else(Vec::new, |row| row[columns.clone()].to_vec());
            self.tree.commit_matrix(RowMajorMatrix::new((0..leaves).flat_map(row).collect(), columns.len()))
        });
        let (roots, data): (Vec<Commitment>, _) = split.unzip();
        let roots: Vec<_> = roots.iter().flat_map(|root| root.roots().iter().copied()).collect();
        (MerkleCap::new(roots), ForestData::Trees(vec![matrix], data))
    }

    fn open_batch<M: Matrix<F>>(&self, index: usize, data: &ForestData<M>) -> BatchOpening<F, Self> {
        match data {
            ForestData::Tree(data) => {
                let (rows, proof) = self.tree.open_batch(index, data).unpack();
                BatchOpening::new(rows, vec![proof])
            }
            ForestData::Trees(_, trees) => {
                let open = |(tree, (_, leaves))| self.tree.open_batch(index % leaves, tree).unpack();
                let (rows, proofs): (Vec<Vec<Vec<F>>>, _) = trees.iter().zip(self.places()).map(open).unzip();
                BatchOpening::new(vec![rows.into_iter().flatten().flatten().collect()], proofs)
            }
        }
    }

    fn get_matrices<'a, M: Matrix<F>>(&self, data: &'a ForestData<M>) -> Vec<&'a M> {
        match data {
            ForestData::Tree(data) => self.tree.get_matrices(data),
            ForestData::Trees(matrices, _) => matrices.iter().collect(),
        }
    }

    fn verify_batch(
        &self,
        commit: &Commitment,
        dimensions: &[Dimensions],
        index: usize,
        opening: BatchOpeningRef<'_, F, Self>,
    ) -> Result<(), ForestError> {
        for (tree, proof) in self.trees(commit, dimensions, opening.opening_proof)? {
            let row = vec![tree.part(opening.opened_values)?.to_vec()];
            let opening = BatchOpeningRef::new(&row, proof);
            self.tree
                .verify_batch(&tree.root, &[tree.dimensions], index % tree.dimensions.height, opening)
                .map_err(ForestError::Tree)?;
        }
        Ok(())
    }

    fn open_multi_batch<M: Matrix<F>>(
        &self,
        indices: &[usize],
        data: &ForestData<M>,
    ) -> (Vec<Vec<Vec<F>>>, Self::MultiProof) {
        match data {
            ForestData::Tree(data) => {
                let (rows, proof) = self.tree.open_multi_batch(indices, data);
                (rows, vec![proof])
            }
            ForestData::Trees(_, trees) => {
                let mut rows = vec![vec![Vec::with_capacity(self.width)]; indices.len()];
                let mut proofs = Vec::with_capacity(trees.len());
                for (tree, (_, leaves)) in trees.iter().zip(self.places()) {
                    let indices: Vec<_> = indices.iter().map(|index| index % leaves).collect();
                    let (shown, proof) = self.tree.open_multi_batch(&indices, tree);
                    rows.iter_mut().zip(shown).for_each(|(row, shown)| row[0].extend(shown.into_iter().flatten()));
                    proofs.push(proof);
                }
                (rows, proofs)
            }
        }
    }

    fn verify_multi_batch<R: AsRef<[F]> + PartialEq>(
        &self,
        commit: &Commitment,
        dimensions: &[Dimensions],
        indices: &[usize],
        rows: &[Vec<R>],
        proof: &Self::MultiProof,
    ) -> Result<(), ForestError> {
        for (tree, proof) in self.trees(commit, dimensions, proof)? {
            let Dimensions { width, height } = tree.dimensions;
            let (&[root], true) = (tree.root.roots(), height.is_power_of_two()) else {
                return Err(ForestError::Shape);
            };
            let indices: Vec<_> = indices.iter().map(|index| index % height).collect();
            let rows: Vec<_> = rows.iter().map(|row| tree.part(row)).collect::<Result<_, ForestError>>()?;
            let size = (height.ilog2() as usize, width);
            super::tree::verify(&root, size, &indices, &rows, &proof.sibling_hashes).map_err(ForestError::Leaves)?;
        }
        Ok(())
    }
}
