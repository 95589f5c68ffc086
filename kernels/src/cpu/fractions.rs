//! Tensors of fractions `p / (1 + q)`: their sums, and the sumcheck over one layer of sums: see `verifier::argument::logup`.
//!
//! Layers are as long as they are: an odd end is paired with the fraction 0/1, so padding costs nothing.

use super::PARALLEL_FROM;
use super::rows::{Pairs, fold_rows, pairs};
use crate::sumcheck::{Children, Fractions, Layer, halve, row_length};
use p3_field::{BasedVectorSpace, Field, PrimeCharacteristicRing};
use rayon::prelude::*;
use std::collections::BTreeMap;
use verifier::argument::logup::Fraction;
use verifier::field::{F, K};
use verifier::transcript::{Transcript, Writer};

fn words(x: &K) -> [F; 3] {
    let words: &[F] = x.as_basis_coefficients_slice();
    [words[0], words[1], words[2]]
}

/// `a b + c d`, reduced once.
fn sum_of_products(a: K, b: K, c: K, d: K) -> K {
    let [a, b, c, d] = [&a, &b, &c, &d].map(words);
    // x^3 = x + 1: every coefficient of a product is a sum of three.
    let rows = |b: [F; 3]| [[b[0], b[2], b[1]], [b[1], b[0] + b[2], b[1] + b[2]], [b[2], b[1], b[0] + b[2]]];
    let (left, right) = (rows(b), rows(d));
    let factors = [a[0], a[1], a[2], c[0], c[1], c[2]];
    let coefficient = |[x, y, z]: [F; 3], [u, v, w]: [F; 3]| F::dot_product::<6>(&factors, &[x, y, z, u, v, w]);
    K::new([coefficient(left[0], right[0]), coefficient(left[1], right[1]), coefficient(left[2], right[2])])
}

/// Adds neighbours.
pub fn add_fractions(below: &Fractions<Vec<K>>) -> Fractions<Vec<K>> {
    let neighbours = Pairs::new(below.p.len(), row_length(&below.shape));
    let [p, q] = neighbours.map(|run, [p, q]| {
        let below = pairs(&below.p[run.elements.clone()]).zip(pairs(&below.q[run.elements]));
        for ((p, q), ((p0, p1), (q0, q1))) in p.iter_mut().zip(q).zip(below) {
            *p = p0 + p1 + sum_of_products(p0, q1, p1, q0);
            *q = q0 + q1 + q0 * q1;
        }
    });
    Fractions { shape: halve(&below.shape), p, q }
}

/// Of neighbours even `p0 / (1 + q0)` and odd `p1 / (1 + q1)`: `p0 + c q0`, `q0`, `p1`, `q1`.
fn split_fractions(below: &Fractions<Vec<K>>, c: K) -> [Vec<K>; 4] {
    let neighbours = Pairs::new(below.p.len(), row_length(&below.shape));
    neighbours.map(|run, [u, q_even, p_odd, q_odd]| {
        let below = pairs(&below.p[run.elements.clone()]).zip(pairs(&below.q[run.elements]));
        let out = u.iter_mut().zip(q_even).zip(p_odd.iter_mut().zip(q_odd));
        for (((u, q_even), (p_odd, q_odd)), ((p0, p1), (q0, q1))) in out.zip(below) {
            (*u, *q_even, *p_odd, *q_odd) = (p0 + c * q0, q0, p1, q1);
        }
    })
}

/// One round of the sumcheck over a layer; `eq` is over the shape's halves.
fn fraction_round(shape: &[usize], [u, q, p, r]: [&Vec<K>; 4], eq: &[K], c: K) -> [K; 2] {
    Pairs::new(u.len(), row_length(shape)).sum(|run| {
        let values = [u, q, p, r].map(|v| pairs(&v[run.elements.clone()]));
        let [u, q, p, r] = values;
        let mut sums = [K::ZERO; 2];
        for ((((&e, u), q), p), r) in eq[run.pairs].iter().zip(u).zip(q).zip(p).zip(r) {
            let at_zero = u.0 + p.0 + sum_of_products(r.0, u.0 + c, p.0, q.0);
            let top = sum_of_products(r.1 - r.0, u.1 - u.0, p.1 - p.0, q.1 - q.0);
            sums[0] += e * at_zero;
            sums[1] += e * top;
        }
        sums
    })
}

