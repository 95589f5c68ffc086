//! The least that a computation can cost on the machine at hand: work that no method avoids, over what the machine does at best.
//!
//! Rates are per second of processor time with all cores at work, so they hold on a machine that is shared.

use p3_field::{Field, PrimeCharacteristicRing};
use std::hint::black_box;
use std::iter::Sum;
use std::ops::Add;
use verifier::field::F;

/// Multiplications of the base field in one by an integer or a base field element, in the extension field.
pub const SCALE: u64 = 3;
/// Multiplications of the base field in one of the cubic extension field (Karatsuba; Toom-Cook's five need divisions).
pub const EXTENSION: u64 = 6;

/// Work that cannot be avoided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiplications in the base field.
    pub multiplications: u64,
    /// Bytes hashed.
    pub hashed_bytes: u64,
    /// Bytes that come from memory at least once.
    pub read_bytes: u64,
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            multiplications: self.multiplications + other.multiplications,
            hashed_bytes: self.hashed_bytes + other.hashed_bytes,
            read_bytes: self.read_bytes + other.read_bytes,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(works: I) -> Self {
        works.fold(Self::default(), Self::add)
    }
}

/// What the machine does in a second of processor time.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Multiplications in the base field, independent and in registers.
    pub multiplications: f64,
    /// Bytes of BLAKE3, of one long message for each core.
    pub hashed_bytes: f64,
    /// Bytes read in order from a buffer beyond the caches.
    pub read_bytes: f64,
}

impl Rates {
    /// Measures for about a second of wall time; `cpu_seconds` tells the processor time of this process.
    pub fn measure(cpu_seconds: impl Fn() -> f64) -> Self {
        let rate = |amount: u64, work: &(dyn Fn() + Sync)| {
            let once = || {
                let begun = cpu_seconds();
                rayon::broadcast(|_| work());
                (amount * rayon::current_num_threads() as u64) as f64 / (cpu_seconds() - begun)
            };
            (0..REPETITIONS).map(|_| once()).fold(0.0, f64::max)
        };
        let hashed = vec![1u8; HASHED];
        let read = vec![1u64; READ / size_of::<u64>()];
        Self {
            multiplications: rate(MULTIPLICATIONS, &multiply),
            hashed_bytes: rate((HASHED * PASSES) as u64, &|| {
                for _ in 0..PASSES {
                    black_box(blake3::hash(black_box(&hashed)));
                }
            }),
            read_bytes: rate((READ * PASSES) as u64, &|| {
                for _ in 0..PASSES {
                    black_box(black_box(&read).iter().fold(0, |sum, x| sum ^ x));
                }
            }),
        }
    }

    /// Seconds of processor time that the work takes at best: computing and reading overlap.
    pub fn floor(&self, work: &Work) -> f64 {
        let computing =
            work.multiplications as f64 / self.multiplications + work.hashed_bytes as f64 / self.hashed_bytes;
        computing.max(work.read_bytes as f64 / self.read_bytes)
    }
}

/// Each rate is the best of so many.
const REPETITIONS: usize = 5;
const PASSES: usize = 4;
const HASHED: usize = 8 << 20;
const READ: usize = 128 << 20;

type Packed = <F as Field>::Packing;
/// Enough independent products to keep the multipliers busy.
const CHAINS: usize = 8;
const STEPS: usize = 1 << 21;
const MULTIPLICATIONS: u64 = (STEPS * CHAINS * size_of::<Packed>() / size_of::<F>()) as u64;

fn multiply() {
    let factor = black_box(Packed::from(F::from_u64(0x1234_5678_9abc_def1)));
    let mut chains: [Packed; CHAINS] = core::array::from_fn(|i| Packed::from(F::from_usize(i + 2)));
    for _ in 0..STEPS {
        chains.iter_mut().for_each(|x| *x *= factor);
    }
    let _ = black_box(chains);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_the_slower_of_computing_and_reading() {
        let rates = Rates { multiplications: 10.0, hashed_bytes: 100.0, read_bytes: 1000.0 };
        let work = Work { multiplications: 10, hashed_bytes: 100, read_bytes: 0 };
        assert_eq!(rates.floor(&work), 2.0);
        assert_eq!(rates.floor(&Work { read_bytes: 5000, ..work }), 5.0);
    }
}
