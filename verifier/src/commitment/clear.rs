//! Small polynomials: the root is the hash of the cells, and the opening is the cells.
//!
//! Cells are zigzag variable-length integers in packed order, so small values take one byte.

use crate::field::{F, K, from_i64};
use crate::multilinear::eq_table;
use crate::transcript::Digest;
use alloc::vec::Vec;

/// The cells as bytes.
pub fn encode(cells: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * cells.len());
    for &cell in cells {
        let mut rest = ((cell << 1) ^ (cell >> 63)) as u64;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

/// Exactly `cells` cells from their one encoding.
pub fn decode(bytes: &[u8], cells: usize) -> Option<Vec<F>> {
    if bytes.len() < cells {
        return None;
    }
    let mut bytes = bytes.iter();
    let mut decoded = Vec::with_capacity(cells);
    for _ in 0..cells {
        let mut word = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.next()?;
            let part = u64::from(byte & 0x7f);
            // No bits beyond the 64th, no superfluous last byte.
            if (part << shift) >> shift != part || (byte == 0 && shift > 0) {
                return None;
            }
            word |= part << shift;
            if byte < 0x80 {
                break;
            }
            if shift == 63 {
                return None;
            }
        }
        decoded.push(from_i64((word >> 1) as i64 ^ -((word & 1) as i64)));
    }
    bytes.next().is_none().then_some(decoded)
}

/// The root of cells with these bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}

/// The multilinear extension of `2^n` cells at a point of `n` coordinates, the most significant bit's first.
pub(super) fn evaluate(cells: &[F], point: &[K]) -> K {
    eq_table(point, cells.len()).into_iter().zip(cells).map(|(e, &cell)| e * cell).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_one_encoding() {
        let cells = [0, 1, -1, 63, -64, 64, 8191, -8192, 1 << 40, i64::MAX, i64::MIN];
        let bytes = encode(&cells);
        assert_eq!(decode(&bytes, cells.len()), Some(cells.map(from_i64).to_vec()));
        assert_eq!(bytes[..5], [0, 2, 1, 126, 127]);
        assert_eq!(decode(&bytes, cells.len() - 1), None, "a byte is left");
        assert_eq!(decode(&bytes[..bytes.len() - 1], cells.len()), None, "the last cell is cut");
        assert_eq!(decode(&[0x80, 0], 1), None, "a superfluous byte");
        assert_eq!(decode(&[0xff; 11], 1), None, "more than 64 bits");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], 1), None, "a bit too many");
    }
}
