//! See `verifier::argument::logup`.

use super::fractions::{EqPrefixes, Rounds, Tree};
use kernels::Device;
use p3_field::{Field, PrimeCharacteristicRing};
use std::collections::BTreeMap;
use std::rc::Rc;
use verifier::argument::logup::{Fraction, LeafClaim};
use verifier::field::{K, horner};
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
        let claim = horner(&active.iter().flat_map(|&i| [claims[i].p, claims[i].q]).collect::<Vec<_>>(), c);
        // Many lookups have one shape.
        let mut prefixes: BTreeMap<&[usize], Rc<EqPrefixes<D>>> = BTreeMap::new();
        let rounds = active.iter().map(|&i| {
            let below = trees[i].layer(depth + 1);
            let eq =
                prefixes.entry(&below.shape).or_insert_with(|| EqPrefixes::new(device, &below.shape, &point).into());
            Rounds::new(device, below, eq.clone(), c)
        });
        let rounds = rounds.collect();
        let (reduced, children) = prove_layer(device, transcript, rounds, &point, c, claim);
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
/// only the other, quadratic factor, and of that no value that follows from the claim (Gruen 2024/108, section 3).
fn prove_layer<D: Device>(
    device: &D,
    transcript: &mut Writer,
    mut trees: Vec<Rounds<D>>,
    point: &[K],
    c: K,
    mut claim: K,
) -> (Vec<K>, Vec<(Fraction, Fraction)>) {
    let mut reduced = Vec::with_capacity(point.len());
    let mut bound = K::ONE;
    for &z in point.iter().rev() {
        let mut h = [K::ZERO; 2];
        let mut power = K::ONE;
        for tree in &trees {
            let part = tree.round(device);
            h.iter_mut().zip(part).for_each(|(h, p)| *h += power * p);
            power *= c.square();
        }
        let [at_zero, top] = h;
        // The claim is (1 - z) h(0) + z h(1). A challenge z that is 0 would leave h(1) open; no prover meets one.
        let at_one = (claim - (K::ONE - z) * at_zero) * z.try_inverse().unwrap_or(K::ZERO);
        let linear = at_one - at_zero - top;
        let h = |x: K| at_zero + x * (linear + x * top);
        let eq = |x: K| z * x + (K::ONE - z) * (K::ONE - x);
        transcript.write_all(&[0, 2, 3].map(|x| bound * eq(K::from_usize(x)) * h(K::from_usize(x))));
        let r = transcript.challenge();
        bound *= eq(r);
        claim = h(r);
        trees.iter_mut().for_each(|tree| tree.fold(device, r));
        reduced.push(r);
    }
    reduced.reverse();
    (reduced, trees.into_iter().map(|tree| tree.finish(device)).collect())
}