/// What the rounds so far leave: the claim on the sum of the quadratic factor, and `eq` of the bound variables.
struct Claim {
    value: K,
    bound: K,
}

impl Claim {
    /// Writes the round polynomial's values, given `h(0)` and the coefficient of `x^2` of its quadratic factor, and draws the challenge.
    fn round(&mut self, z: K, [at_zero, top]: [K; 2], transcript: &mut Writer) -> K {
        // The claim is (1 - z) h(0) + z h(1). A challenge z that is 0 would leave h(1) open; no prover meets one.
        let at_one = (self.value - (K::ONE - z) * at_zero) * z.try_inverse().unwrap_or(K::ZERO);
        let linear = at_one - at_zero - top;
        let h = |x: K| at_zero + x * (linear + x * top);
        let eq = |x: K| z * x + (K::ONE - z) * (K::ONE - x);
        transcript.write_all(&[0, 2, 3].map(|x| self.bound * eq(K::from_usize(x)) * h(K::from_usize(x))));
        let x = transcript.challenge();
        *self = Self { value: h(x), bound: self.bound * eq(x) };
        x
    }
}

/// A tree in the rounds of a layer.
struct Tree {
    shape: Vec<usize>,
    /// As they are split.
    children: [Vec<K>; 4],
}

/// All rounds of a layer, and what is left of it. The summand's factor `eq` is linear in each variable, so the loops compute only the other,
/// quadratic factor, and of that no value that follows from the claim (Gruen 2024/108, section 3).
pub fn fraction_sumcheck(layer: &Layer<Vec<K>>, transcript: &mut Writer) -> Children {
    let Layer { below, point, c, claim } = layer;
    // Many lookups have one shape.
    let mut eq: BTreeMap<&[usize], Vec<Vec<K>>> = BTreeMap::new();
    if let Some((_, prefix)) = point.split_last() {
        for below in below {
            eq.entry(&below.shape).or_insert_with(|| eq_prefixes(&halve(&halve(&below.shape)), prefix));
        }
    }
    let split = |below: &&Fractions<Vec<K>>| Tree { shape: halve(&below.shape), children: split_fractions(below, *c) };
    let mut trees: Vec<Tree> = below.iter().map(split).collect();
    let mut claim = Claim { value: *claim, bound: K::ONE };
    let mut reduced = Vec::with_capacity(point.len());
    for (open, &z) in point.iter().enumerate().rev() {
        let mut h = [K::ZERO; 2];
        for ((tree, below), power) in trees.iter().zip(below).zip(c.square().powers()) {
            let part = fraction_round(&tree.shape, tree.children.each_ref(), &eq[below.shape.as_slice()][open], *c);
            h.iter_mut().zip(part).for_each(|(h, p)| *h += power * p);
        }
        let x = claim.round(z, h, transcript);
        for Tree { shape, children } in &mut trees {
            let length = row_length(shape);
            children.iter_mut().for_each(|child| *child = fold_rows(child, length, x));
            *shape = halve(shape);
        }
        reduced.push(x);
    }
    reduced.reverse();
    let ends = trees.iter().map(|tree| {
        let [u, q_even, p_odd, q_odd] = tree.children.each_ref().map(|child| child[0]);
        [Fraction { p: u - *c * q_even, q: q_even }, Fraction { p: p_odd, q: q_odd }]
    });
    Children { point: reduced, pairs: ends.collect() }
}

