//! The prover's state in a sumcheck over a product of tensors that share axes:
//! `scale * sum_x prod_f factor_f[x restricted to its axes]`, bound from the last axis's last bit on.

use kernels::{Device, Factor};
use verifier::field::K;

/// See the module; every joint axis is in some factor.
#[derive(Debug)]
pub struct Product<'d, D: Device> {
    device: &'d D,
    dims: Vec<usize>,
    factors: Vec<Factor<D::Extension>>,
    scale: K,
}

impl<'d, D: Device> Product<'d, D> {
    /// A product over joint axes of lengths `dims`.
    pub fn new(device: &'d D, dims: Vec<usize>, factors: Vec<Factor<D::Extension>>, scale: K) -> Self {
        Self { device, dims, factors, scale }
    }

    /// The sum itself.
    pub fn total(&self) -> K {
        self.scale * self.device.product_total(&self.dims, &self.factors)
    }

    /// The axis whose last bit is bound next; `None` when all are bound.
    fn axis(&self) -> Option<usize> {
        self.dims.iter().rposition(|&d| d > 1)
    }

    /// Whether all variables are bound.
    pub fn is_bound(&self) -> bool {
        self.axis().is_none()
    }

    /// The round polynomial's values at 0, 2, 3, .., `degree`.
    pub fn round(&self, degree: usize) -> Vec<K> {
        let mut values = self.device.product_round(&self.dims, &self.factors, degree);
        values.iter_mut().for_each(|v| *v *= self.scale);
        values
    }

    /// Binds the next variable.
    pub fn fold(&mut self, x: K) {
        let Some(axis) = self.axis() else { return };
        for factor in self.factors.iter_mut().filter(|f| f.axes.contains(&axis)) {
            self.device.fold_rows(&mut factor.values, self.dims[axis], x);
        }
        self.dims[axis] = self.dims[axis].div_ceil(2);
    }

    /// The factors' values once all variables are bound.
    pub fn finish(self) -> Vec<K> {
        self.factors.iter().flat_map(|f| self.device.download(&f.values)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Cpu;
    use p3_field::PrimeCharacteristicRing;
    use verifier::argument::sumcheck::evaluate_round;
    use verifier::multilinear::axis_bits;

    fn element(i: usize) -> K {
        K::from_usize(i * i + 3).exp_u64(7)
    }

    #[test]
    fn every_round_sums_to_the_claim_and_folds_to_the_next() {
        let dims = [3, 1, 6, 5];
        for axes in
            [vec![vec![0, 1, 2, 3]], vec![vec![0, 3], vec![2, 3]], vec![vec![0, 1], vec![2], vec![1, 2, 3], vec![3]]]
        {
            let factors: Vec<Factor<Vec<K>>> = axes
                .into_iter()
                .map(|axes: Vec<usize>| {
                    let len: usize = axes.iter().map(|&a| dims[a]).product();
                    Factor { values: (0..len).map(|i| element(i + axes.len() * 100)).collect(), axes }
                })
                .collect();
            let degree = factors.len();
            // Axes that no factor has would be summed as ones: give each an owner.
            let dims: Vec<usize> =
                (0..4).map(|a| if factors.iter().any(|f| f.axes.contains(&a)) { dims[a] } else { 1 }).collect();
            let variables: usize = dims.iter().map(|&d| axis_bits(d)).sum();
            let mut product = Product::new(&Cpu, dims, factors, element(9));
            let mut claim = product.total();
            for round in 0..variables {
                let message = product.round(degree);
                let r = element(round + 50);
                claim = evaluate_round(&message, claim, r);
                product.fold(r);
                assert_eq!(product.total(), claim, "round {round}");
            }
            assert!(product.is_bound());
            let scale = product.scale;
            assert_eq!(product.finish().into_iter().product::<K>() * scale, claim);
        }
    }
}
