//! Section 6, fractional sums: the leaves `p / (1 + q)` of all trees add up to zero.

use crate::claims::powers;
use crate::error::{Error, require};
use crate::extension::eq;
use crate::field::K;
use crate::sumcheck;
use crate::transcript::Transcript;

/// `p / (1 + q)`.
#[derive(Clone, Copy, Debug)]
pub struct Fraction {
    /// Numerator.
    pub p: K,
    /// Denominator less 1.
    pub q: K,
}

impl Fraction {
    const ZERO: Self = Self { p: K::ZERO, q: K::ZERO };

    fn read(transcript: &mut Transcript) -> Result<Self, Error> {
        Ok(Self { p: transcript.read()?, q: transcript.read()? })
    }

    fn add(self, other: Self) -> Self {
        let denominator = (K::ONE + self.q) * (K::ONE + other.q);
        Self { p: self.p * (K::ONE + other.q) + other.p * (K::ONE + self.q), q: denominator - K::ONE }
    }

    /// The line through both, at `x`.
    fn between(self, other: Self, x: K) -> Self {
        let line = |a: K, b: K| (K::ONE - x) * a + x * b;
        Self { p: line(self.p, other.p), q: line(self.q, other.q) }
    }
}

/// Claims on the leaves of a tree: their extensions at a point.
#[derive(Clone, Debug)]
pub struct Leaves {
    /// A coordinate for each variable of the tree.
    pub point: Vec<K>,
    /// The claimed extensions.
    pub value: Fraction,
}

/// Verifies the sum; `variables` lists the number of variables of each tree.
pub fn verify(transcript: &mut Transcript, variables: &[usize]) -> Result<Vec<Leaves>, Error> {
    let place = || "lookups".to_string();
    let mut nodes = Vec::new();
    for _ in variables {
        nodes.push(Fraction::read(transcript)?);
    }
    let total = nodes.iter().fold(Fraction::ZERO, |sum, &root| sum.add(root));
    require(total.q != -K::ONE, place, "no denominator is zero")?;
    require(total.p == K::ZERO, place, "the sum of all fractions")?;

    let mut point: Vec<K> = Vec::new();
    let mut leaves: Vec<Option<Leaves>> = vec![None; variables.len()];
    for depth in 0..=variables.iter().copied().max().unwrap_or(0) {
        for ((leaves, &value), _) in leaves.iter_mut().zip(&nodes).zip(variables).filter(|(_, n)| **n == depth) {
            *leaves = Some(Leaves { point: point.clone(), value });
        }
        let parents: Vec<Fraction> =
            nodes.iter().zip(variables).filter(|(_, n)| **n > depth).map(|(&node, _)| node).collect();
        if parents.is_empty() {
            break;
        }
        let c = transcript.challenge();
        transcript.charge("fractional sums", 2 * parents.len() + 1);
        let end = sumcheck::verify(transcript, combine(&parents, c), depth, 3)?;
        let mut halves = Vec::new();
        for _ in &parents {
            halves.push((Fraction::read(transcript)?, Fraction::read(transcript)?));
        }
        let sums: Vec<Fraction> = halves.iter().map(|&(even, odd)| even.add(odd)).collect();
        require(end.value == eq(&point, &end.point) * combine(&sums, c), place, "a layer of the sum")?;
        let last = transcript.challenge();
        let deeper = nodes.iter_mut().zip(variables).filter(|(_, n)| **n > depth);
        for ((node, _), (even, odd)) in deeper.zip(halves) {
            *node = even.between(odd, last);
        }
        point = end.point;
        point.push(last);
    }
    Ok(leaves.into_iter().flatten().collect())
}

/// `sum_i c^(2i) p_i + c^(2i+1) q_i`.
fn combine(fractions: &[Fraction], c: K) -> K {
    powers(fractions.iter().flat_map(|f| [f.p, f.q]), c)
}
