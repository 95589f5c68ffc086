//! Rounds of WHIR's sumcheck over the product of the polynomial and its weights.

use kernels::Device;
use p3_sumcheck::SumcheckData;
use p3_sumcheck::strategy::Basis;
use p3_sumcheck::transcript::{ProverTranscript, SumcheckShape};
use verifier::field::{F, K};
use verifier::transcript::Challenger;

/// `sum_i values[i] * weights[i]`, variables bound from the least significant on.
pub struct Pair<'a, D: Device> {
    /// Where the vectors live.
    pub device: &'a D,
    /// One factor.
    pub values: D::Extension,
    /// The other.
    pub weights: D::Extension,
}

impl<D: Device> Pair<'_, D> {
    /// Plays `rounds` rounds; returns the messages and the challenges.
    pub fn rounds(
        &mut self,
        rounds: usize,
        pow_bits: usize,
        challenger: &mut Challenger,
    ) -> (SumcheckData<F, K>, Vec<K>) {
        let mut data = SumcheckData::default();
        let shape = SumcheckShape::new(rounds, pow_bits, Basis::Evaluation);
        let mut transcript = ProverTranscript::<Challenger, F, K>::new(challenger, shape);
        let mut challenges = Vec::with_capacity(rounds);
        let mut message = None;
        for left in (0..rounds).rev() {
            let [constant, leading] = message.unwrap_or_else(|| self.device.round(&self.values, &self.weights));
            let x = data.observe_and_sample(&mut transcript, constant, leading);
            if left > 0 {
                message = Some(self.device.fold_round(&mut self.values, &mut self.weights, x));
            } else {
                self.device.fold(&mut self.values, &mut self.weights, x);
            }
            challenges.push(x);
        }
        transcript.finish();
        (data, challenges)
    }
}
