//! Trees of fractions `p / (1 + q)` and the sumcheck over one of their layers.
//!
//! Layers are tensors as long as they are: an odd end is paired with the fraction 0/1, so padding costs nothing.

use super::PARALLEL_FROM;
use super::product::fold_rows;
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::argument::logup::Fraction;
use verifier::field::K;

/// The shape of the layer above: the last axis that is longer than 1 is halved, rounded up.
pub fn halve(shape: &[usize]) -> Vec<usize> {
    let mut above = shape.to_vec();
    if let Some(d) = above.iter_mut().rev().find(|d| **d > 1) {
        *d = d.div_ceil(2);
    }
    above
}

/// Length of the rows whose neighbours are added: the last axis longer than 1.
fn row_length(shape: &[usize]) -> usize {
    shape.iter().rev().copied().find(|&d| d > 1).unwrap_or(1)
}

/// One layer of a tree.
#[derive(Clone, Debug)]
pub struct FractionLayer {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Numerators.
    pub p: Vec<K>,
    /// Denominators less one.
    pub q: Vec<K>,
}

/// All layers of a tree.
#[derive(Clone, Debug)]
pub struct FractionTree {
    /// From the root, which has one element, to the leaves.
    pub layers: Vec<FractionLayer>,
}

impl FractionTree {
    /// Adds up the leaves.
    pub fn new(leaves: FractionLayer) -> Self {
        let mut layers = vec![leaves];
        while let Some(below) = layers.last().filter(|l| l.p.len() > 1) {
            layers.push(above(below));
        }
        layers.reverse();
        Self { layers }
    }

    /// The sum.
    pub fn root(&self) -> Fraction {
        Fraction { p: self.layers[0].p[0], q: self.layers[0].q[0] }
    }
}

fn above(below: &FractionLayer) -> FractionLayer {
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
    FractionLayer { shape, p, q }
}

/// The sumcheck over one layer of one tree: even and odd children of each element, and `eq` at the claim's point.
#[derive(Clone, Debug)]
pub struct FractionRounds {
    shape: Vec<usize>,
    /// p even, q even, p odd, q odd.
    children: [Vec<K>; 4],
    /// For every number of leading variables: `eq` of the point's prefix over the prefix's indices.
    eq: Vec<Vec<K>>,
}

impl FractionRounds {
    /// Starts on the layer whose children are `below`, at the claim's point.
    pub fn new(below: &FractionLayer, point: &[K]) -> Self {
        let length = row_length(&below.shape);
        let split = |values: &[K]| -> (Vec<K>, Vec<K>) {
            let rows = values.chunks(length);
            let even = rows.clone().flat_map(|row| row.iter().copied().step_by(2)).collect();
            let pad = (length % 2 == 1 && length > 1).then_some(K::ZERO);
            let odd = rows.flat_map(|row| row.iter().copied().skip(1).step_by(2).chain(pad)).collect();
            (even, odd)
        };
        let (p_even, p_odd) = split(&below.p);
        let (q_even, q_odd) = split(&below.q);
        let shape = halve(&below.shape);
        Self { eq: eq_prefixes(&shape, point), shape, children: [p_even, q_even, p_odd, q_odd] }
    }

    /// `h(0)`, `h(1)` and the coefficient of `x^2` of `h(x) = sum eq * (P + c Q)` with the next variable at `x`; the
    /// factor `eq` of the bound variables and of the next one is left to the caller.
    pub fn round(&self, c: K) -> [K; 3] {
        let length = row_length(&self.shape);
        let half = length.div_ceil(2);
        let eq = &self.eq[self.eq.len() - 2];
        let [pe, qe, po, qo] = &self.children;
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

    /// Binds the next variable.
    pub fn fold(&mut self, r: K) {
        let length = row_length(&self.shape);
        for child in &mut self.children {
            *child = fold_rows(child, length, r);
        }
        self.shape = halve(&self.shape);
        self.eq.pop();
    }

    /// The even and odd children at the point of the sumcheck.
    pub fn finish(self) -> (Fraction, Fraction) {
        let [pe, qe, po, qo] = self.children;
        (Fraction { p: pe[0], q: qe[0] }, Fraction { p: po[0], q: qo[0] })
    }
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
