//! Section 1, multilinear extensions, by summing over every index.
//!
//! A point lists `ceil(log2 d)` coordinates for each axis of length `d`, axis by axis, most significant first.

use crate::error::Error;
use crate::field::{K, k};

/// `ceil(log2 d)`.
pub fn bits(d: usize) -> usize {
    (0..usize::BITS as usize).find(|&l| d <= 1 << l).unwrap_or(usize::BITS as usize)
}

/// Coordinates of a point of a tensor of this shape.
pub fn variables(shape: &[usize]) -> usize {
    shape.iter().map(|&d| bits(d)).sum()
}

/// The point's coordinates for each axis.
pub fn split<'a>(shape: &[usize], point: &'a [K]) -> Result<Vec<&'a [K]>, Error> {
    let mut rest = point;
    let mut parts = Vec::new();
    for &d in shape {
        let (head, tail) = rest.split_at_checked(bits(d)).ok_or(Error::Internal("a point is too short"))?;
        parts.push(head);
        rest = tail;
    }
    if rest.is_empty() { Ok(parts) } else { Err(Error::Internal("a point is too long")) }
}

/// `prod_i (a_i b_i + (1 - a_i)(1 - b_i))`.
pub fn eq(a: &[K], b: &[K]) -> K {
    a.iter().zip(b).map(|(&x, &y)| x * y + (K::ONE - x) * (K::ONE - y)).product()
}

/// `eq(point, index)`, the index's bits most significant first.
pub fn eq_index(point: &[K], index: usize) -> K {
    let bit = |place: usize| index >> (point.len() - 1 - place) & 1 == 1;
    point.iter().enumerate().map(|(i, &x)| if bit(i) { x } else { K::ONE - x }).product()
}

/// `eq(point, i)` for every index, in order.
pub fn eq_all(point: &[K]) -> Vec<K> {
    point
        .iter()
        .fold(vec![K::ONE], |all, &x| all.iter().flat_map(|&weight| [weight * (K::ONE - x), weight * x]).collect())
}

/// `sum_{i < d} eq(point, i)`.
pub fn ones(point: &[K], d: usize) -> K {
    eq_all(point).into_iter().take(d).sum()
}

/// `sum_{i < d} eq(a, i) eq(b, i)`.
pub fn eq_below(a: &[K], b: &[K], d: usize) -> K {
    eq_all(a).into_iter().zip(eq_all(b)).take(d).map(|(a, b)| a * b).sum()
}

/// The extension of a tensor of ones of this shape.
pub fn ones_of(shape: &[usize], point: &[K]) -> Result<K, Error> {
    Ok(split(shape, point)?.into_iter().zip(shape).map(|(part, &d)| ones(part, d)).product())
}

/// The index along each axis of a row-major flat index.
pub fn digits(shape: &[usize], flat: usize) -> Vec<usize> {
    let mut rest = flat;
    let mut digits: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&d| {
            let digit = rest % d;
            rest /= d;
            digit
        })
        .collect();
    digits.reverse();
    digits
}

/// `sum_i prod_axis eq(r_axis, i_axis) T[i]`.
pub fn evaluate(shape: &[usize], values: impl Iterator<Item = K>, point: &[K]) -> Result<K, Error> {
    let axes: Vec<Vec<K>> = split(shape, point)?.into_iter().map(eq_all).collect();
    let weight = |flat: usize| -> K {
        let factors = axes.iter().zip(digits(shape, flat));
        factors.map(|(axis, i)| axis.get(i).copied().unwrap_or(K::ZERO)).product()
    };
    Ok(values.enumerate().map(|(flat, value)| weight(flat) * value).sum())
}

/// The extension of a tensor of integers.
pub fn evaluate_integers(shape: &[usize], values: &[i64], point: &[K]) -> Result<K, Error> {
    evaluate(shape, values.iter().map(|&x| k(x)), point)
}
