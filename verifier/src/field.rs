//! The fields: `F` is Goldilocks, `p = 2^64 - 2^32 + 1`; challenges live in `K = F[x] / (x^3 - x - 1)`.

use p3_field::extension::CubicTrinomialExtensionField;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use p3_goldilocks::Goldilocks;

/// Base field: integers of the relation.
pub type F = Goldilocks;
/// Challenge field, 192 bits.
pub type K = CubicTrinomialExtensionField<F>;
/// Bytes of an element of `K` in a proof: three little-endian canonical 64-bit words.
pub const K_BYTES: usize = 24;

/// The integer as a field element; exact for `|x| < p / 2`.
pub fn from_i64(x: i64) -> F {
    if x < 0 { -F::from_u64(x.unsigned_abs()) } else { F::from_u64(x as u64) }
}

/// The integer in the challenge field.
pub fn k_from_i64(x: i64) -> K {
    K::from(from_i64(x))
}

/// Canonical bytes.
pub fn k_to_bytes(x: K) -> [u8; K_BYTES] {
    let mut bytes = [0; K_BYTES];
    let words: &[F] = x.as_basis_coefficients_slice();
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.as_canonical_u64().to_le_bytes());
    }
    bytes
}

/// The element with these bytes; `None` if a word is not below `p`.
pub fn k_from_bytes(bytes: &[u8; K_BYTES]) -> Option<K> {
    let mut words = [F::ZERO; 3];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let value = u64::from_le_bytes(chunk.try_into().ok()?);
        if value >= F::ORDER_U64 {
            return None;
        }
        *word = F::from_u64(value);
    }
    Some(K::from_basis_coefficients_fn(|i| words[i]))
}

/// `sum_i coefficients_i * base^i`.
pub fn horner(coefficients: &[K], base: K) -> K {
    coefficients.iter().rev().fold(K::ZERO, |acc, &c| acc * base + c)
}
