//! Large matrix products, in blocks that fit the caches and on all cores.
//!
//! Every element is the sum over `k` in order, whatever the blocks, the cores and the width of the processor's vectors: so reals
//! come out the same on every machine. Integers are multiplied as reals where no sum can pass 2^53, which is exact, and fast.

use rayon::prelude::*;

/// A number that a product reads.
pub trait Number: Copy + Send + Sync {
    /// An upper bound of its magnitude that the type gives, if that is below 2^53.
    const MOST: Option<f64>;
    /// Its value.
    fn real(self) -> f64;
}

macro_rules! numbers {
    ($($t:ty: $most:expr),*) => {$(
        impl Number for $t {
            const MOST: Option<f64> = $most;
            fn real(self) -> f64 {
                self as f64
            }
        }
    )*};
}
numbers!(f64: None, i8: Some(128.0), i16: Some(32768.0), i32: Some(2_147_483_648.0), i64: None);

/// Rows and columns of the sums that stay in registers.
const TILE: (usize, usize) = (4, 8);
/// Summands that are taken at one time.
const DEPTH: usize = 512;
/// Most rows that read the packed columns together.
const ROWS: usize = 48;
/// Packed numbers of the second matrix, about.
const PACKED: usize = 1 << 20;
/// Least work, and rows and columns, for which packing pays.
const LEAST: (usize, usize, usize) = (1 << 18, 4, 8);

/// Whether [`reals`] and [`integers`] are the way to multiply `[m, k]` by `[n, k]`.
pub fn pays(m: usize, n: usize, k: usize) -> bool {
    m >= LEAST.1 && n >= LEAST.2 && m.saturating_mul(n).saturating_mul(k) >= LEAST.0
}

/// `out[i, j] = sum_k a[i, k] b[j, k]`, all row-major; `out` is `[m, n]`.
pub fn reals(k: usize, a: &[f64], b: &[f64], n: usize, out: &mut [f64]) {
    multiply::<f64, f64, f64, false>(k, a, b, n, out, |x| x);
}

/// As [`reals`], of integers, exactly; whether it could be done.
pub fn integers<A: Number, B: Number>(k: usize, a: &[A], b: &[B], n: usize, out: &mut [i64]) -> bool {
    const EXACT: f64 = (1u64 << 53) as f64;
    let fits = |most_a: f64, most_b: f64| most_a * most_b * k as f64 <= EXACT;
    let fitting = match (A::MOST, B::MOST) {
        (Some(a), Some(b)) => fits(a, b),
        _ => false,
    };
    if !fitting && !fits(magnitude(a), magnitude(b)) {
        return false;
    }
    multiply::<A, B, i64, true>(k, a, b, n, out, |x| x as i64);
    true
}

fn magnitude<T: Number>(data: &[T]) -> f64 {
    data.par_chunks(1 << 16).map(|c| c.iter().fold(0f64, |m, x| m.max(x.real().abs()))).reduce(|| 0.0, f64::max)
}

