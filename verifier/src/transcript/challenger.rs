//! BLAKE3 in duplex use over canonical 64-bit words, with grinding that always finds the smallest nonce.
//!
//! The smallest nonce makes a proof a function of its statement: any thread count and any device give the same bytes.

use crate::field::F;
use p3_blake3::Blake3;
use p3_challenger::{
    CanObserve, CanSample, CanSampleBits, CanSampleUniformBits, FieldChallenger, GrindingChallenger, HashChallenger,
    ResamplingError, SerializingChallenger64,
};
use p3_field::PrimeCharacteristicRing;
use p3_maybe_rayon::prelude::*;

type Sponge = SerializingChallenger64<F, HashChallenger<u8, Blake3, 32>>;

/// Most nonces tried side by side, as a power of two.
const MAX_LOG_BATCH: usize = 14;

/// The source of every challenge.
#[derive(Clone, Debug)]
pub struct Challenger(Sponge);

impl Challenger {
    /// A challenger whose state is the domain's bytes.
    pub fn new(domain: &[u8]) -> Self {
        Self(Sponge::from_hasher(domain.to_vec(), Blake3))
    }
}

impl<T> CanObserve<T> for Challenger
where
    Sponge: CanObserve<T>,
{
    fn observe(&mut self, value: T) {
        self.0.observe(value);
    }
}

impl<T> CanSample<T> for Challenger
where
    Sponge: CanSample<T>,
{
    fn sample(&mut self) -> T {
        self.0.sample()
    }
}

impl CanSampleBits<usize> for Challenger {
    fn sample_bits(&mut self, bits: usize) -> usize {
        self.0.sample_bits(bits)
    }
}

impl CanSampleUniformBits<F> for Challenger {
    fn sample_uniform_bits<const RESAMPLE: bool>(&mut self, bits: usize) -> Result<usize, ResamplingError> {
        CanSampleUniformBits::<F>::sample_uniform_bits::<RESAMPLE>(&mut self.0, bits)
    }
}

impl FieldChallenger<F> for Challenger {}

impl GrindingChallenger for Challenger {
    type Witness = F;

    fn grind(&mut self, bits: usize) -> F {
        if bits == 0 {
            return F::ZERO;
        }
        let passes = |&nonce: &u64| self.0.clone().check_witness(bits, F::from_u64(nonce));
        // A whole batch is tried before its minimum is taken, so batches are small beside the expected search.
        let batch = 1u64 << bits.saturating_sub(2).min(MAX_LOG_BATCH);
        let nonce = (0..)
            .step_by(batch as usize)
            .find_map(|start| (start..start + batch).into_par_iter().filter(passes).min())
            .map_or(F::ZERO, F::from_u64);
        let found = self.0.check_witness(bits, nonce);
        debug_assert!(found);
        nonce
    }

    fn check_witness(&mut self, bits: usize, witness: F) -> bool {
        self.0.check_witness(bits, witness)
    }
}
