//! One sumcheck round over the product of two multilinear polynomials, the least significant variable first.

use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::field::K;

/// Pairs that one task takes.
const PAIRS: usize = 1 << 11;

/// `h(0)` and the leading coefficient of `h(X) = sum_i a(i, X) * b(i, X)`.
pub fn round(a: &[K], b: &[K]) -> [K; 2] {
    let part = |a: &[K], b: &[K]| {
        let (mut constant, mut leading) = (K::ZERO, K::ZERO);
        for (a, b) in a.chunks_exact(2).zip(b.chunks_exact(2)) {
            constant += a[0] * b[0];
            leading += (a[1] - a[0]) * (b[1] - b[0]);
        }
        [constant, leading]
    };
    if a.len() <= 2 * PAIRS {
        return part(a, b);
    }
    a.par_chunks(2 * PAIRS)
        .zip(b.par_chunks(2 * PAIRS))
        .map(|(a, b)| part(a, b))
        .reduce(|| [K::ZERO; 2], |x, y| [x[0] + y[0], x[1] + y[1]])
}

/// `a(i, x)` for all `i`.
pub fn fold(a: &[K], x: K) -> Vec<K> {
    let line = |pair: &[K]| pair[0] + (pair[1] - pair[0]) * x;
    if a.len() <= 2 * PAIRS {
        return a.chunks_exact(2).map(line).collect();
    }
    a.par_chunks_exact(2).with_min_len(PAIRS).map(line).collect()
}
