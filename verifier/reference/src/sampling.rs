//! Section 10, sampling: the noise of every choice, from the seed.

use blake3::Hasher;

/// How the choices are drawn, as the statement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// The seed.
    pub seed: u64,
    /// In thousandths.
    pub temperature: u32,
}

/// Highest temperature.
pub const MAX_TEMPERATURE: u32 = 10_000;

/// `round(2^57 ln 2)`.
const LN_2: i128 = 99_893_036_290_645_747;

/// `2^57 ln x`, for `1 <= x < 2^64`.
fn ln(x: i128) -> i128 {
    let mut exponent = 0;
    while x >> (exponent + 1) > 0 {
        exponent += 1;
    }
    let mantissa = x << (63 - exponent);
    let t = ((mantissa - (1 << 63)) << 63) / (mantissa / 2 + (1 << 62));
    let square = t * t / (1 << 64);
    let mut sum = 0;
    for n in (0..18).rev() {
        sum = (1 << 63) / (2 * n + 1) + sum * square / (1 << 64);
    }
    // The sum is below 2^64, `t` too: the product fits where it is not negative.
    i128::from(exponent) * LN_2 + ((t as u128 * sum as u128) >> 69) as i128
}

/// `2^57 * -ln(e / 2^57)`.
fn minus_ln(e: i128) -> i128 {
    57 * LN_2 - ln(e)
}

fn scaled(gumbel: i128, temperature: u32, exponent: i32) -> i64 {
    let factor = (i128::from(temperature) * (1 << 32) + 500) / 1000;
    let divisor = 1i128 << (89 - exponent);
    (gumbel * factor + divisor / 2).div_euclid(divisor) as i64
}

/// Least and greatest noise.
pub fn range(exponent: i32) -> (i64, i64) {
    let at = |e| scaled(minus_ln(e), MAX_TEMPERATURE, exponent);
    (at(64 * LN_2), at(1))
}

/// The noise of all tokens at the positions `first ..`, row by row.
pub fn noise(sampling: Sampling, first: i64, rows: usize, vocabulary: usize, exponent: i32) -> Vec<i64> {
    let mut all = Vec::new();
    for position in (first..).take(rows) {
        let mut text = b"proofmill/sampling".to_vec();
        text.extend(sampling.seed.to_le_bytes());
        text.extend(position.to_le_bytes());
        let mut stream = Hasher::new().update(&text).finalize_xof();
        for _ in 0..vocabulary {
            let mut word = [0; 8];
            stream.fill(&mut word);
            let odd = i128::from(u64::from_le_bytes(word) | 1);
            let exponential = (64 * LN_2 - ln(odd)).max(1);
            all.push(scaled(minus_ln(exponential), sampling.temperature, exponent));
        }
    }
    all
}
