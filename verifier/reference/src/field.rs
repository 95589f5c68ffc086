//! Section 1, fields: `F` is Goldilocks, `p = 2^64 - 2^32 + 1`; `K = F[x] / (x^3 - x - 1)`.

use ark_ff::{AdditiveGroup, BigInteger, FftField, Field, Fp64, MontBackend, MontConfig, PrimeField};
use std::iter::{Product, Sum};
use std::ops::{Add, Mul, Neg, Sub};

/// Modulus and generator of the base field.
#[derive(MontConfig)]
#[modulus = "18446744069414584321"]
#[generator = "7"]
pub struct GoldilocksConfig;

/// The base field.
pub type F = Fp64<MontBackend<GoldilocksConfig, 1>>;

/// `p`.
pub const MODULUS: u64 = 0xffff_ffff_0000_0001;

/// The challenge field: `a0 + a1 x + a2 x^2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct K(pub [F; 3]);

/// Bytes of an element of `K` in a proof.
pub const K_BYTES: usize = 24;

impl K {
    /// 0.
    pub const ZERO: Self = Self([F::ZERO; 3]);
    /// 1.
    pub const ONE: Self = Self([F::ONE, F::ZERO, F::ZERO]);

    /// The power, by repeated multiplication and squaring.
    pub fn pow(self, exponent: u64) -> Self {
        (0..64).rev().fold(Self::ONE, |acc, bit| {
            let square = acc * acc;
            if exponent >> bit & 1 == 1 { square * self } else { square }
        })
    }

    /// Three little-endian canonical words.
    pub fn to_bytes(self) -> [u8; K_BYTES] {
        let mut bytes = [0; K_BYTES];
        for (chunk, x) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word(x).to_le_bytes());
        }
        bytes
    }
}

impl From<F> for K {
    fn from(x: F) -> Self {
        Self([x, F::ZERO, F::ZERO])
    }
}

/// The canonical representative, in `0..p`.
pub fn word(x: F) -> u64 {
    x.into_bigint().to_bytes_le().iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The element with this canonical representative; `None` if it is not below `p`.
pub fn from_word(word: u64) -> Option<F> {
    (word < MODULUS).then(|| F::from(word))
}

/// The integer in the base field.
pub fn f(x: i64) -> F {
    F::from(x)
}

/// The integer in the challenge field.
pub fn k(x: i64) -> K {
    K::from(f(x))
}

/// A length or an index, below `2^63`, in the challenge field.
pub fn count(x: usize) -> K {
    K::from(F::from(x as u64))
}

/// A generator of the subgroup of order `2^log_order`, at most `2^32`.
pub fn root_of_unity(log_order: usize) -> F {
    (log_order..F::TWO_ADICITY as usize).fold(F::TWO_ADIC_ROOT_OF_UNITY, |x, _| x * x)
}

/// `1 / x`, or 0 for 0.
pub fn inverse(x: F) -> F {
    x.inverse().unwrap_or(F::ZERO)
}

impl Add for K {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let ([a0, a1, a2], [b0, b1, b2]) = (self.0, other.0);
        Self([a0 + b0, a1 + b1, a2 + b2])
    }
}

impl Sub for K {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        let ([a0, a1, a2], [b0, b1, b2]) = (self.0, other.0);
        Self([a0 - b0, a1 - b1, a2 - b2])
    }
}

impl Neg for K {
    type Output = Self;
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl Mul for K {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let ([a0, a1, a2], [b0, b1, b2]) = (self.0, other.0);
        let c3 = a1 * b2 + a2 * b1;
        let c4 = a2 * b2;
        // x^3 = x + 1 and x^4 = x^2 + x.
        Self([a0 * b0 + c3, a0 * b1 + a1 * b0 + c3 + c4, a0 * b2 + a1 * b1 + a2 * b0 + c4])
    }
}

impl Sum for K {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, |sum, x| sum + x)
    }
}

impl Product for K {
    fn product<I: Iterator<Item = Self>>(factors: I) -> Self {
        factors.fold(Self::ONE, |product, x| product * x)
    }
}
