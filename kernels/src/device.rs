//! The seam between the prover's steps and the machine that does them: vectors and trees stay on the machine, and only a few
//! field elements cross at each step. Results are exact, so every device gives the same proof bytes.
//!
//! An index of a vector of `2^n` elements is `n` bits; a point lists coordinates for them, the most significant first.

use std::fmt::Debug;
use verifier::commitment::Mmcs;
use verifier::field::{F, K};
use verifier::transcript::Digest;

/// Sibling digests that authenticate several leaves at once.
pub type MultiProof = <Mmcs as p3_commit::Mmcs<F>>::MultiProof;

/// Leaves of a tree and what ties them to its root.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The leaves asked for, in that order.
    pub rows: Vec<Vec<F>>,
    /// Their joint Merkle proof.
    pub proof: MultiProof,
}

/// A machine for the hot loops.
pub trait Device: Sync {
    /// A vector of base field elements.
    type Base: Clone + Debug + Send + Sync;
    /// A vector of extension field elements.
    type Extension;
    /// A codeword and the Merkle tree over its rows.
    type Tree: Debug + Send + Sync;

    /// Moves a vector to the device.
    fn upload(&self, values: Vec<F>) -> Self::Base;

    /// Moves a vector to the device.
    fn upload_extension(&self, values: Vec<K>) -> Self::Extension;

    /// A vector of zeros.
    fn zeros(&self, len: usize) -> Self::Extension;

    /// Copies a vector from the device.
    fn download(&self, values: &Self::Extension) -> Vec<K>;

    /// Reads `message` as rows of `2^log_width` elements, each column as the coefficients of a polynomial, evaluates the columns on the
    /// subgroup `2^log_inv_rate` times as large as the number of rows, and hashes the rows of values into a Merkle tree.
    fn commit_base(&self, message: &Self::Base, log_width: usize, log_inv_rate: usize) -> (Digest, Self::Tree);

    /// The same for extension elements, whose three words lie side by side in a row.
    fn commit_extension(
        &self,
        message: &Self::Extension,
        log_width: usize,
        log_inv_rate: usize,
    ) -> (Digest, Self::Tree);

    /// Opens leaves of a tree.
    fn open(&self, tree: &Self::Tree, leaves: &[usize]) -> Opened;

    /// `out[j] = sum_i eq(point, i) * values[(first + i) * 2^log_width + j]`.
    fn bind_rows(&self, values: &Self::Base, first: usize, point: &[K], log_width: usize) -> Vec<K>;

    /// `out[i] = sum_j weights[j] * values[i * weights.len() + j]`.
    fn bind_columns(&self, values: &Self::Base, weights: &[K]) -> Self::Extension;

    /// `sum_i eq(point, i) * values[i]`.
    fn evaluate(&self, values: &Self::Extension, point: &[K]) -> K;

    /// `out[first + i] += scale * eq(point, i)`.
    fn add_eq(&self, out: &mut Self::Extension, first: usize, point: &[K], scale: K);

    /// `out[i] += sum_j scales[j] * g^(exponents[j] * i)`, `g` the generator of the subgroup of order `2^log_order >= out.len()`.
    fn add_powers(&self, out: &mut Self::Extension, log_order: usize, exponents: &[usize], scales: &[K]);

    /// With `h(X) = sum_i a(i, X) * b(i, X)`, `X` in the place of the least significant bit: `h(0)` and the coefficient of `X^2`.
    fn round(&self, a: &Self::Extension, b: &Self::Extension) -> [K; 2];

    /// Sets the least significant bit to `x` in both vectors, which halves them.
    fn fold(&self, a: &mut Self::Extension, b: &mut Self::Extension, x: K);
}
