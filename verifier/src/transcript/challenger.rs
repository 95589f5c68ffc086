//! The source of challenges: BLAKE3 over everything absorbed, 64-bit words in canonical little-endian form.
//!
//! `digest = BLAKE3(last digest ++ absorbed since)`; bytes are drawn from the digest's end, and the next digest follows when they
//! run out. Grinding finds the smallest nonce, so that a proof is a function of its statement on any machine.

use crate::field::F;
use alloc::vec::Vec;
use p3_blake3::Blake3;
use p3_challenger::{
    CanObserve, CanSample, CanSampleBits, CanSampleUniformBits, FieldChallenger, GrindingChallenger, ResamplingError,
};
use p3_field::{PrimeCharacteristicRing, PrimeField64};
use p3_maybe_rayon::prelude::*;
use p3_symmetric::{CryptographicHasher, Hash, MerkleCap};

/// Bytes of a digest.
const DIGEST: usize = 32;
/// A digest and a nonce, filled with zeros to one block of BLAKE3, so that several are hashed at once.
const ATTEMPT: usize = 64;
/// Nonces that one task tries.
const TASK: u64 = 64;
/// Most nonces tried side by side before their smallest is taken, as a power of two.
const MAX_LOG_BATCH: usize = 14;

/// The source of every challenge.
#[derive(Clone, Debug)]
pub struct Challenger {
    /// The last digest and all that was absorbed since.
    absorbed: Vec<u8>,
    /// The last digest, of which the first `unread` bytes have not been drawn.
    digest: [u8; DIGEST],
    unread: usize,
}

impl Challenger {
    /// A challenger that has absorbed the domain's bytes.
    pub fn new(domain: &[u8]) -> Self {
        Self { absorbed: domain.to_vec(), digest: [0; DIGEST], unread: 0 }
    }

    /// What the next digest is of, once something more has been absorbed.
    pub fn pending(&self) -> &[u8] {
        &self.absorbed
    }

    fn absorb(&mut self, bytes: &[u8]) {
        self.absorbed.extend_from_slice(bytes);
        self.unread = 0;
    }

    fn byte(&mut self) -> u8 {
        if self.unread == 0 {
            self.digest = *blake3::hash(&self.absorbed).as_bytes();
            self.absorbed.clear();
            self.absorbed.extend_from_slice(&self.digest);
            self.unread = DIGEST;
        }
        self.unread -= 1;
        self.digest[self.unread]
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|_| self.byte()))
    }

    /// Condenses what was absorbed, so that an attempt hashes one block only.
    fn condense(&mut self) {
        let _ = self.byte();
    }

    fn absorb_nonce(&mut self, nonce: u64) {
        let mut padded = [0; ATTEMPT - DIGEST];
        padded[..8].copy_from_slice(&nonce.to_le_bytes());
        self.absorb(&padded);
    }
}

impl CanObserve<F> for Challenger {
    fn observe(&mut self, value: F) {
        self.absorb(&value.as_canonical_u64().to_le_bytes());
    }
}

impl CanObserve<Hash<F, u8, DIGEST>> for Challenger {
    fn observe(&mut self, digest: Hash<F, u8, DIGEST>) {
        self.absorb(digest.as_ref());
    }
}

impl CanObserve<MerkleCap<F, [u8; DIGEST]>> for Challenger {
    fn observe(&mut self, cap: MerkleCap<F, [u8; DIGEST]>) {
        cap.roots().iter().for_each(|root| self.absorb(root));
    }
}

impl CanSample<F> for Challenger {
    /// Uniform: words that are not below the modulus are passed over.
    fn sample(&mut self) -> F {
        loop {
            let word = self.word();
            if word < F::ORDER_U64 {
                return F::from_u64(word);
            }
        }
    }
}

impl CanSampleBits<usize> for Challenger {
    fn sample_bits(&mut self, bits: usize) -> usize {
        (self.word() & low_bits(bits)) as usize
    }
}