/// Of every element `t` the pair `t (1 - x)`, `t x`, in rows of this length.
fn unfold_rows(values: &[K], elements: usize, length: usize, x: K) -> Vec<K> {
    let half = length.div_ceil(2);
    let mut out = K::zero_vec(elements);
    let rows = out.par_chunks_mut(length).zip(values.par_chunks(half));
    rows.with_min_len(PARALLEL_FROM.div_ceil(length)).for_each(|(out, row)| {
        let parts = out.par_chunks_mut(2 * PARALLEL_FROM).zip(row.par_chunks(PARALLEL_FROM));
        parts.for_each(|(out, row)| {
            for (out, &t) in out.chunks_mut(2).zip(row) {
                let hi = t * x;
                out[0] = t - hi;
                if let [_, odd] = out {
                    *odd = hi;
                }
            }
        });
    });
    out
}

/// `eq(prefix of the point, .)` over the indices that a tensor of this shape has at every depth, the empty one first.
fn eq_prefixes(shape: &[usize], point: &[K]) -> Vec<Vec<K>> {
    let mut shapes = vec![shape.to_vec()];
    for _ in point {
        let next = halve(&shapes[shapes.len() - 1]);
        shapes.push(next);
    }
    shapes.reverse();
    let mut tables = vec![vec![K::ONE]];
    for (shape, &x) in shapes[1..].iter().zip(point) {
        let length = row_length(shape);
        let last = &tables[tables.len() - 1];
        tables.push(unfold_rows(last, shape.iter().product(), length, x));
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::fold_rows;

    fn values(count: usize, seed: u64) -> Vec<K> {
        let element = |i: u64| K::from_basis_coefficients_fn(|j| -F::from_u64(i * 3 + j as u64 + seed).exp_u64(7));
        (0..count as u64).map(element).collect()
    }

    /// The sum of two fractions, from its definition.
    fn sum((p0, q0): (K, K), (p1, q1): (K, K)) -> (K, K) {
        let (d0, d1) = (K::ONE + q0, K::ONE + q1);
        (p0 * d1 + p1 * d0, d0 * d1 - K::ONE)
    }

    #[test]
    fn a_layer_is_the_sums_of_neighbours_and_a_round_of_it_its_polynomial() {
        for shape in [vec![1], vec![5], vec![2, 3], vec![3, 7, 1], vec![3, 4099], vec![2050, 3]] {
            let (count, length) = (shape.iter().product(), row_length(&shape));
            let below = Fractions { p: values(count, 1), q: values(count, 2), shape };
            let above = add_fractions(&below);
            let children = split_fractions(&below, K::TWO);
            let odd = |v: &[K], place: usize| if place % length + 1 < length { v[place + 1] } else { K::ZERO };
            let half = length.div_ceil(2);
            for (i, sums) in above.p.iter().copied().zip(above.q.iter().copied()).enumerate() {
                let place = i / half * length + 2 * (i % half);
                let (even, odd) = ((below.p[place], below.q[place]), (odd(&below.p, place), odd(&below.q, place)));
                assert_eq!(sums, sum(even, odd));
                let [u, q, p, r] = children.each_ref().map(|child| child[i]);
                let split = (u - K::TWO * even.1, q, (p, r));
                assert_eq!(split, (even.0, even.1, odd));
            }
            let (shape, length) = (&above.shape, row_length(&above.shape));
            let eq = values(halve(shape).iter().product(), 3);
            let [at_zero, top] = fraction_round(shape, children.each_ref(), &eq, K::TWO);
            let h = |x: K| -> K {
                let [u, q, p, r] = children.each_ref().map(|child| fold_rows(child, length, x));
                let at = |i: usize| {
                    let (p, q) = sum((u[i] - K::TWO * q[i], q[i]), (p[i], r[i]));
                    eq[i] * (p + K::TWO * q)
                };
                (0..eq.len()).map(at).sum()
            };
            assert_eq!(at_zero, h(K::ZERO));
            assert_eq!(top.double(), h(K::TWO) - h(K::ONE).double() + h(K::ZERO));
        }
    }
}
