//! What a sumcheck is over, and what it leaves. A device plays all rounds with the transcript, for it is the one to know what a round
//! trip to the host costs: see `verifier::argument::{sumcheck, logup}` for the relations, `cpu::{product, fractions}` for the rounds.
//!
//! Variables are bound from the last axis's least significant bit on. Axes are as long as they are: past an odd end is zero.

use verifier::argument::logup::Fraction;
use verifier::field::K;

/// A tensor's values, row-major.
#[derive(Clone, Copy, Debug)]
pub enum Cells<'a, I, E> {
    /// As integers, which the first round reads as they are.
    Integers(&'a I),
    /// As field elements.
    Elements(E),
}

/// A factor of a product: a tensor over some of the product's joint axes, in their order.
#[derive(Clone, Debug)]
pub struct Factor<'a, I, E> {
    /// Joint axes, ascending.
    pub axes: Vec<usize>,
    /// Values.
    pub cells: Cells<'a, I, E>,
}

/// `scale * sum_x prod_f factor_f[x restricted to its axes]` over joint axes of lengths `dims`; each is an axis of some factor.
#[derive(Clone, Debug)]
pub struct Product<'a, I, E> {
    /// Lengths of the joint axes.
    pub dims: Vec<usize>,
    /// At least one.
    pub factors: Vec<Factor<'a, I, E>>,
    /// Of the whole.
    pub scale: K,
}

/// What is left of a product: the challenges in the variables' order, and the factors' values there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduced {
    /// One coordinate for each variable.
    pub point: Vec<K>,
    /// A value for each factor.
    pub values: Vec<K>,
}

/// Fractions `p / (1 + q)` in a tensor's shape.
#[derive(Clone, Debug)]
pub struct Fractions<E> {
    /// The shape.
    pub shape: Vec<usize>,
    /// Numerators.
    pub p: E,
    /// Denominators less one.
    pub q: E,
}

/// One layer of several trees: of the sums of neighbours in `below`, `claim = sum over trees t of c^(2t) (p_t + c q_t)` at `point`.
#[derive(Clone, Debug)]
pub struct Layer<'a, E> {
    /// The fractions that are added, tree by tree; the sums' padded shapes have as many variables as the point.
    pub below: Vec<&'a Fractions<E>>,
    /// Where the claim is.
    pub point: &'a [K],
    /// The factor between what is claimed.
    pub c: K,
    /// Claimed.
    pub claim: K,
}

/// What is left of a layer: the challenges in the variables' order, and each tree's even and odd fraction there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Children {
    /// One coordinate for each variable.
    pub point: Vec<K>,
    /// Even and odd.
    pub pairs: Vec<[Fraction; 2]>,
}

/// The axis whose last bit is bound next: the last that is longer than 1.
pub fn next_axis(dims: &[usize]) -> Option<usize> {
    dims.iter().rposition(|&d| d > 1)
}

/// Length of the rows whose neighbours the next variable tells apart.
pub fn row_length(shape: &[usize]) -> usize {
    next_axis(shape).map_or(1, |axis| shape[axis])
}

/// The shape with that axis halved, rounded up.
pub fn halve(shape: &[usize]) -> Vec<usize> {
    let mut above = shape.to_vec();
    if let Some(axis) = next_axis(shape) {
        above[axis] = above[axis].div_ceil(2);
    }
    above
}
