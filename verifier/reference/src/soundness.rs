//! Section 12: the probabilities of accepting a false statement, and the bits of their union.

/// `log2 |K|`, rounded down.
const LOG2_K: f64 = 191.999;

/// Error terms, each as `-log2` of a probability.
#[derive(Clone, Debug, Default)]
pub struct Account {
    terms: Vec<f64>,
}

impl Account {
    /// Adds a probability of `2^-bits`.
    pub fn add(&mut self, bits: f64) {
        self.terms.push(bits);
    }

    /// Adds `degree / |K|`, times `2^log2_candidates` for polynomials that a root may still stand for.
    pub fn add_degree(&mut self, degree: u64, log2_candidates: f64) {
        let bits = LOG2_K - (degree.max(1) as f64).log2() - log2_candidates.max(0.0);
        self.add(bits.max(0.0));
    }

    /// The bits of the union.
    pub fn bits(&self) -> f64 {
        -self.terms.iter().map(|bits| (-bits).exp2()).sum::<f64>().log2()
    }
}
