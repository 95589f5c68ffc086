//! Multilinear extensions of tensors.
//!
//! Each axis of length `d` is padded with zeros to `2^l`, `l = ceil(log2 d)`. A point lists `l` coordinates for each
//! axis, axis by axis, most significant bit first. `T~(r) = sum_i prod_axis eq(r_axis, bits(i_axis)) * T[i]`.

use crate::field::{K, from_i64};
use alloc::vec;
use alloc::vec::Vec;
use p3_field::PrimeCharacteristicRing;

/// `ceil(log2 d)`: coordinates of an axis of length `d >= 1`.
pub const fn axis_bits(d: usize) -> usize {
    d.next_power_of_two().trailing_zeros() as usize
}

/// Coordinates of a point for a tensor of this shape.
pub fn num_variables(shape: &[usize]) -> usize {
    shape.iter().map(|&d| axis_bits(d)).sum()
}

/// The point's part for every axis. `point` must have [`num_variables`] coordinates.
pub fn split_point<'a>(shape: &[usize], point: &'a [K]) -> Vec<&'a [K]> {
    let mut rest = point;
    shape
        .iter()
        .map(|&d| {
            let (head, tail) = rest.split_at(axis_bits(d));
            rest = tail;
            head
        })
        .collect()
}

/// `prod_i (a_i b_i + (1 - a_i)(1 - b_i))`, for points of one length.
pub fn eq(a: &[K], b: &[K]) -> K {
    debug_assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(&x, &y)| (x * y).double() - x - y + K::ONE).product()
}

/// `eq(point, bits(index))`.
pub fn eq_index(point: &[K], index: usize) -> K {
    let top = point.len();
    point.iter().enumerate().map(|(i, &x)| if index >> (top - 1 - i) & 1 == 1 { x } else { K::ONE - x }).product()
}

/// `eq(point, bits(i))` for `i` in `0..d`, where `point` has `axis_bits(d)` coordinates.
pub fn eq_table(point: &[K], d: usize) -> Vec<K> {
    let mut table = vec![K::ONE];
    for (depth, &x) in point.iter().enumerate() {
        // Entries beyond the axis are never formed: the prefix of `d` has this many values.
        let len = ((d - 1) >> (point.len() - 1 - depth)) + 1;
        let mut next = Vec::with_capacity(len);
        for &t in &table {
            let hi = t * x;
            next.push(t - hi);
            next.push(hi);
        }
        next.truncate(len);
        table = next;
    }
    table
}

/// `sum_{i < d} eq(point, bits(i))`, the extension of an axis of ones; `d` may be up to `2^point.len()`.
pub fn ones(point: &[K], d: usize) -> K {
    if d >= 1 << point.len() {
        return K::ONE;
    }
    // i < d: i agrees with d above some bit of d that is 1, and has 0 there.
    let (mut prefix, mut sum) = (K::ONE, K::ZERO);
    for (i, &x) in point.iter().enumerate() {
        if d >> (point.len() - 1 - i) & 1 == 1 {
            sum += prefix * (K::ONE - x);
            prefix *= x;
        } else {
            prefix *= K::ONE - x;
        }
    }
    sum
}

/// `sum_{i < d} eq(a, bits(i)) eq(b, bits(i))`: the extension at `b` of an axis that holds `eq(a, .)`; `eq(a, b)` if the
/// axis is a full power of two.
pub fn eq_below(a: &[K], b: &[K], d: usize) -> K {
    if d >= 1 << a.len() {
        return eq(a, b);
    }
    let weights: Vec<(K, K)> = a.iter().zip(b).map(|(&x, &y)| ((K::ONE - x) * (K::ONE - y), x * y)).collect();
    // Below d: agree with d above some bit of d that is 1, have 0 there, and anything after.
    let mut after = vec![K::ONE];
    for (zero, one) in weights.iter().rev() {
        after.push(after[after.len() - 1] * (*zero + *one));
    }
    let (mut prefix, mut sum) = (K::ONE, K::ZERO);
    for (i, &(zero, one)) in weights.iter().enumerate() {
        let rest = a.len() - 1 - i;
        if d >> rest & 1 == 1 {
            sum += prefix * zero * after[rest];
            prefix *= one;
        } else {
            prefix *= zero;
        }
    }
    sum
}

/// `sum_i i * eq(point, bits(i))` over all `2^point.len()` indices.
pub fn index(point: &[K]) -> K {
    point.iter().fold(K::ZERO, |acc, &x| acc.double() + x)
}

/// The extension of a row-major tensor of integers.
pub fn evaluate(shape: &[usize], values: &[i64], point: &[K]) -> K {
    let tables: Vec<_> = split_point(shape, point).into_iter().zip(shape).map(|(p, &d)| eq_table(p, d)).collect();
    let Some((last, rest)) = tables.split_last() else {
        return values.first().map_or(K::ZERO, |&x| from_i64(x).into());
    };
    // An axis of integers first: of elements of `K` there are never more than rows.
    let row = |row: &[i64]| row.iter().zip(last).map(|(&x, &e)| e * from_i64(x)).sum();
    let mut level: Vec<K> = values.chunks(last.len()).map(row).collect();
    for table in rest.iter().rev() {
        level = level.chunks(table.len()).map(|row| row.iter().zip(table).map(|(&v, &e)| v * e).sum()).collect();
    }
    level.first().copied().unwrap_or(K::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: usize, seed: u64) -> Vec<K> {
        (0..n as u64).map(|i| K::from_u64(seed * 1_000_003 + i * 7919 + 5).exp_u64(3)).collect()
    }

    #[test]
    fn tables_agree_with_eq_index_at_every_length() {
        for d in 1..40 {
            let r = point(axis_bits(d), d as u64);
            let table = eq_table(&r, d);
            assert_eq!(table.len(), d);
            for (i, &t) in table.iter().enumerate() {
                assert_eq!(t, eq_index(&r, i));
            }
            assert_eq!(ones(&r, d), table.iter().copied().sum::<K>());
            let s = point(axis_bits(d), d as u64 + 100);
            let both = table.iter().zip(eq_table(&s, d)).map(|(&a, b)| a * b).sum::<K>();
            assert_eq!(eq_below(&r, &s, d), both);
        }
    }

    #[test]
    fn evaluation_at_a_vertex_is_the_element() {
        let shape = [3, 1, 5];
        let values: Vec<i64> = (0..15).map(|i| i * i - 40).collect();
        for (flat, &value) in values.iter().enumerate() {
            let (i, j) = (flat / 5, flat % 5);
            let bits = [i >> 1 & 1, i & 1, j >> 2 & 1, j >> 1 & 1, j & 1];
            let vertex: Vec<K> = bits.iter().map(|&b| K::from_usize(b)).collect();
            assert_eq!(evaluate(&shape, &values, &vertex), K::from(from_i64(value)));
        }
    }

    #[test]
    fn index_is_linear_in_the_bits() {
        let r = point(5, 3);
        let sum: K = (0..32).map(|i| K::from_usize(i) * eq_index(&r, i)).sum();
        assert_eq!(index(&r), sum);
    }
}
