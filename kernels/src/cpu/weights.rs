//! Sums against eq tables and powers of roots of unity, and their accumulation into a weight vector.
//!
//! A table over `n` variables is the product of one over the first and one over the last of them, so no large one is built.

use super::encode::DFT;
use p3_dft::TwoAdicSubgroupDft;
use p3_field::{BasedVectorSpace, ExtensionField, Field, PackedValue, PrimeCharacteristicRing, TwoAdicField};
use p3_matrix::dense::RowMajorMatrix;
use rayon::prelude::*;
use verifier::field::{F, K};
use verifier::multilinear::eq_table;

type PackedF = <F as Field>::Packing;
type PackedK = <K as ExtensionField<F>>::ExtensionPacking;

/// Most variables of the inner table.
const INNER: usize = 7;

/// The tables over a point's leading coordinates and over at most `inner` trailing ones.
fn split_eq(point: &[K], inner: usize) -> (Vec<K>, Vec<K>) {
    let (outer, inner) = point.split_at(point.len().saturating_sub(inner));
    (eq_table(outer, 1 << outer.len()), eq_table(inner, 1 << inner.len()))
}

/// `out[j] = sum_i eq(point, i) * values[i * 2^(log_stride + log_width) + j]`.
pub fn bind_rows(values: &[F], log_stride: usize, point: &[K], log_width: usize) -> Vec<K> {
    let (outer, inner) = split_eq(point, INNER);
    let width = 1 << log_width;
    let add = |mut sum: Vec<K>, part: Vec<K>| {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        sum
    };
    values
        .par_chunks_exact(inner.len() << (log_stride + log_width))
        .zip(&outer)
        .fold(
            || K::zero_vec(width),
            |sum, (rows, &scale)| {
                let rows = rows.chunks_exact(width << log_stride).map(|rows| &rows[..width]);
                add(sum, weighted_rows(rows, &inner, width).into_iter().map(|x| x * scale).collect())
            },
        )
        .reduce(|| K::zero_vec(width), add)
}

/// `out[j] = sum_i weights[i] * rows[i][j]`.
fn weighted_rows<'a>(rows: impl Iterator<Item = &'a [F]>, weights: &[K], width: usize) -> Vec<K> {
    if !width.is_multiple_of(PackedF::WIDTH) {
        let mut out = K::zero_vec(width);
        for (row, &weight) in rows.zip(weights) {
            out.iter_mut().zip(row).for_each(|(out, &x)| *out += weight * x);
        }
        return out;
    }
    let mut out = vec![PackedK::ZERO; width / PackedF::WIDTH];
    for (row, &weight) in rows.zip(weights) {
        let weight = PackedK::from(weight);
        out.iter_mut().zip(PackedF::pack_slice(row)).for_each(|(out, &x)| *out += weight * x);
    }
    unpack(&out)
}

fn unpack(packed: &[PackedK]) -> Vec<K> {
    let lane = |x: &PackedK, lane: usize| {
        let words = <PackedK as BasedVectorSpace<PackedF>>::as_basis_coefficients_slice(x);
        K::from_basis_coefficients_fn(|d| words[d].as_slice()[lane])
    };
    packed.iter().flat_map(|x| (0..PackedF::WIDTH).map(move |i| lane(x, i))).collect()
}

/// `out[i] = sum_j weights[j] * values[i * weights.len() + j]`.
pub fn bind_columns(values: &[F], weights: &[K]) -> Vec<K> {
    let width = weights.len();
    if !width.is_multiple_of(PackedF::WIDTH) {
        let dot = |row: &[F]| row.iter().zip(weights).map(|(&x, &weight)| weight * x).sum();
        return values.par_chunks_exact(width).with_min_len(1 << 8).map(dot).collect();
    }
    let weights: Vec<PackedK> = weights
        .chunks_exact(PackedF::WIDTH)
        .map(|lanes| {
            PackedK::from_basis_coefficients_fn(|d| {
                PackedF::from_fn(|i| {
                    let words: &[F] = lanes[i].as_basis_coefficients_slice();
                    words[d]
                })
            })
        })
        .collect();
    let dot = |row: &[F]| {
        let sum: PackedK = PackedF::pack_slice(row).iter().zip(&weights).map(|(&x, &weight)| weight * x).sum();
        let words = <PackedK as BasedVectorSpace<PackedF>>::as_basis_coefficients_slice(&sum);
        K::from_basis_coefficients_fn(|d| words[d].as_slice().iter().copied().sum::<F>())
    };
    values.par_chunks_exact(width).with_min_len(1 << 8).map(dot).collect()
}

/// `sum_i eq(point, i) * values[i]`.
pub fn evaluate(values: &[K], point: &[K]) -> K {
    let (outer, inner) = split_eq(point, point.len() / 2);
    let dot = |(row, &scale): (&[K], &K)| scale * row.iter().zip(&inner).map(|(&x, &weight)| x * weight).sum::<K>();
    values.par_chunks_exact(inner.len()).zip(&outer).map(dot).sum()
}

/// `out[i * 2^log_stride] += scale * eq(point, i)`.
pub fn add_eq(out: &mut [K], log_stride: usize, point: &[K], scale: K) {
    let (outer, inner) = split_eq(point, 10);
    out.par_chunks_exact_mut(inner.len() << log_stride).zip(&outer).for_each(|(row, &outer)| {
        let scale = scale * outer;
        row.iter_mut().step_by(1 << log_stride).zip(&inner).for_each(|(out, &weight)| *out += scale * weight);
    });
}

