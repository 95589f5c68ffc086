//! Contractions with a large constant that stays in the width that it is stored in: no widened copy, and products of 32
//! bits, which processors multiply faster than those of 64.

use super::sparse::{self, LARGE};
use super::{Factor, Roles, lengths, permuted, product as blocks};
use crate::{Ints, with_ints};
use rayon::prelude::*;

/// The product of a constant with the other factors of a term, summed over every label that is not in `keep`; `None` if the
/// constant is small, or the labels are not in an order that allows it.
pub fn contract(
    dims: &[usize],
    keep: &[u8],
    (constant, labels): (&Ints, &[u8]),
    others: &[&Factor<'_, i64>],
) -> Option<Factor<'static, i64>> {
    if constant.len() < LARGE {
        return None;
    }
    let add = |from: usize, factor: i64, sums: &mut [i64]| {
        with_ints!(constant, v => add_scaled(&v[from..], factor, sums));
    };
    let chosen = sparse::chosen(dims, keep, labels, others, &add);
    chosen.or_else(|| product(dims, keep, (constant, labels), others))
}

/// A matrix product: the constant's rows are contiguous, and all of its own labels are kept.
fn product(
    dims: &[usize],
    keep: &[u8],
    (constant, labels): (&Ints, &[u8]),
    others: &[&Factor<'_, i64>],
) -> Option<Factor<'static, i64>> {
    let [x] = others else { return None };
    let Roles { batch, rows, columns, summed } = Roles::new(keep, labels, &x.labels);
    let kept = |labels: &[u8]| labels.iter().all(|l| keep.contains(l));
    if !batch.is_empty() || *labels != [&rows[..], &summed].concat() || !kept(&rows) || !kept(&columns) {
        return None;
    }
    let x = permuted(dims, x, &[&columns[..], &summed].concat());
    let size = |labels: &[u8]| lengths(dims, labels).iter().product::<usize>();
    let (m, n, k) = (size(&rows), size(&columns), size(&summed));
    if blocks::pays(n, m, k) {
        let mut data = vec![0; n * m];
        if with_ints!(constant, v => blocks::integers(k, &x, v, m, &mut data)) {
            return Some(Factor::owned(data, [columns, rows].concat()));
        }
    }
    let x: Option<Vec<i32>> = x.iter().map(|&x| i32::try_from(x).ok()).collect();
    let x = x?;
    let mut data = vec![0; m * n];
    with_ints!(constant, v => data.par_chunks_mut(n).enumerate().for_each(|(row, sums)| {
        let weights = &v[row * k..][..k];
        for (sum, column) in sums.iter_mut().zip(x.chunks_exact(k)) {
            *sum = dot(weights, column);
        }
    }));
    Some(Factor::owned(data, [rows, columns].concat()))
}

fn add_scaled<W: Copy + Into<i64>>(weights: &[W], factor: i64, sums: &mut [i64]) {
    for (sum, &w) in sums.iter_mut().zip(weights) {
        *sum = sum.wrapping_add(factor.wrapping_mul(w.into()));
    }
}

fn dot<W: Copy + Into<i64>>(weights: &[W], x: &[i32]) -> i64 {
    const LANES: usize = 16;
    let mut lanes = [0i64; LANES];
    let (ws, xs) = (weights.chunks_exact(LANES), x.chunks_exact(LANES));
    let rest = ws.remainder().iter().zip(xs.remainder());
    let rest = rest.fold(0i64, |sum, (&w, &x)| sum.wrapping_add(w.into().wrapping_mul(x.into())));
    for (w, x) in ws.zip(xs) {
        for ((lane, &w), &x) in lanes.iter_mut().zip(w).zip(x) {
            *lane = lane.wrapping_add(w.into().wrapping_mul(x.into()));
        }
    }
    lanes.into_iter().fold(rest, i64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::super::einsum;
    use super::*;

    fn values(n: usize, bound: i64) -> Vec<i64> {
        (0..n as i64).map(|i| (i * 7919 + 13).rem_euclid(2 * bound + 1) - bound).collect()
    }

    /// `x[2, 7] w[3, 5, 7]`, wide and narrow, in every width; and rows of a table that one-hot factors choose.
    #[test]
    fn narrow_products_are_those_of_wide_integers() {
        let dims = [2, 3, 5, 7];
        let x = values(14, 30_000);
        for bound in [100, 30_000, 1 << 30, 1 << 40] {
            let w = values(105, bound);
            let (x, wide) = (Factor::borrowed(&x, &[0, 3]), Factor::borrowed(&w, &[1, 2, 3]));
            let narrow =
                product(&dims, &[0, 1, 2], (&Ints::from(w.clone()), &[1, 2, 3]), &[&x]).expect("the order fits");
            let sum = einsum(&dims, &[1, 2, 0], vec![(1, vec![x, wide])]);
            assert_eq!((narrow.labels, &narrow.data[..]), (vec![1, 2, 0], &sum[..]));
        }
    }

    #[test]
    fn one_hot_factors_choose_rows() {
        let dims = [3, 16, 16, 300];
        let table = values(16 * 16 * 300, 1000);
        let hot = |digits: [usize; 3]| -> Vec<i64> { (0..48).map(|i| i64::from(digits[i / 16] == i % 16)).collect() };
        let (high, low) = (hot([3, 15, 0]), hot([9, 0, 15]));
        let (high, low) = (Factor::borrowed(&high, &[0, 1]), Factor::borrowed(&low, &[0, 2]));
        let constant = Ints::from(table.clone());
        let rows = contract(&dims, &[0, 3], (&constant, &[1, 2, 3]), &[&high, &low]).expect("the factors are sparse");
        let expected = [3 * 16 + 9, 15 * 16, 15].map(|row| &table[row * 300..][..300]).concat();
        assert_eq!((rows.labels, &rows.data[..]), (vec![0, 3], &expected[..]));
    }
}