/// `FUSED`: products may be added without being rounded first, which changes nothing where all is exact.
fn multiply<A: Number, B: Number, R: Copy + Send, const FUSED: bool>(
    k: usize,
    a: &[A],
    b: &[B],
    n: usize,
    out: &mut [R],
    result: impl Fn(f64) -> R + Sync,
) {
    let columns = (PACKED / k.max(1)).clamp(TILE.1, n.max(TILE.1)).next_multiple_of(TILE.1);
    let share = (out.len() / n.max(1)).div_ceil(rayon::current_num_threads());
    let rows = share.next_multiple_of(TILE.0).clamp(TILE.0, ROWS);
    let mut packed = Vec::new();
    for first in (0..n).step_by(columns) {
        let count = columns.min(n - first);
        packed.resize(count.div_ceil(TILE.1) * k, [0.0; TILE.1]);
        packed.par_chunks_mut(k).enumerate().for_each(|(panel, target)| {
            let from = first + panel * TILE.1;
            pack(k, &b[from * k..(from + TILE.1).min(n) * k], target);
        });
        out.par_chunks_mut(rows * n).zip(a.par_chunks(rows * k)).for_each(|(out, a)| {
            let mut left = vec![[0.0; TILE.0]; (a.len() / k).div_ceil(TILE.0) * k];
            left.chunks_mut(k).zip(a.chunks(TILE.0 * k)).for_each(|(target, a)| pack(k, a, target));
            for (panel, right) in packed.chunks(k).enumerate() {
                let mut sums = [[[0.0; TILE.1]; TILE.0]; ROWS / TILE.0];
                for from in (0..k).step_by(DEPTH) {
                    let to = (from + DEPTH).min(k);
                    for (sums, left) in sums.iter_mut().zip(left.chunks(k)) {
                        tile::<FUSED>(&left[from..to], &right[from..to], sums);
                    }
                }
                let from = panel * TILE.1;
                let width = TILE.1.min(count - from);
                for (out, sums) in out.chunks_mut(n).zip(sums.as_flattened()) {
                    let out = &mut out[first + from..][..width];
                    out.iter_mut().zip(sums).for_each(|(out, &sum)| *out = result(sum));
                }
            }
        });
    }
}

/// Up to `N` rows of `k` numbers, column by column; the rest is 0.
fn pack<T: Number, const N: usize>(k: usize, rows: &[T], target: &mut [[f64; N]]) {
    if rows.len() < N * k {
        target.fill([0.0; N]);
    }
    for (i, row) in rows.chunks_exact(k).enumerate() {
        target.iter_mut().zip(row).for_each(|(target, x)| target[i] = x.real());
    }
}

#[inline]
fn tile<const FUSED: bool>(left: &[[f64; TILE.0]], right: &[[f64; TILE.1]], sums: &mut [[f64; TILE.1]; TILE.0]) {
    let mut own = *sums;
    for (a, b) in left.iter().zip(right) {
        for (sums, &a) in own.iter_mut().zip(a) {
            for (sum, &b) in sums.iter_mut().zip(b) {
                // Without the instruction, a fused product is a call.
                *sum = if FUSED && cfg!(target_feature = "fma") { a.mul_add(b, *sum) } else { *sum + a * b };
            }
        }
    }
    *sums = own;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, bound: i64) -> Vec<i64> {
        (0..n as i64).map(|i| (i * 7919 + i * i % 101).rem_euclid(2 * bound + 1) - bound).collect()
    }

    #[test]
    fn blocks_give_what_the_definition_gives() {
        for (m, n, k) in [(1, 1, 1), (4, 8, 3), (5, 9, 513), (97, 131, 40), (49, 7, 1030)] {
            let (a, b) = (numbers(m * k, 30_000), numbers(n * k, 120));
            let entry = |at: usize| (0..k).map(|l| a[at / n * k + l] * b[at % n * k + l]).sum::<i64>();
            let expected: Vec<i64> = (0..m * n).map(entry).collect();
            let narrow: Vec<i8> = b.iter().map(|&x| x as i8).collect();
            let mut out = vec![1; m * n];
            assert!(integers(k, &a, &narrow, n, &mut out));
            assert_eq!(out, expected, "{m} {n} {k}");
            let reals_of = |x: &[i64]| x.iter().map(|&x| x as f64 / 7.0).collect::<Vec<f64>>();
            let (a, b) = (reals_of(&a), reals_of(&b));
            let mut out = vec![1.0; m * n];
            reals(k, &a, &b, n, &mut out);
            let in_order = |at: usize| (0..k).fold(0.0, |sum, l| sum + a[at / n * k + l] * b[at % n * k + l]);
            assert_eq!(out, (0..m * n).map(in_order).collect::<Vec<f64>>(), "{m} {n} {k}");
        }
    }

    #[test]
    fn sums_that_may_be_inexact_are_refused() {
        let (a, b) = (vec![1i64 << 30; 8], vec![1i32 << 22; 8]);
        assert!(!integers(4, &a, &b, 2, &mut [0; 4]));
        assert!(integers(2, &a, &b, 4, &mut [0; 16]));
    }
}
