//! Section 2: what is read is absorbed; challenges come from BLAKE3 over everything absorbed.
//!
//! `digest = BLAKE3(last digest | absorbed since)`. Bytes are drawn from the digest's end; when they run out the digest is
//! hashed again; absorbing discards what has not been drawn.

use crate::error::Error;
use crate::field::{F, K, K_BYTES, from_word, word};
use std::collections::BTreeMap;

/// BLAKE3.
pub type Digest = [u8; 32];

/// The source of challenges.
#[derive(Clone, Debug)]
pub struct Sponge {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Sponge {
    /// A sponge that has absorbed the domain's name.
    pub fn new(domain: &str) -> Self {
        Self { input: domain.as_bytes().to_vec(), output: Vec::new() }
    }

    /// Absorbs bytes.
    pub fn absorb(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.output.clear();
            self.input.extend_from_slice(bytes);
        }
    }

    /// Absorbs an element of the challenge field.
    pub fn absorb_k(&mut self, x: K) {
        self.absorb(&x.to_bytes());
    }

    fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.output.pop() {
                return byte;
            }
            let digest = *blake3::hash(&self.input).as_bytes();
            self.input = digest.to_vec();
            self.output = digest.to_vec();
        }
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number of this many bits, at most 63.
    pub fn bits(&mut self, bits: usize) -> usize {
        (self.word() & ((1 << bits) - 1)) as usize
    }

    /// An element of the base field, by rejection.
    pub fn challenge_f(&mut self) -> F {
        loop {
            if let Some(x) = from_word(self.word()) {
                return x;
            }
        }
    }

    /// An element of the challenge field.
    pub fn challenge(&mut self) -> K {
        K(std::array::from_fn(|_| self.challenge_f()))
    }

    /// Whether the nonce makes the next `bits` bits zero; a difficulty of 0 absorbs nothing.
    pub fn check_nonce(&mut self, bits: usize, nonce: F) -> bool {
        if bits == 0 {
            return true;
        }
        // The nonce meets a fresh digest, and fills a block with it.
        self.byte();
        self.absorb(&word(nonce).to_le_bytes());
        self.absorb(&[0; 24]);
        self.bits(bits) == 0
    }
}

/// A part of a proof, read front to back.
#[derive(Clone, Debug)]
pub struct Transcript<'a> {
    /// The source of challenges.
    pub sponge: Sponge,
    rest: &'a [u8],
    /// Degrees of polynomials that a challenge must be a root of for a false claim to pass, summed by name.
    pub charged: BTreeMap<&'static str, u64>,
}

impl<'a> Transcript<'a> {
    /// Reads `proof` in a domain.
    pub fn new(domain: &str, proof: &'a [u8]) -> Self {
        Self { sponge: Sponge::new(domain), rest: proof, charged: BTreeMap::new() }
    }

    /// Absorbs known bytes under a name.
    pub fn absorb(&mut self, name: &str, bytes: &[u8]) {
        let mut framed = Vec::new();
        framed.extend_from_slice(&(name.len() as u64).to_le_bytes());
        framed.extend_from_slice(name.as_bytes());
        framed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        framed.extend_from_slice(bytes);
        self.sponge.absorb(blake3::hash(&framed).as_bytes());
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Error::Malformed("too short"))?;
        self.rest = tail;
        Ok(head)
    }

    /// Reads and absorbs an element of the challenge field.
    pub fn read(&mut self) -> Result<K, Error> {
        let x = element(self.take(K_BYTES)?)?;
        self.sponge.absorb_k(x);
        Ok(x)
    }

    /// Reads and absorbs `n` elements.
    pub fn read_all(&mut self, n: usize) -> Result<Vec<K>, Error> {
        (0..n).map(|_| self.read()).collect()
    }

    /// Reads and absorbs a digest.
    pub fn read_digest(&mut self) -> Result<Digest, Error> {
        let digest: Digest = self.take(32)?.try_into().map_err(|_| Error::Malformed("too short"))?;
        self.sponge.absorb(&digest);
        Ok(digest)
    }

    /// Reads a length of 32 bits and as many bytes, which are not absorbed here.
    pub fn read_message(&mut self) -> Result<&'a [u8], Error> {
        let length = self.take(4)?.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte));
        self.take(length)
    }

    /// A challenge.
    pub fn challenge(&mut self) -> K {
        self.sponge.challenge()
    }

    /// `n` challenges.
    pub fn challenges(&mut self, n: usize) -> Vec<K> {
        (0..n).map(|_| self.challenge()).collect()
    }

    /// Adds a degree to the account.
    pub fn charge(&mut self, name: &'static str, degree: usize) {
        *self.charged.entry(name).or_default() += degree as u64;
    }

    /// Refuses bytes after the end.
    pub fn finish(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed("bytes follow the end")) }
    }
}

/// An element of the challenge field from 24 bytes.
pub fn element(bytes: &[u8]) -> Result<K, Error> {
    let mut x = K::ZERO;
    for (coefficient, chunk) in x.0.iter_mut().zip(bytes.chunks_exact(8)) {
        let word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        *coefficient = from_word(word).ok_or(Error::Malformed("a word is not below the modulus"))?;
    }
    Ok(x)
}