/// `out[i] += sum_j scales[j] * g^(exponents[j] * i)`, `g` of order `2^log_order`.
pub fn add_powers(out: &mut [K], log_order: usize, exponents: &[usize], scales: &[K]) {
    let order = 1usize << log_order;
    if exponents.len() * out.len() > order * log_order {
        // The sum is the transform of the vector with `scales[j]` at `exponents[j]`.
        let mut sparse = K::zero_vec(order);
        for (&exponent, &scale) in exponents.iter().zip(scales) {
            sparse[exponent % order] += scale;
        }
        let dense = DFT.dft_algebra_batch(RowMajorMatrix::new(sparse, 1)).values;
        out.par_iter_mut().zip(dense).for_each(|(out, x)| *out += x);
        return;
    }
    let generator = F::two_adic_generator(log_order);
    let bases: Vec<F> = exponents.iter().map(|&exponent| generator.exp_u64(exponent as u64)).collect();
    let chunk = out.len().min(1 << 8);
    let tables: Vec<Vec<F>> = bases.iter().map(|base| base.powers().collect_n(chunk)).collect();
    out.par_chunks_mut(chunk).enumerate().for_each(|(index, out)| {
        for ((base, table), &scale) in bases.iter().zip(&tables).zip(scales) {
            let scale = scale * base.exp_u64((index * chunk) as u64);
            out.iter_mut().zip(table).for_each(|(out, &power)| *out += scale * power);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(count: usize, seed: u64) -> Vec<K> {
        let word = |i: usize| F::from_u64(i as u64 * 1_000_003 + seed + 5).exp_u64(11);
        (0..count).map(|i| K::from_basis_coefficients_fn(|d| word(3 * i + d))).collect()
    }

    fn base(count: usize) -> Vec<F> {
        (0..count).map(|i| F::from_u64(i as u64 * 7919 + 17).exp_u64(11)).collect()
    }

    #[test]
    fn rows_are_bound_for_every_width_and_height() {
        for log_width in 0..6 {
            for (variables, log_stride) in [(0, 0), (1, 2), (5, 0), (5, 1), (INNER, 0), (INNER + 3, 0), (INNER + 1, 3)]
            {
                let (values, point) = (base(1 << (log_width + log_stride + variables)), elements(variables, 3));
                let eq = eq_table(&point, 1 << variables);
                let mut expected = K::zero_vec(1 << log_width);
                for (row, &weight) in values.chunks_exact(1 << log_width).step_by(1 << log_stride).zip(&eq) {
                    expected.iter_mut().zip(row).for_each(|(sum, &x)| *sum += weight * x);
                }
                assert_eq!(bind_rows(&values, log_stride, &point, log_width), expected);
            }
        }
    }

    #[test]
    fn columns_are_bound_for_every_width() {
        for log_width in 0..6 {
            let (values, weights) = (base(700 << log_width), elements(1 << log_width, 5));
            let rows = values.chunks_exact(weights.len());
            let expected: Vec<K> = rows.map(|row| row.iter().zip(&weights).map(|(&x, &w)| w * x).sum()).collect();
            assert_eq!(bind_columns(&values, &weights), expected);
        }
    }

    #[test]
    fn eq_weights_are_those_that_evaluate() {
        for variables in [0, 1, 4, 11, 13] {
            let (point, values) = (elements(variables, 7), elements(1 << variables, 8));
            let mut weights = K::zero_vec(1 << variables);
            add_eq(&mut weights, 0, &point, K::TWO);
            assert_eq!(weights, eq_table(&point, 1 << variables).into_iter().map(|x| x.double()).collect::<Vec<_>>());
            let sum: K = weights.iter().zip(&values).map(|(&w, &x)| w * x).sum();
            assert_eq!(sum, evaluate(&values, &point).double());

            let mut apart = K::zero_vec(4 << variables);
            add_eq(&mut apart, 2, &point, K::TWO);
            assert_eq!(apart.iter().copied().step_by(4).collect::<Vec<_>>(), weights);
            assert!(apart.iter().enumerate().all(|(i, &x)| i % 4 == 0 || x == K::ZERO));
        }
    }

    #[test]
    fn powers_are_added_alike_by_both_ways() {
        // Few exponents are added one by one, many (with repetitions) by a transform.
        for (log_order, log_len, count) in [(8, 4, 3), (8, 7, 40), (12, 9, 20), (6, 6, 64)] {
            let exponents: Vec<usize> = (0..count).map(|j| j * j * 31 % (1 << log_order)).collect();
            let scales = elements(count, 9);
            let mut out = elements(1 << log_len, 10);
            let expected: Vec<K> = out
                .iter()
                .enumerate()
                .map(|(i, &start)| {
                    let generator = F::two_adic_generator(log_order);
                    let power = |j: usize| generator.exp_u64((exponents[j] * i) as u64);
                    start + (0..count).map(|j| scales[j] * power(j)).sum::<K>()
                })
                .collect();
            add_powers(&mut out, log_order, &exponents, &scales);
            assert_eq!(out, expected);
        }
    }
}
