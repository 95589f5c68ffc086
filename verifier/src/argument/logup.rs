//! The fractional sum: `sum over all leaves of p / (1 + q) = 0`, for several trees side by side.
//!
//! A tree adds the fractions of a tensor of leaves, zero-padded (`p = q = 0` is the fraction 0/1): in every layer
//! `p = p0 (1 + q1) + p1 (1 + q0)` and `q = q0 + q1 + q0 q1`, over the last variable of the layer below. One sumcheck
//! per layer serves all trees that reach it. (Papini and Haböck 2023/1284, with the GKR of fractional sums, section 3.)

use super::{Rejection, require, sumcheck};
use crate::field::{K, horner};
use crate::multilinear::eq;
use crate::transcript::{Reader, Transcript};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Add;
use p3_field::PrimeCharacteristicRing;

/// Degree of the summand in each variable.
pub const DEGREE: usize = 3;

/// A fraction `p / (1 + q)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fraction {
    /// Numerator.
    pub p: K,
    /// Denominator less one.
    pub q: K,
}

impl Add for Fraction {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { p: self.p * (K::ONE + other.q) + other.p * (K::ONE + self.q), q: self.q + other.q + self.q * other.q }
    }
}

/// What is left to check of a tree: the extensions of its leaves at a point.
#[derive(Clone, Debug)]
pub struct LeafClaim {
    /// One coordinate for each variable of the tree.
    pub point: Vec<K>,
    /// The claimed numerator and denominator.
    pub leaf: Fraction,
}

/// Verifies that the leaves of all trees sum to zero; `variables` lists the number of variables of each.
///
/// # Errors
/// If the prover's messages are malformed, a denominator vanishes or an equation does not hold.
pub fn verify(transcript: &mut Reader, variables: &[usize]) -> Result<Vec<LeafClaim>, Rejection> {
    let place = || "the lookup argument".to_string();
    let read = |transcript: &mut Reader| -> Result<Fraction, Rejection> {
        Ok(Fraction { p: transcript.read()?, q: transcript.read()? })
    };
    let mut claims = Vec::with_capacity(variables.len());
    let mut total = Fraction::default();
    for _ in variables {
        let root = read(transcript)?;
        total = total + root;
        claims.push(root);
    }
    require(total.q != -K::ONE, place, "every denominator is non-zero")?;
    require(total.p == K::ZERO, place, "the sum of all lookups")?;

    let mut leaves: Vec<Option<LeafClaim>> = alloc::vec![None; variables.len()];
    let mut point: Vec<K> = Vec::new();
    for depth in 0.. {
        for tree in (0..variables.len()).filter(|&i| variables[i] == depth) {
            leaves[tree] = Some(LeafClaim { point: point.clone(), leaf: claims[tree] });
        }
        let active: Vec<usize> = (0..variables.len()).filter(|&i| variables[i] > depth).collect();
        if active.is_empty() {
            break;
        }
        let c = transcript.challenge();
        transcript.charge("fractional sums", 2 * active.len() as u64 + 1);
        let claim = combine(active.iter().map(|&i| claims[i]), c);
        let reduced = sumcheck::verify(transcript, claim, depth, DEGREE)?;
        let mut halves = Vec::with_capacity(active.len());
        for _ in &active {
            halves.push((read(transcript)?, read(transcript)?));
        }
        let sum = combine(halves.iter().map(|&(even, odd)| even + odd), c);
        require(reduced.value == eq(&point, &reduced.point) * sum, place, "a layer of the sum")?;
        let last = transcript.challenge();
        for (&tree, &(even, odd)) in active.iter().zip(&halves) {
            claims[tree] = Fraction { p: even.p + last * (odd.p - even.p), q: even.q + last * (odd.q - even.q) };
        }
        point = reduced.point;
        point.push(last);
    }
    Ok(leaves.into_iter().flatten().collect())
}

/// `sum_i c^(2i) p_i + c^(2i+1) q_i`.
pub fn combine(fractions: impl Iterator<Item = Fraction>, c: K) -> K {
    let coefficients: Vec<K> = fractions.flat_map(|f| [f.p, f.q]).collect();
    horner(&coefficients, c)
}
