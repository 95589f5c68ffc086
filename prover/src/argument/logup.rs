//! See `verifier::argument::logup`.

use super::fractions::Tree;
use kernels::{Device, Layer};
use verifier::argument::logup::{Fraction, LeafClaim};
use verifier::field::{K, horner};
use verifier::transcript::{Transcript, Writer};

/// Proves that the leaves of all trees sum to zero.
pub(super) fn prove<D: Device>(device: &D, transcript: &mut Writer, trees: &[Tree<D>]) -> Vec<LeafClaim> {
    let mut claims = Tree::roots(device, trees);
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
        let below = active.iter().map(|&i| trees[i].layer(depth + 1)).collect();
        let reduced = device.fraction_sumcheck(Layer { below, point: &point, c, claim }, transcript);
        for &[even, odd] in &reduced.pairs {
            write(transcript, even);
            write(transcript, odd);
        }
        let last = transcript.challenge();
        for (&tree, &[even, odd]) in active.iter().zip(&reduced.pairs) {
            claims[tree] = Fraction { p: even.p + last * (odd.p - even.p), q: even.q + last * (odd.q - even.q) };
        }
        point = reduced.point;
        point.push(last);
    }
    leaves.into_iter().flatten().collect()
}

fn write(transcript: &mut Writer, fraction: Fraction) {
    transcript.write_all(&[fraction.p, fraction.q]);
}
