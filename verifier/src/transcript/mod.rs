//! The proof is the transcript: what the prover writes it absorbs in the same call, and the verifier can read only by
//! absorbing. Nothing is left over: [`Reader::finish`] refuses trailing bytes.
//!
//! Values that both sides know (the statement) are absorbed by [`Transcript::absorb`], lengths before contents.

mod challenger;

use crate::field::{F, K, K_BYTES, k_from_bytes, k_to_bytes};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
pub use challenger::Challenger;
use p3_challenger::{CanObserve, FieldChallenger};
use p3_symmetric::Hash;
use thiserror::Error;

/// A digest: BLAKE3, 32 bytes.
pub type Digest = [u8; 32];

/// Why bytes are not a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The proof ends early.
    #[error("the proof is too short")]
    TooShort,
    /// The proof goes on after its end.
    #[error("{0} bytes follow the end of the proof")]
    Trailing(usize),
    /// A word that is not below the modulus.
    #[error("a field element is not canonical")]
    NotCanonical,
}

/// What both sides do alike.
pub trait Transcript {
    /// The challenger, for sub-protocols that bring their own proof format.
    fn challenger(&mut self) -> &mut Challenger;

    /// Absorbs bytes that both sides know, under a name.
    fn absorb(&mut self, name: &str, bytes: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        let digest = *hasher.finalize().as_bytes();
        observe_digest(self.challenger(), digest);
    }

    /// A challenge.
    fn challenge(&mut self) -> K {
        self.challenger().sample_algebra_element()
    }

    /// Several challenges.
    fn challenges(&mut self, n: usize) -> Vec<K> {
        (0..n).map(|_| self.challenge()).collect()
    }
}

fn observe_digest(challenger: &mut Challenger, digest: Digest) {
    challenger.observe(Hash::<F, u8, 32>::from(digest));
}

/// The prover's side: grows the proof.
#[derive(Clone, Debug)]
pub struct Writer {
    challenger: Challenger,
    proof: Vec<u8>,
}

impl Writer {
    /// An empty proof in the domain `name`.
    pub fn new(name: &str) -> Self {
        Self { challenger: Challenger::new(name.as_bytes()), proof: Vec::new() }
    }

    /// Writes and absorbs one element.
    pub fn write(&mut self, x: K) {
        self.challenger.observe_algebra_element(x);
        self.proof.extend_from_slice(&k_to_bytes(x));
    }

    /// Writes and absorbs elements; their number is known to both sides.
    pub fn write_all(&mut self, xs: &[K]) {
        xs.iter().for_each(|&x| self.write(x));
    }

    /// Writes and absorbs a digest.
    pub fn write_digest(&mut self, digest: Digest) {
        observe_digest(&mut self.challenger, digest);
        self.proof.extend_from_slice(&digest);
    }

    /// Appends the message of a sub-protocol that has absorbed its parts through [`Transcript::challenger`].
    pub fn write_message(&mut self, bytes: &[u8]) {
        self.proof.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.proof.extend_from_slice(bytes);
    }

    /// The proof.
    pub fn finish(self) -> Vec<u8> {
        self.proof
    }
}

impl Transcript for Writer {
    fn challenger(&mut self) -> &mut Challenger {
        &mut self.challenger
    }
}

/// The verifier's side: consumes the proof.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    challenger: Challenger,
    rest: &'a [u8],
    charged: BTreeMap<&'static str, u64>,
}

impl<'a> Reader<'a> {
    /// Reads `proof` in the domain `name`.
    pub fn new(name: &str, proof: &'a [u8]) -> Self {
        Self { challenger: Challenger::new(name.as_bytes()), rest: proof, charged: BTreeMap::new() }
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], ReadError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(ReadError::TooShort)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads and absorbs one element.
    ///
    /// # Errors
    /// If the proof is too short or the element is not canonical.
    pub fn read(&mut self) -> Result<K, ReadError> {
        let x = k_from_bytes(self.take::<K_BYTES>()?).ok_or(ReadError::NotCanonical)?;
        self.challenger.observe_algebra_element(x);
        Ok(x)
    }

    /// Reads and absorbs `n` elements.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_all(&mut self, n: usize) -> Result<Vec<K>, ReadError> {
        // Bounded before anything is allocated.
        if self.rest.len() / K_BYTES < n {
            return Err(ReadError::TooShort);
        }
        (0..n).map(|_| self.read()).collect()
    }

    /// Reads and absorbs a digest.
    ///
    /// # Errors
    /// If the proof is too short.
    pub fn read_digest(&mut self) -> Result<Digest, ReadError> {
        let digest = *self.take::<32>()?;
        observe_digest(&mut self.challenger, digest);
        Ok(digest)
    }

    /// The message of a sub-protocol, which must absorb its parts through [`Transcript::challenger`].
    ///
    /// # Errors
    /// If the proof is too short.
    pub fn read_message(&mut self) -> Result<&'a [u8], ReadError> {
        let len = u32::from_le_bytes(*self.take::<4>()?) as usize;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(ReadError::TooShort)?;
        self.rest = rest;
        Ok(head)
    }

    /// Notes that a false claim passes this part of the argument with probability `degree / |K|` at most: the degree of a
    /// polynomial, non-zero for a false claim, that a challenge must be a root of.
    pub fn charge(&mut self, name: &'static str, degree: u64) {
        *self.charged.entry(name).or_default() += degree;
    }

    /// The sums of all charged degrees, by name.
    pub fn charged(&self) -> Vec<(&'static str, u64)> {
        self.charged.iter().map(|(&name, &degree)| (name, degree)).collect()
    }

    /// Ends the proof.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn finish(self) -> Result<(), ReadError> {
        if self.rest.is_empty() { Ok(()) } else { Err(ReadError::Trailing(self.rest.len())) }
    }
}

impl Transcript for Reader<'_> {
    fn challenger(&mut self) -> &mut Challenger {
        &mut self.challenger
    }
}
