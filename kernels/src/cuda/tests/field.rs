//! The arithmetic on the device against the host's, on edges and on random words.

use crate::cuda::emulator::device_under_test;
use crate::cuda::vectors::words;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use verifier::field::{F, K};

const P: u64 = F::ORDER_U64;
/// Where carries and borrows come and go; the second wrap of a sum shows on no random pair.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    7,
    u32::MAX as u64 - 1,
    u32::MAX as u64,
    1 << 32,
    (1 << 32) + 1,
    1 << 63,
    P - (1 << 32),
    P - 2,
    P - 1,
    P,
    P + 1,
    u64::MAX - 1,
    u64::MAX,
];

/// Random words, one in four of them an edge.
fn random(count: usize, seed: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 29
    };
    (0..count).map(|_| if next().is_multiple_of(4) { EDGES[next() as usize % EDGES.len()] } else { next() }).collect()
}

#[test]
fn words_are_those_of_the_host() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    let (mut a, mut b) = (random(5000, 1), random(5000, 2));
    for x in EDGES {
        a.extend([x; EDGES.len()]);
        b.extend(EDGES);
    }
    let (x, y, out) = (gpu.upload(&a), gpu.upload(&b), gpu.allocate::<u64>(8 * a.len()));
    gpu.field_ops(gpu.grid(a.len()), gpu.pointer(&x), gpu.pointer(&y), a.len() as u64, gpu.pointer(&out));
    let results = gpu.download(&out, 8 * a.len());
    for ((&a, &b), results) in a.iter().zip(&b).zip(results.chunks_exact(8)) {
        let (x, y) = (F::from_u64(a), F::from_u64(b));
        let sum = x * y + x.square() + y.square() + y * x;
        let expected = [
            x * y,
            x + y,
            x - y,
            x * F::from_u64(1 << 24),
            x * F::from_u64(1 << 48),
            sum,
            sum.double(),
            x.exp_u64(b % 1000),
        ];
        assert_eq!(results, expected.map(|e| e.as_canonical_u64()), "{a:#x} {b:#x}");
    }
}

#[test]
fn extension_elements_are_those_of_the_host() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    let element = |words: &[u64]| K::from_basis_coefficients_fn(|i| F::from_u64(words[i]));
    let elements = |seed| random(3 * 4000, seed).chunks_exact(3).map(element).collect::<Vec<K>>();
    let (a, b) = (elements(3), elements(4));
    let (x, y, out) = (gpu.upload_elements(&a), gpu.upload_elements(&b), gpu.elements(4 * a.len()));
    gpu.extension_ops(gpu.grid(a.len()), gpu.at(&x), gpu.at(&y), a.len() as u64, gpu.at(&out));
    let results = gpu.download(&out.memory, 12 * a.len());
    for ((&x, &y), results) in a.iter().zip(&b).zip(results.chunks_exact(12)) {
        let word = |x: K, i: usize| -> F { <K as BasedVectorSpace<F>>::as_basis_coefficients_slice(&x)[i] };
        let at = K::from_basis_coefficients_fn(|i| [word(y, 2), word(x, 1), F::from_u64(3)][i]);
        let expected = [x * y, x + (y - x) * at, x * word(y, 0) + y * word(y, 1), x * word(y, 0)];
        let canonical = expected.iter().flat_map(<K as BasedVectorSpace<F>>::as_basis_coefficients_slice);
        assert_eq!(results, canonical.map(F::as_canonical_u64).collect::<Vec<_>>(), "{x} {y}");
    }
}

#[test]
fn words_of_the_host_are_not_reduced_on_their_way() {
    assert_eq!(words(&[F::from_u64(u64::MAX), F::from_u64(5)]), [u64::MAX, 5]);
}
