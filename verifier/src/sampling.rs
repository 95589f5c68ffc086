//! Seeded sampling: the noise under which the largest sum is a draw from the softmax.
//!
//! Relation: the token after position `p` is the one with the largest `logit + temperature * G`, where `G` of a token is a function of
//! the seed, of `p` and of the token's number. Independent Gumbel variables make that a draw with the probabilities `softmax(logits /
//! temperature)` (Gumbel 1954; Maddison, Tarlow, Minka 2014, section 2). The function is exact: integers alone, the same on every machine.

use alloc::vec;
use alloc::vec::Vec;
use p3_maybe_rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the choices of a job are drawn. It is part of the statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Names one source of randomness out of `2^64`.
    pub seed: u64,
    /// In thousandths, from 1 to [`MAX_TEMPERATURE`].
    pub temperature: u32,
}

/// Highest temperature, in thousandths: 10.
pub const MAX_TEMPERATURE: u32 = 10_000;
/// Most binary digits after the point of the noise.
pub const MAX_EXPONENT: i32 = 40;

/// Begins what is hashed for each position.
const DOMAIN: &[u8] = b"proofmill/sampling";
/// Binary digits after the point of logarithms.
const FRACTION: u32 = 57;
/// `ln 2 * 2^57`, rounded.
const LN_2: i64 = 99_893_036_290_645_747;
/// `2^63 / (2n + 1)`, rounded down: the series of the inverse hyperbolic tangent.
const SERIES: [u64; 18] = {
    let mut series = [0; 18];
    let mut n = 0;
    while n < series.len() {
        series[n] = (1 << 63) / (2 * n as u64 + 1);
        n += 1;
    }
    series
};

/// `2^57 ln x` for `x >= 1`, a little below: with `x = 2^e m`, `1 <= m < 2`, it is `e ln 2 + 2 artanh((m - 1) / (m + 1))`.
fn ln(x: u64) -> i64 {
    let zeros = x.leading_zeros();
    let m = x << zeros;
    // At most a third of 2^64, so all that follows fits 64 bits.
    let t = ((u128::from(m - (1 << 63)) << 63) / u128::from((m >> 1) + (1 << 62))) as u64;
    let square = (product(t, t) >> 64) as u64;
    let sum = SERIES.iter().rev().fold(0, |sum, &c| c + (product(sum, square) >> 64) as u64);
    i64::from(63 - zeros) * LN_2 + (product(t, sum) >> (126 - FRACTION)) as i64
}

fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// `2^57 G`, `G = -ln(-ln u)` for the number `u = (word | 1) / 2^64`: what a Gumbel variable is where its distribution function is `u`.
fn gumbel(word: u64) -> i64 {
    let exponential = (64 * LN_2 - ln(word | 1)).max(1);
    i64::from(FRACTION) * LN_2 - ln(exponential as u64)
}

/// `temperature * G`, with `exponent` binary digits after the point, rounded to nearest, halves up.
fn scaled(gumbel: i64, temperature: u32, exponent: i32) -> i64 {
    let factor = ((u64::from(temperature) << 32) + 500) / 1000;
    let shift = FRACTION + 32 - exponent.clamp(0, MAX_EXPONENT) as u32;
    ((i128::from(gumbel) * i128::from(factor) + (1 << (shift - 1))) >> shift) as i64
}

/// Least and greatest noise of this exponent, at any temperature.
pub fn range(exponent: i32) -> (i64, i64) {
    let bound =
        |exponential: i64| scaled(i64::from(FRACTION) * LN_2 - ln(exponential as u64), MAX_TEMPERATURE, exponent);
    (bound(64 * LN_2), bound(1))
}

impl Sampling {
    /// Whether it is one.
    pub const fn is_valid(&self) -> bool {
        self.temperature >= 1 && self.temperature <= MAX_TEMPERATURE
    }

    /// The noise of every token after the model has read position `position`, `real = integer * 2^-exponent`, `exponent` from 0 to
    /// [`MAX_EXPONENT`]. Token `v` has the 64-bit little-endian word number `v` of the extendable output of BLAKE3 of
    /// `"proofmill/sampling" | seed | position`.
    pub fn noise(&self, position: usize, vocabulary: usize, exponent: i32) -> Vec<i64> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(&(position as u64).to_le_bytes());
        let mut bytes = vec![0; 8 * vocabulary];
        hasher.finalize_xof().fill(&mut bytes);
        let (words, _) = bytes.as_chunks();
        words.par_iter().map(|&word| scaled(gumbel(u64::from_le_bytes(word)), self.temperature, exponent)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: f64 = (1u64 << FRACTION) as f64;

    /// Numbers all over `1..2^64`, small and large ones alike.
    fn words() -> impl Iterator<Item = u64> {
        let spread = |shift: u32| (0..400u64).map(move |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> shift);
        let powers =
            (0..64).flat_map(|e| [(1u64 << e).wrapping_sub(1), 1 << e, (1 << e) + 1, !(1u64 << e), u64::MAX >> e]);
        (0..64).flat_map(spread).chain(powers)
    }

    #[test]
    fn the_logarithm_is_one() {
        for x in words().filter(|&x| x > 0) {
            let error = ln(x) as f64 / ONE - (x as f64).ln();
            assert!(error.abs() < 1e-14 * (1.0 + (x as f64).ln()), "{x}: {error}");
        }
        assert_eq!((ln(1), ln(2), ln(1 << 63)), (0, LN_2, 63 * LN_2));
    }

    #[test]
    fn the_quantile_function_is_gumbels() {
        for word in words() {
            // The distance from 1 is exact where the number itself is not.
            let below = (u64::MAX - (word | 1)) as f64 + 1.0;
            let u = (word | 1) as f64 / 2f64.powi(64);
            let exponential = if u < 0.5 { -u.ln() } else { -(-below / 2f64.powi(64)).ln_1p() };
            let (found, expected) = (gumbel(word) as f64 / ONE, -exponential.ln());
            // Near 1 the exponential has few digits: then its own last one counts.
            let error = 1e-13 + 3.0 / (exponential * ONE);
            assert!(
                (found - expected).abs() < error || (expected > 36.0 && found > 36.0),
                "{word:#x}: {found} {expected}"
            );
        }
        let mut last = i64::MIN;
        for word in (0..=1u64 << 12).map(|i| i.saturating_mul(1 << 52)) {
            assert!(gumbel(word) >= last, "{word:#x}");
            last = gumbel(word);
        }
    }

    #[test]
    fn the_range_holds_all_noise() {
        for exponent in [0, 16, MAX_EXPONENT] {
            let (lo, hi) = range(exponent);
            for temperature in [1, 1000, MAX_TEMPERATURE] {
                for noise in words().map(|word| scaled(gumbel(word), temperature, exponent)) {
                    assert!((lo..=hi).contains(&noise));
                }
            }
            let top = scaled(gumbel(u64::MAX), MAX_TEMPERATURE, exponent);
            assert!(lo == scaled(gumbel(0), MAX_TEMPERATURE, exponent) && hi - top < 20 << exponent, "{lo} {hi} {top}");
        }
    }

    /// Made by a program of its own (Python's integers, and the BLAKE3 of another library).
    #[test]
    fn known_values() {
        let sampling = Sampling { seed: 42, temperature: 800 };
        assert_eq!(sampling.noise(7, 5, 20), [-422_694, -178_257, -20_050, 52_543, -79_742]);
    }
}
