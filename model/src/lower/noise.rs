//! Noise: an input as fine as what it is added to, so that nothing is rounded for its sake.

use super::builder::{Domain, LIMIT, Overflow, bits_for};
use super::{Lowering, Quantised};
use crate::float::Value;
use verifier::graph::Port;
use verifier::sampling::{self, MAX_EXPONENT};

/// Fewest binary digits after the point of noise.
const LEAST: i32 = 16;

impl Lowering<'_> {
    /// `x + noise`. Where the keys of an index of its maximum would not fit, `x` loses as many of its last digits as that takes.
    pub(super) fn noisy(&mut self, x: Value) -> Result<Quantised, Overflow> {
        let mut x = self.raw(x)?;
        let keys = bits_for(self.builder.shape(x.tensor).last().map_or(1, |&n| n as i128)) + 1;
        // Half of it is for the noise.
        let room = LIMIT >> (keys + 1);
        let (lo, hi) = self.builder.interval(x.tensor);
        let (lo, hi) = (i128::from(lo), i128::from(hi));
        let beyond = bits_for((lo.abs().max(hi.abs()) + 1) / room + 1);
        let mut exponent = x.exponent.clamp(LEAST, MAX_EXPONENT);
        if beyond > 0 {
            let (lo, hi) = (lo >> beyond, (hi >> beyond) + 1);
            let domain = Domain::saturating(beyond, lo as i64, bits_for(hi - lo + 1));
            let tensor = self.builder.lookup("rounded", x.tensor, domain, None)?;
            x = Quantised { tensor, exponent: x.exponent - beyond as i32 };
            exponent = x.exponent.clamp(0, MAX_EXPONENT);
        }
        let shape = self.builder.shape(x.tensor);
        let layer = self.builder.layer.clone();
        let noise = self.builder.input("noise", shape, sampling::range(exponent))?;
        self.builder.layer.clone_from(&layer);
        self.builder.graph.inputs.push(Port { tensor: noise, exponent });
        let finest = exponent.max(x.exponent);
        let digits = |own: i32| 1i64 << (finest - own).min(62);
        let terms = [(digits(x.exponent), x.tensor), (digits(exponent), noise)];
        let tensor = self.builder.linear("noisy", 0, &terms)?;
        let (lo, hi) = self.builder.interval(tensor);
        let (lo, hi) = (i128::from(lo) << keys, i128::from(hi) << keys);
        if lo <= -LIMIT || hi >= LIMIT {
            return Err(Overflow { layer, what: "noisy".into(), lo, hi });
        }
        Ok(Quantised { tensor, exponent: finest })
    }
}

#[cfg(test)]
mod tests {
    use crate::ImportOptions;
    use crate::float::{Graph, Kind, Term};
    use crate::import::quantised;

    const TOKENS: usize = 256;
    const WIDTH: usize = 1024;

    fn spread(n: usize) -> f64 {
        (n * 7919 % 1009) as f64 / 504.5 - 1.0
    }

    /// Sums of products of three, of 52 bits and more: with 8 bits of keys, and noise, they do not fit.
    #[test]
    fn sums_that_leave_no_room_lose_their_last_digits() {
        let mut g = Graph { layer: "factors".into(), ..Graph::default() };
        let [x, y] = [0, 1].map(|position| g.input(position, &[WIDTH], Kind::Real));
        g.layer = "sum".into();
        let weights = g.constant(&[TOKENS, WIDTH], Kind::Real, (0..TOKENS * WIDTH).map(spread).collect());
        let operands = vec![(x, vec![1]), (y, vec![1]), (weights, vec![0, 1])];
        let sum = g.einsum(Kind::Real, vec![TOKENS, WIDTH], vec![0], vec![Term { coefficient: 1.0, operands }]);
        let noisy = g.noisy(sum);
        let chosen = g.arg_max(noisy, false);
        g.outputs.push(("chosen".into(), chosen));
        let input = |step: usize| (0..WIDTH).map(|i| spread(i * step + 3) as f32).collect();
        let samples = (1..5).map(|s| vec![input(s), input(s + 7)]).collect();
        let options = ImportOptions { samples, ..ImportOptions::default() };
        let model = quantised(g, &options).expect("it is imported").model;
        let tensor = |name: &str| model.graph.tensors.iter().find(|t| t.name == name).expect("there is such a tensor");
        let (wide, rounded, noise) = (tensor("sum"), tensor("sum/rounded"), model.graph.inputs[2]);
        assert!(wide.hi > 1 << 52 && rounded.hi < 1 << 52 && noise.exponent > 20, "{wide:?} {rounded:?} {noise:?}");
        // Without noise the choice is that of the model in floating point, on every sample.
        assert_eq!(model.report.outputs[0].max_error, 0.0);
    }
}
