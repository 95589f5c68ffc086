//! The seam between the prover's steps and the machine that does them: vectors and trees stay on the machine, and only a few
//! field elements cross at each step. Results are exact, so every device gives the same proof bytes.
//!
//! An index of a vector of `2^n` elements is `n` bits; a point lists coordinates for them, the most significant first.

use crate::integers::IntegerDevice;
use crate::sumcheck::{Children, Fractions, Layer, Product, Reduced};
use std::fmt::Debug;
use std::ops::Range;
use verifier::commitment::Layout;
pub use verifier::commitment::MultiProof;
use verifier::field::{F, K};
use verifier::transcript::{Digest, Writer};

/// The indices `(first + i) * 2^log_stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strided {
    /// Where they begin, in strides.
    pub first: usize,
    /// Logarithm of the distance.
    pub log_stride: usize,
}

impl Strided {
    /// All indices from 0.
    pub const ALL: Self = Self { first: 0, log_stride: 0 };

    /// The range of `count` of them, each with what lies before the next.
    pub fn range(self, count: usize) -> Range<usize> {
        self.first << self.log_stride..(self.first + count) << self.log_stride
    }
}

/// Leaves of a tree and what ties them to its root.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The leaves asked for, in that order.
    pub rows: Vec<Vec<F>>,
    /// Their joint Merkle proof.
    pub proof: MultiProof,
}

/// `constant + sum factor * column`, elementwise over `len` elements.
#[derive(Clone, Debug)]
pub struct Affine<'a, I> {
    /// Number of elements.
    pub len: usize,
    /// Added everywhere.
    pub constant: K,
    /// Factors, and columns of `len` integers.
    pub terms: Vec<(K, &'a I)>,
}

/// A machine for the hot loops. One that fails, for want of memory say, unwinds to the [`attempt`](crate::attempt) around its work.
pub trait Device: IntegerDevice {
    /// A vector of base field elements.
    type Base: Clone + Debug + Send + Sync;
    /// A vector of extension field elements.
    type Extension: Debug + Send + Sync;
    /// A codeword and the Merkle tree over its rows.
    type Tree: Debug + Send + Sync;

    /// Moves a vector to the device.
    fn upload(&self, values: Vec<F>) -> Self::Base;

    /// The tensors' cells as the layout packs them, `2^num_variables` in all.
    fn pack(&self, layout: &Layout, tensors: &[&Self::Integers]) -> Self::Base;

    /// Moves a vector to the device.
    fn upload_extension(&self, values: Vec<K>) -> Self::Extension;

    /// A vector of zeros.
    fn zeros(&self, len: usize) -> Self::Extension;

    /// Copies a vector from the device.
    fn download(&self, values: &Self::Extension) -> Vec<K>;

    /// Copies vectors from the device, in one round trip where that is what costs.
    fn download_all(&self, vectors: &[&Self::Extension]) -> Vec<Vec<K>> {
        vectors.iter().map(|values| self.download(values)).collect()
    }

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

    /// `out[j] = sum_i eq(point, i) * values[rows(i) * 2^log_width + j]`.
    fn bind_rows(&self, values: &Self::Base, rows: Strided, point: &[K], log_width: usize) -> Self::Extension;

    /// `out[i] = sum_j weights[j] * values[i * weights.len() + j]`.
    fn bind_columns(&self, values: &Self::Base, weights: &[K]) -> Self::Extension;

    /// `sum_i eq(point, i) * values[i]`.
    fn evaluate(&self, values: &Self::Extension, point: &[K]) -> K;

    /// `out[places(i)] += scale * eq(point, i)`.
    fn add_eq(&self, out: &mut Self::Extension, places: Strided, point: &[K], scale: K);

    /// `out[places(i)] += values[i]`.
    fn add_at(&self, out: &mut Self::Extension, places: Strided, values: &Self::Extension);

    /// `out[i, j] += rows[i] * columns[j]`.
    fn add_outer(&self, out: &mut Self::Extension, rows: &[K], columns: &[K]);

    /// `out[i] += sum_j scales[j] * g^(exponents[j] * i)`, `g` the generator of the subgroup of order `2^log_order >= out.len()`.
    fn add_powers(&self, out: &mut Self::Extension, log_order: usize, exponents: &[usize], scales: &[K]);

    /// With `h(X) = sum_i a(i, X) * b(i, X)`, `X` in the place of the least significant bit: `h(0)` and the coefficient of `X^2`.
    fn round(&self, a: &Self::Extension, b: &Self::Extension) -> [K; 2];

    /// Sets the least significant bit to `x` in both vectors, which halves them.
    fn fold(&self, a: &mut Self::Extension, b: &mut Self::Extension, x: K);

    /// [`Self::fold`], then [`Self::round`] of what is left: one pass over memory where that is what costs. There are at least four elements.
    fn fold_round(&self, a: &mut Self::Extension, b: &mut Self::Extension, x: K) -> [K; 2] {
        self.fold(a, b, x);
        self.round(a, b)
    }

    /// The integers as field elements.
    fn lift(&self, values: &Self::Integers) -> Self::Extension;

    /// `out[o, i] = sum_j weights[j] * values[o, j, i]`, `j` along `axis` of the shape.
    fn contract_ints(&self, values: &Self::Integers, shape: &[usize], axis: usize, weights: &[K]) -> Self::Extension;

    /// The same for field elements.
    fn contract(&self, values: &Self::Extension, shape: &[usize], axis: usize, weights: &[K]) -> Self::Extension;

    /// Reorders axes: axis `i` of the result is axis `order[i]` of the tensor.
    fn permute(&self, values: Self::Extension, shape: &[usize], order: &[usize]) -> Self::Extension;

    /// The slices, end to end.
    fn affine(&self, slices: &[Affine<Self::Integers>]) -> Self::Extension;

    /// The sum itself.
    fn product_total(&self, product: &Product<Self::Integers, Self::Extension>) -> K;

    /// Proves the sum: every round's values at 0, 2, 3, .., `degree`.
    fn product_sumcheck(
        &self,
        product: Product<Self::Integers, Self::Extension>,
        degree: usize,
        transcript: &mut Writer,
    ) -> Reduced;

    /// Adds neighbours along the last axis longer than 1; an odd end stays alone.
    fn add_fractions(&self, below: &Fractions<Self::Extension>) -> Fractions<Self::Extension>;

    /// Proves a layer's claim: every round's values at 0, 2, 3.
    fn fraction_sumcheck(&self, layer: Layer<Self::Extension>, transcript: &mut Writer) -> Children;
}
