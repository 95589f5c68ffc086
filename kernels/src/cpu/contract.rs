//! `out[o, i] = sum_j weights[j] * tensor[o, j, i]`: binds one axis of a tensor at a challenge.

use super::PARALLEL_FROM;
use crate::{Ints, with_ints};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use rayon::prelude::*;
use verifier::field::{F, K};

/// Splits a shape around an axis: elements before, along and after it.
fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// Contracts `axis` of a tensor of field elements. `weights` has the axis's length.
pub fn contract(tensor: &[K], shape: &[usize], axis: usize, weights: &[K]) -> Vec<K> {
    let (_, length, inner) = around(shape, axis);
    if inner == 1 {
        let dot = |row: &[K]| row.iter().zip(weights).map(|(&t, &w)| t * w).sum();
        return by_rows(tensor, length, dot);
    }
    let mut out = vec![K::ZERO; tensor.len() / length];
    let slab = |(out, block): (&mut [K], &[K])| {
        for (row, &w) in block.chunks(inner).zip(weights) {
            out.iter_mut().zip(row).for_each(|(o, &t)| *o += t * w);
        }
    };
    let blocks = out.par_chunks_mut(inner).zip(tensor.par_chunks(inner * length));
    blocks.with_min_len(PARALLEL_FROM.div_ceil(inner * length)).for_each(slab);
    out
}

fn by_rows<T: Sync>(tensor: &[T], length: usize, dot: impl Fn(&[T]) -> K + Sync + Send) -> Vec<K> {
    tensor.par_chunks(length).with_min_len(PARALLEL_FROM.div_ceil(length)).map(dot).collect()
}

/// Contracts `axis` of a tensor of small integers.
pub fn contract_ints(tensor: &Ints, shape: &[usize], axis: usize, weights: &[K]) -> Vec<K> {
    let words: Vec<[u64; 3]> = weights.iter().map(words).collect();
    with_ints!(tensor, values => contract_small(values, shape, axis, &words))
}

fn words(x: &K) -> [u64; 3] {
    let words: &[F] = x.as_basis_coefficients_slice();
    [words[0].as_canonical_u64(), words[1].as_canonical_u64(), words[2].as_canonical_u64()]
}

/// Integers whose product with a 64-bit word can be summed in 128 bits.
trait Small: Copy + Sync {
    /// Sums of this many products stay below `2^127`.
    const TERMS: usize;
    fn widen(self) -> i128;
}

macro_rules! small {
    ($($int:ty => $terms:expr),*) => {$(
        impl Small for $int {
            const TERMS: usize = $terms;
            fn widen(self) -> i128 {
                self.into()
            }
        }
    )*};
}
// An i64 here is below 2^62 (a rule of the graph), so two of its products fit.
small!(i8 => 1 << 40, i16 => 1 << 40, i32 => 1 << 31, i64 => 1);

type Accumulator = [i128; 3];

fn reduce(sums: &Accumulator) -> K {
    K::from_basis_coefficients_fn(|i| {
        let x = sums[i];
        let magnitude = x.unsigned_abs();
        // 2^64 = 2^32 - 1 modulo p
        let reduced =
            F::from_u64(magnitude as u64) + F::from_u64((magnitude >> 64) as u64) * F::from_u64(u32::MAX.into());
        if x < 0 { -reduced } else { reduced }
    })
}

fn add_product(sums: &mut Accumulator, value: i128, weight: &[u64; 3]) {
    for (sum, &word) in sums.iter_mut().zip(weight) {
        *sum += value * i128::from(word);
    }
}

fn contract_small<T: Small>(tensor: &[T], shape: &[usize], axis: usize, weights: &[[u64; 3]]) -> Vec<K> {
    let (_, length, inner) = around(shape, axis);
    if inner == 1 {
        return by_rows(tensor, length, |row| {
            let parts = row.chunks(T::TERMS).zip(weights.chunks(T::TERMS));
            parts
                .map(|(row, weights)| {
                    let mut sums = Accumulator::default();
                    row.iter().zip(weights).for_each(|(&t, w)| add_product(&mut sums, t.widen(), w));
                    reduce(&sums)
                })
                .sum()
        });
    }
    let mut out = vec![K::ZERO; tensor.len() / length];
    // A stripe of one block: its accumulators stay in the cache.
    let stripe = inner.min(1 << 9);
    let blocks = out.par_chunks_mut(inner).zip(tensor.par_chunks(inner * length));
    blocks.with_min_len(PARALLEL_FROM.div_ceil(inner * length)).for_each(|(out, block)| {
        out.par_chunks_mut(stripe).enumerate().with_min_len(PARALLEL_FROM.div_ceil(stripe * length)).for_each(
            |(s, out)| {
                let from = s * stripe;
                for (first, weights) in (0..).step_by(T::TERMS).zip(weights.chunks(T::TERMS)) {
                    let mut sums = vec![Accumulator::default(); out.len()];
                    for (j, weight) in (first..).zip(weights) {
                        let row = &block[j * inner + from..][..out.len()];
                        sums.iter_mut().zip(row).for_each(|(sum, &t)| add_product(sum, t.widen(), weight));
                    }
                    out.iter_mut().zip(&sums).for_each(|(o, sum)| *o += reduce(sum));
                }
            },
        );
    });
    out
}

/// The integers as field elements.
#[allow(clippy::useless_conversion, reason = "idle in the widest of the macro's arms")]
pub fn lift(tensor: &Ints) -> Vec<K> {
    let lift = |x: i64| verifier::field::k_from_i64(x);
    with_ints!(tensor, values => values.par_iter().with_min_len(PARALLEL_FROM).map(|&x| lift(x.into())).collect())
}

/// Reorders axes: axis `i` of the result is axis `order[i]` of the tensor.
pub fn permute(values: Vec<K>, shape: &[usize], order: &[usize]) -> Vec<K> {
    if order.is_sorted() {
        return values;
    }
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let mut places = vec![0usize];
    for &axis in order {
        let (length, stride) = (shape[axis], strides[axis]);
        places = places.iter().flat_map(|&p| (0..length).map(move |i| p + i * stride)).collect();
    }
    places.into_par_iter().with_min_len(PARALLEL_FROM).map(|p| values[p]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::field::k_from_i64;

    fn challenge(i: usize) -> K {
        K::from_basis_coefficients_fn(|j| -F::from_u64((i * 3 + j + 1) as u64).exp_u64(5))
    }

    #[test]
    fn integers_of_every_width_contract_like_field_elements() {
        let shape = [3, 5, 7];
        let extremes = [i64::from(i8::MIN), i64::from(i16::MIN), i64::from(i32::MIN), (1 << 62) - 1];
        for extreme in extremes {
            let values: Vec<i64> = (0..105).map(|i| if i % 4 == 0 { extreme } else { i - 50 }).collect();
            let lifted: Vec<K> = values.iter().map(|&x| k_from_i64(x)).collect();
            let ints = Ints::from(values);
            for axis in 0..3 {
                let weights: Vec<K> = (0..shape[axis]).map(challenge).collect();
                assert_eq!(contract_ints(&ints, &shape, axis, &weights), contract(&lifted, &shape, axis, &weights));
            }
        }
    }
}
