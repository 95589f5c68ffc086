//! Blocks of numbers to `f32`, bit for bit as `ggml`'s reference does (`ggml-quants.c`, `dequantize_row_*`).

use half::{bf16, f16};

use crate::Encoding;

/// Decodes whole blocks; `bytes` has as many as `out` needs. `None` if the encoding is one that is not decoded.
pub(crate) fn decode(encoding: Encoding, bytes: &[u8], out: &mut [f32]) -> Option<()> {
    match encoding {
        Encoding::F64 => numbers(bytes, out, |b| f64::from_le_bytes(b) as f32),
        Encoding::F32 => numbers(bytes, out, f32::from_le_bytes),
        Encoding::F16 => numbers(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
        Encoding::BF16 => numbers(bytes, out, |b| bf16::from_le_bytes(b).to_f32()),
        Encoding::Q8_0 => blocks(bytes, out, q8_0),
        Encoding::Q5_0 => blocks(bytes, out, q5_0),
        Encoding::Q5_1 => blocks(bytes, out, q5_1),
        Encoding::Q4_0 => blocks(bytes, out, q4_0),
        Encoding::Q4_1 => blocks(bytes, out, q4_1),
        Encoding::Q4_K => blocks(bytes, out, q4_k),
        Encoding::Q5_K => blocks(bytes, out, q5_k),
        Encoding::Q6_K => blocks(bytes, out, q6_k),
        Encoding::Other(_) => return None,
    }
    Some(())
}

fn numbers<const N: usize>(bytes: &[u8], out: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    let (chunks, _) = bytes.as_chunks::<N>();
    out.iter_mut().zip(chunks).for_each(|(out, &bytes)| *out = number(bytes));
}

fn blocks<const BYTES: usize, const LENGTH: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: fn(&[u8; BYTES], &mut [f32; LENGTH]),
) {
    let (bytes, _) = bytes.as_chunks::<BYTES>();
    let (out, _) = out.as_chunks_mut::<LENGTH>();
    out.iter_mut().zip(bytes).for_each(|(out, bytes)| block(bytes, out));
}

fn half_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

/// The numbers of a block whose low nibbles come first, then the high ones.
fn nibbles(bytes: &[u8], at: usize) -> u8 {
    let half = bytes.len();
    if at < half { bytes[at] & 15 } else { bytes[at - half] >> 4 }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    out.iter_mut().zip(&block[2..]).for_each(|(out, &q)| *out = f32::from(q as i8) * scale);
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let scale = half_at(block, 0);
    out.iter_mut().enumerate().for_each(|(i, out)| *out = f32::from(nibbles(&block[2..], i) as i8 - 8) * scale);
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (scale, least) = (half_at(block, 0), half_at(block, 2));
    out.iter_mut().enumerate().for_each(|(i, out)| *out = f32::from(nibbles(&block[4..], i)) * scale + least);
}

/// The fifth bit of number `i`.
fn fifth(bits: &[u8], i: usize) -> u8 {
    (bits[i / 8] >> (i % 8) & 1) << 4
}

fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (scale, high, low) = (half_at(block, 0), &block[2..6], &block[6..]);
    out.iter_mut().enumerate().for_each(|(i, out)| {
        *out = f32::from((nibbles(low, i) | fifth(high, i)) as i8 - 16) * scale;
    });
}

fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (scale, least, high, low) = (half_at(block, 0), half_at(block, 2), &block[4..8], &block[8..]);
    out.iter_mut().enumerate().for_each(|(i, out)| {
        *out = f32::from(nibbles(low, i) | fifth(high, i)) * scale + least;
    });
}

/// Scale and minimum of one of the eight runs of 32 in a super-block: 6 bits each, packed into 12 bytes.
fn scale_and_minimum(packed: &[u8], run: usize) -> (f32, f32) {
    let (scale, minimum) = if run < 4 {
        (packed[run] & 63, packed[run + 4] & 63)
    } else {
        (packed[run + 4] & 15 | packed[run - 4] >> 6 << 4, packed[run + 4] >> 4 | packed[run] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// Runs of 32 numbers below 32: `d * scale * q - dmin * minimum`.
fn k_runs(block: &[u8], out: &mut [f32; 256], number: impl Fn(usize, usize) -> u8) {
    let (d, least) = (half_at(block, 0), half_at(block, 2));
    for (run, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(&block[4..16], run);
        let (scale, minimum) = (d * scale, least * minimum);
        out.iter_mut().enumerate().for_each(|(i, out)| *out = scale * f32::from(number(run, i)) - minimum);
    }
}

fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    // 32 bytes hold two runs: low nibbles, high nibbles.
    k_runs(block, out, |run, i| nibbles(&block[16 + run / 2 * 32..][..32], run % 2 * 32 + i));
}

fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (high, low) = (&block[16..48], &block[48..]);
    k_runs(block, out, |run, i| nibbles(&low[run / 2 * 32..][..32], run % 2 * 32 + i) | (high[i] >> run & 1) << 4);
}

fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half_at(block, 208));
    for (i, out) in out.iter_mut().enumerate() {
        // Halves of 128: 64 bytes of nibbles, 32 of upper bit pairs.
        let (half, at) = (i / 128, i % 128);
        let four = nibbles(&low[half * 64..][..64], at);
        let two = high[half * 32 + at % 32] >> (at / 32 * 2) & 3;
        let scale = f32::from(scales[i / 16] as i8);
        *out = d * scale * f32::from((four | two << 4) as i8 - 32);
    }
}
