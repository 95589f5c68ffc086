//! Tensors of fractions `p / (1 + q)`: their sums, and the sumcheck over one layer of sums.
//!
//! Layers are as long as they are: an odd end is paired with the fraction 0/1, so padding costs nothing.

use super::PARALLEL_FROM;
use crate::device::Fractions;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::argument::logup::Fraction;
use verifier::field::K;

/// The shape with its last axis that is longer than 1 halved, rounded up.
pub fn halve(shape: &[usize]) -> Vec<usize> {
    let mut above = shape.to_vec();
    if let Some(d) = above.iter_mut().rev().find(|d| **d > 1) {
        *d = d.div_ceil(2);
    }
    above
}

/// Length of the rows whose neighbours are added: the last axis longer than 1.
pub fn row_length(shape: &[usize]) -> usize {
    shape.iter().rev().copied().find(|&d| d > 1).unwrap_or(1)
}

/// Adds neighbours.
pub fn add_fractions(below: &Fractions<Vec<K>>) -> Fractions<Vec<K>> {
    let (shape, length) = (halve(&below.shape), row_length(&below.shape));
    let half = length.div_ceil(2);
    let len = below.p.len() / length * half;
    let sum = |i: usize| {
        let (row, column) = (i / half, 2 * (i % half));
        let place = row * length + column;
        let even = Fraction { p: below.p[place], q: below.q[place] };
        if column + 1 == length {
            return (even.p, even.q);
        }
        let sum = even + Fraction { p: below.p[place + 1], q: below.q[place + 1] };
        (sum.p, sum.q)
    };
    let (p, q) = (0..len).into_par_iter().with_min_len(PARALLEL_FROM).map(sum).unzip();
    Fractions { shape, p, q }
}

/// Even and odd elements of every row.
pub fn split_rows(values: &[K], length: usize) -> [Vec<K>; 2] {
    let rows = values.chunks(length);
    let even = rows.clone().flat_map(|row| row.iter().copied().step_by(2)).collect();
    let pad = (!length.is_multiple_of(2)).then_some(K::ZERO);
    let odd = rows.flat_map(|row| row.iter().copied().skip(1).step_by(2).chain(pad)).collect();
    [even, odd]
}

/// One round of the sumcheck over a layer; `eq` is over the shape's halves.
pub fn fraction_round(shape: &[usize], [pe, qe, po, qo]: [&Vec<K>; 4], eq: &[K], c: K) -> [K; 3] {
    let length = row_length(shape);
    let half = length.div_ceil(2);
    let partial = |i: usize| {
        let (row, column) = (i / half, 2 * (i % half));
        let place = row * length + column;
        let at = |v: &[K]| {
            let lo = v[place];
            (lo, if column + 1 == length { K::ZERO } else { v[place + 1] })
        };
        let (pe, qe, po, qo) = (at(pe), at(qe), at(po), at(qo));
        let h = |pe: K, qe: K, po: K, qo: K| {
            let cross = qe * qo;
            pe * (K::ONE + qo) + po * (K::ONE + qe) + c * (qe + qo + cross)
        };
        let (dpe, dqe, dpo, dqo) = (pe.1 - pe.0, qe.1 - qe.0, po.1 - po.0, qo.1 - qo.0);
        let top = dpe * dqo + dpo * dqe + c * (dqe * dqo);
        let e = eq[i];
        [e * h(pe.0, qe.0, po.0, qo.0), e * h(pe.1, qe.1, po.1, qo.1), e * top]
    };
    let add = |a: [K; 3], b: [K; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
    (0..eq.len()).into_par_iter().with_min_len(PARALLEL_FROM / 4).map(partial).reduce(|| [K::ZERO; 3], add)
}

/// `eq(prefix of the point, .)` over the indices that a tensor of this shape has at every depth, the empty one first.
pub fn eq_prefixes(shape: &[usize], point: &[K]) -> Vec<Vec<K>> {
    let mut shapes = vec![shape.to_vec()];
    for _ in point {
        let next = halve(&shapes[shapes.len() - 1]);
        shapes.push(next);
    }
    shapes.reverse();
    let mut tables = vec![vec![K::ONE]];
    for (shape, &x) in shapes[1..].iter().zip(point) {
        let length = row_length(shape);
        let half = length.div_ceil(2);
        let last = &tables[tables.len() - 1];
        let mut table = Vec::with_capacity(shape.iter().product());
        for (i, &t) in last.iter().enumerate() {
            let hi = t * x;
            table.push(t - hi);
            if 2 * (i % half) + 1 < length {
                table.push(hi);
            }
        }
        tables.push(table);
    }
    tables
}
