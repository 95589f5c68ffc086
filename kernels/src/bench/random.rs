//! What the kernels are measured on: pseudo-random, and the same on every machine.

use super::Bench;
use crate::cuda::{Elements, Integers};
use crate::{Affine, Device, IntegerDevice, Ints};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use std::cell::Cell;
use verifier::field::{F, K};

/// A sequence of words.
pub struct Random(Cell<u64>);

impl Default for Random {
    fn default() -> Self {
        Self(Cell::new(0x2545_f491_4f6c_dd1d))
    }
}

impl Random {
    fn next(&self) -> u64 {
        let mut state = self.0.get();
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.0.set(state);
        state
    }
}

impl Bench<'_> {
    /// Integers of this many bits, in integers of as many bytes.
    pub fn integers(&self, bits: u32, len: usize) -> Integers {
        let values = (0..len).map(|_| self.random.next() as i64 >> (64 - bits));
        self.cuda.upload_integers(match bits {
            ..=8 => Ints::I8(values.map(|x| x as i8).collect()),
            9..=16 => Ints::I16(values.map(|x| x as i16).collect()),
            17..=32 => Ints::I32(values.map(|x| x as i32).collect()),
            _ => Ints::I64(values.collect()),
        })
    }

    /// An element of the extension field.
    pub fn element(&self) -> K {
        K::from_basis_coefficients_fn(|_| F::from_u64(self.random.next()))
    }

    /// A point, or weights.
    pub fn elements(&self, len: usize) -> Vec<K> {
        (0..len).map(|_| self.element()).collect()
    }

    /// A vector on the device, made there: a line through random words.
    pub fn vector(&self, column: &Integers) -> Elements {
        let terms = vec![(self.element(), column)];
        self.cuda.affine(&[Affine { len: self.cuda.count(column), constant: self.element(), terms }])
    }
}
