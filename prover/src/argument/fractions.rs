//! Trees of fractions `p / (1 + q)`, and the prover's state in the sumcheck over one of their layers.

use kernels::cpu::{halve, row_length};
use kernels::{Device, Fractions};
use std::rc::Rc;
use verifier::argument::logup::Fraction;
use verifier::field::K;

/// All layers of a tree, from the root, which has one element, to the leaves.
#[derive(Debug)]
pub struct Tree<D: Device> {
    layers: Vec<Fractions<D::Extension>>,
}

impl<D: Device> Tree<D> {
    /// Adds up the leaves.
    pub fn new(device: &D, leaves: Fractions<D::Extension>) -> Self {
        let mut layers = vec![leaves];
        while let Some(below) = layers.last().filter(|l| l.shape.iter().any(|&d| d > 1)) {
            layers.push(device.add_fractions(below));
        }
        layers.reverse();
        Self { layers }
    }

    /// The sum.
    pub fn root(&self, device: &D) -> Fraction {
        first(device, &self.layers[0].p, &self.layers[0].q)
    }

    /// Number of variables of the leaves.
    pub fn variables(&self) -> usize {
        self.layers.len() - 1
    }

    /// The layer of `2^depth` (padded) elements.
    pub fn layer(&self, depth: usize) -> &Fractions<D::Extension> {
        &self.layers[depth]
    }
}

fn first<D: Device>(device: &D, p: &D::Extension, q: &D::Extension) -> Fraction {
    Fraction { p: device.download(p)[0], q: device.download(q)[0] }
}

/// For every proper prefix of a point, from none: `eq` of it over the indices that a layer's tensor has at that depth.
#[derive(Debug)]
pub struct EqPrefixes<D: Device>(Vec<D::Extension>);

impl<D: Device> EqPrefixes<D> {
    /// Over the layer whose children have the shape `below`.
    pub fn new(device: &D, below: &[usize], point: &[K]) -> Self {
        let Some((_, prefix)) = point.split_last() else { return Self(Vec::new()) };
        Self(device.eq_prefixes(&halve(&halve(below)), prefix))
    }
}

/// The sumcheck over one layer of one tree: even and odd children of each element, and `eq` at the claim's point.
#[derive(Debug)]
pub struct Rounds<D: Device> {
    shape: Vec<usize>,
    /// The factor of `q` in the claim, beside `p`.
    c: K,
    /// p + c q even, q even, p odd, q odd.
    children: [D::Extension; 4],
    eq: Rc<EqPrefixes<D>>,
    /// Variables that are not bound.
    open: usize,
}

impl<D: Device> Rounds<D> {
    /// Starts on the layer whose children are `below`, at the claim's point, of which `eq` knows the prefixes.
    pub fn new(device: &D, below: &Fractions<D::Extension>, eq: Rc<EqPrefixes<D>>, c: K) -> Self {
        let children = device.split_fractions(below, c);
        Self { shape: halve(&below.shape), c, children, open: eq.0.len(), eq }
    }

    /// `h(0)` and the coefficient of `x^2`; the factor `eq` of the bound variables and of the next one is left to the caller.
    pub fn round(&self, device: &D) -> [K; 2] {
        device.fraction_round(&self.shape, self.children.each_ref(), &self.eq.0[self.open - 1], self.c)
    }

    /// Binds the next variable.
    pub fn fold(&mut self, device: &D, x: K) {
        let length = row_length(&self.shape);
        self.children.iter_mut().for_each(|child| device.fold_rows(child, length, x));
        self.shape = halve(&self.shape);
        self.open -= 1;
    }

    /// The even and odd children at the point of the sumcheck.
    pub fn finish(self, device: &D) -> (Fraction, Fraction) {
        let [u, q_even, p_odd, q_odd] = &self.children;
        let even = first(device, u, q_even);
        (Fraction { p: even.p - self.c * even.q, ..even }, first(device, p_odd, q_odd))
    }
}
