//! Trees of fractions `p / (1 + q)`.

use kernels::{Device, Fractions};
use verifier::argument::logup::Fraction;

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

    /// The sums of trees.
    pub fn roots(device: &D, trees: &[Self]) -> Vec<Fraction> {
        let roots: Vec<&D::Extension> = trees.iter().flat_map(|tree| [&tree.layers[0].p, &tree.layers[0].q]).collect();
        let roots = device.download_all(&roots).concat();
        roots.chunks_exact(2).map(|root| Fraction { p: root[0], q: root[1] }).collect()
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
