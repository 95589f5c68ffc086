//! See `verifier::argument::logup`.

use super::fractions::{Rounds, Tree};
use kernels::Device;
use p3_field::PrimeCharacteristicRing;
use verifier::argument::logup::{Fraction, LeafClaim};
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// Proves that the leaves of all trees sum to zero.
pub(super) fn prove<D: Device>(device: &D, transcript: &mut Writer, trees: &[Tree<D>]) -> Vec<LeafClaim> {
    let mut claims: Vec<Fraction> = trees.iter().map(|tree| tree.root(device)).collect();
    claims.iter().for_each(|root| write(transcript, *root));
    let mut leaves: Vec<Option<LeafClaim>> = vec![None; trees.len()];
    let mut point: Vec<K> = Vec::new();
    for depth in 0.. {
        for (tree, leaf) in leaves.iter_mut().enumerate().filter(|(i, _)| trees[*i].variables() == depth) {
            *leaf = Some(LeafClaim { point: point.clone(), leaf: claims[tree] });
        }
        let active: Vec<usize> = (0..trees.len()).filter(|&i| trees[i].variables() > depth).collect();
        if active.is_empty() {
            break;
        }
        let c = transcript.challenge();
        let rounds = active.iter().map(|&i| Rounds::new(device, trees[i].layer(depth + 1), &point)).collect();
        let (reduced, children) = prove_layer(device, transcript, rounds, &point, c);
        for &(even, odd) in &children {
            write(transcript, even);
            write(transcript, odd);
        }
        let last = transcript.challenge();
        for (&tree, &(even, odd)) in active.iter().zip(&children) {
            claims[tree] = Fraction { p: even.p + last * (odd.p - even.p), q: even.q + last * (odd.q - even.q) };
        }
        point = reduced;
        point.push(last);
    }
    leaves.into_iter().flatten().collect()
}

fn write(transcript: &mut Writer, fraction: Fraction) {
    transcript.write_all(&[fraction.p, fraction.q]);
}

/// One layer of all trees that reach it. The summand's factor `eq` is linear in each variable, so the loops compute
/// only the other, quadratic factor (Gruen 2024/108, section 3).
fn prove_layer<D: Device>(
    device: &D,
    transcript: &mut Writer,
    mut trees: Vec<Rounds<D>>,
    point: &[K],
    c: K,
) -> (Vec<K>, Vec<(Fraction, Fraction)>) {
    let mut reduced = Vec::with_capacity(point.len());
    let mut bound = K::ONE;
    for &z in point.iter().rev() {
        let mut h = [K::ZERO; 3];
        let mut power = K::ONE;
        for tree in &trees {
            let part = tree.round(device, c);
            h.iter_mut().zip(part).for_each(|(h, p)| *h += power * p);
            power *= c.square();
        }
        let [at_zero, at_one, top] = h;
        let linear = at_one - at_zero - top;
        let g = |x: usize| {
            let x = K::from_usize(x);
            bound * (z * x + (K::ONE - z) * (K::ONE - x)) * (at_zero + x * (linear + x * top))
        };
        transcript.write_all(&[g(0), g(2), g(3)]);
        let r = transcript.challenge();
        bound *= z * r + (K::ONE - z) * (K::ONE - r);
        trees.iter_mut().for_each(|tree| tree.fold(device, r));
        reduced.push(r);
    }
    reduced.reverse();
    (reduced, trees.into_iter().map(|tree| tree.finish(device)).collect())
}