impl CanSampleUniformBits<F> for Challenger {
    fn sample_uniform_bits<const RESAMPLE: bool>(&mut self, bits: usize) -> Result<usize, ResamplingError> {
        Ok(self.sample_bits(bits))
    }
}

impl FieldChallenger<F> for Challenger {}

impl GrindingChallenger for Challenger {
    type Witness = F;

    fn grind(&mut self, bits: usize) -> F {
        if bits == 0 {
            return F::ZERO;
        }
        let mut condensed = self.clone();
        condensed.condense();
        // A whole batch is tried before its minimum is taken, so batches are small beside the expected search.
        let tasks = (1u64 << bits.saturating_sub(2).min(MAX_LOG_BATCH)).div_ceil(TASK);
        let nonce = (0u64..)
            .find_map(|batch| {
                let tasks = (batch * tasks..(batch + 1) * tasks).into_par_iter();
                tasks.filter_map(|task| smallest_nonce(&condensed.digest, task * TASK, bits)).min()
            })
            .map_or(F::ZERO, F::from_u64);
        let found = self.check_witness(bits, nonce);
        debug_assert!(found);
        nonce
    }

    fn check_witness(&mut self, bits: usize, witness: F) -> bool {
        if bits == 0 {
            return true;
        }
        self.condense();
        self.absorb_nonce(witness.as_canonical_u64());
        self.sample_bits(bits) == 0
    }
}

fn low_bits(bits: usize) -> u64 {
    u64::MAX.checked_shr(u64::BITS - bits as u32).unwrap_or(0)
}

/// The smallest of `TASK` nonces from `first` whose digest ends in `bits` zero bits.
fn smallest_nonce(condensed: &[u8; DIGEST], first: u64, bits: usize) -> Option<u64> {
    let mut attempts = [[0; ATTEMPT]; TASK as usize];
    for (attempt, nonce) in attempts.iter_mut().zip(first..) {
        attempt[..DIGEST].copy_from_slice(condensed);
        attempt[DIGEST..DIGEST + 8].copy_from_slice(&nonce.to_le_bytes());
    }
    let mut digests = [[0; DIGEST]; TASK as usize];
    Blake3.hash_many(attempts.as_flattened(), &mut digests);
    // The last eight bytes are drawn first, backwards.
    let word =
        |digest: &[u8; DIGEST]| digest[DIGEST - 8..].iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    (first..).zip(&digests).find(|(_, digest)| word(digest) & low_bits(bits) == 0).map(|(nonce, _)| nonce)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::K;
    use p3_challenger::{HashChallenger, SerializingChallenger64};

    #[test]
    fn challenges_are_those_of_p3() {
        let mut ours = Challenger::new(b"domain");
        let mut theirs =
            SerializingChallenger64::<F, HashChallenger<u8, Blake3, 32>>::from_hasher(b"domain".to_vec(), Blake3);
        for round in 0..20u64 {
            for x in 0..round {
                ours.observe(F::from_u64(x * x + round));
                theirs.observe(F::from_u64(x * x + round));
            }
            let digest = Hash::<F, u8, 32>::from([round as u8; 32]);
            ours.observe(digest);
            theirs.observe(digest);
            for bits in 1..round as usize {
                assert_eq!(ours.sample_bits(bits), theirs.sample_bits(bits));
            }
            let (a, b): (K, K) = (ours.sample_algebra_element(), theirs.sample_algebra_element());
            assert_eq!(a, b);
        }
    }

    #[test]
    fn grinding_finds_the_smallest_nonce() {
        for bits in [1, 5, 10] {
            let mut challenger = Challenger::new(b"grind");
            challenger.observe(F::from_u64(bits as u64));
            let passes = |nonce: u64| challenger.clone().check_witness(bits, F::from_u64(nonce));
            let expected = (0..).find(|&nonce| passes(nonce));
            assert_eq!(challenger.clone().grind(bits), F::from_u64(expected.unwrap_or_default()));
        }
    }
}
