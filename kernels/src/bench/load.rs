//! The least that each loop costs on a GPU: bytes that have to cross its memory, and operations that no method known for the loop avoids.
//! Formulas, each with its reason; what is small beside them is left out, so they are lower bounds.
//!
//! Of bytes: an operand that is read whole is read once, a result is written once, and what is changed in place is both. Points, weights
//! and tables that are far shorter than the vectors are left out.

use crate::floor::{EXTENSION, SCALE};
use std::ops::Add;

/// Bytes of a word of the base field, of an element of the extension field, of a digest.
const WORD: u64 = 8;
const ELEMENT: u64 = 24;
const DIGEST: u64 = 32;
/// Bytes that a compression of BLAKE3 takes in.
const BLOCK: u64 = 64;
/// Multiply-adds of 32 bits in a product of two words: four, the schoolbook's. Sums of products are reduced once, which is left out.
const PRODUCT: u64 = 4;
/// Half words: an integer of up to 32 bits times a word takes half the multiply-adds.
const HALF: u64 = PRODUCT / 2;
/// Multiply-adds in an element of the extension field times a word, and times another.
const SCALED: u64 = SCALE * PRODUCT;
const MULTIPLIED: u64 = EXTENSION * PRODUCT;
/// Logarithm of the points of a transform whose twiddles are powers of two alone: 2 is a root of unity of order 192.
const FREE_LEVELS: u64 = 6;

/// Work of a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Bytes read from memory or written to it.
    pub bytes: u64,
    /// 32 by 32 bits, added to 64.
    pub multiply_adds: u64,
    /// Of the base field, reduced.
    pub multiplications: u64,
    /// Of the base field, or subtractions.
    pub additions: u64,
    /// Of BLAKE3.
    pub compressions: u64,
    /// 8 by 8 bits, added to 32: a tensor core's.
    pub byte_products: u64,
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            multiply_adds: self.multiply_adds + other.multiply_adds,
            multiplications: self.multiplications + other.multiplications,
            additions: self.additions + other.additions,
            compressions: self.compressions + other.compressions,
            byte_products: self.byte_products + other.byte_products,
        }
    }
}

impl Load {
    const fn moving(bytes: u64) -> Self {
        Self { bytes, multiply_adds: 0, multiplications: 0, additions: 0, compressions: 0, byte_products: 0 }
    }

    const fn with_multiply_adds(self, multiply_adds: u64) -> Self {
        Self { multiply_adds, ..self }
    }
}

/// Multiply-adds in an integer of so many bytes times a word.
const fn by_integer(bytes: u64) -> u64 {
    if bytes <= 4 { HALF } else { PRODUCT }
}

/// Reed-Solomon encoding of `width` columns of `2^log_message` integers of so many bytes, to words. Each of the message's levels adds and subtracts once for every two
/// words of the codeword; of the others a half is zero. Six levels go by with powers of two for twiddles; between one six and the next every
/// word is multiplied but one in 64, whose twiddle is 1.
pub const fn encode(log_message: u32, log_cosets: u32, width: u64, bytes: u64) -> Load {
    let (message, codeword) = (width << log_message, width << (log_message + log_cosets));
    let levels = (log_message + log_cosets) as u64;
    let between = levels.div_ceil(FREE_LEVELS).saturating_sub(1);
    Load {
        multiplications: between * (codeword - (codeword >> FREE_LEVELS)),
        additions: codeword * log_message as u64,
        ..Load::moving(bytes * message + WORD * codeword)
    }
}

/// Digests of rows of `width` words: a compression for each block of a row.
pub const fn hash_rows(rows: u64, width: u64) -> Load {
    Load { compressions: rows * (WORD * width).div_ceil(BLOCK), ..Load::moving(rows * (WORD * width + DIGEST)) }
}

/// The tree over so many digests: they are read, all those above are written, each a compression. What is above need not be read again.
pub const fn hash_tree(leaves: u64) -> Load {
    Load { compressions: leaves - 1, ..Load::moving(DIGEST * (2 * leaves - 1)) }
}

/// Opening so many rows: each is read and written.
pub const fn gather(rows: u64, width: u64) -> Load {
    Load::moving(2 * WORD * rows * width)
}

/// Cells of so many bytes to a polynomial of `padded` of them, which are words or as narrow as they were.
pub const fn pack(cells: u64, padded: u64, bytes: u64) -> Load {
    Load::moving(bytes * (cells + padded))
}

/// Rows of `width` integers of so many bytes, bound to one row: each integer times an element, its row's weight.
pub const fn bind_rows(integers: u64, bytes: u64, width: u64) -> Load {
    contract_ints(integers, bytes, width)
}

/// The same bound over their columns, to an element for each row: each integer times an element, its column's weight.
pub const fn bind_columns(rows: u64, width: u64, bytes: u64) -> Load {
    contract_ints(rows * width, bytes, rows)
}

/// The extension of a vector at a point: a product for each element, whether elements are weighted or folded.
pub const fn evaluate(elements: u64) -> Load {
    Load::moving(ELEMENT * elements).with_multiply_adds(MULTIPLIED * elements)
}

/// A table of `eq` added to a vector: an entry is a product of the one over a variable less.
pub const fn add_eq(elements: u64) -> Load {
    Load::moving(2 * ELEMENT * elements).with_multiply_adds(MULTIPLIED * elements)
}

/// A vector added to another.
pub const fn add_at(elements: u64) -> Load {
    Load { additions: SCALE * elements, ..Load::moving(3 * ELEMENT * elements) }
}

/// The product of a column and a row added to a matrix.
pub const fn add_outer(elements: u64) -> Load {
    add_eq(elements)
}

/// So many geometric sequences added to a vector, too few for a transform: an element times a power of a root, for each.
pub const fn add_powers(elements: u64, sequences: u64) -> Load {
    Load::moving(2 * ELEMENT * elements).with_multiply_adds(SCALED * elements * sequences)
}

/// A round over the product of two vectors: two products for each pair of neighbours, the constant and the leading coefficient.
pub const fn round(elements: u64) -> Load {
    Load::moving(2 * ELEMENT * elements).with_multiply_adds(MULTIPLIED * elements)
}

/// Two vectors folded in half: a product for each element of the results.
pub const fn fold(elements: u64) -> Load {
    Load::moving(3 * ELEMENT * elements).with_multiply_adds(MULTIPLIED * elements)
}

/// [`fold`], then [`round`] of what is left, which is not read again.
pub const fn fold_round(elements: u64) -> Load {
    fold(elements).with_multiply_adds(MULTIPLIED * (elements + elements / 2))
}

/// An axis of integers contracted with weights: each integer times an element.
pub const fn contract_ints(integers: u64, bytes: u64, out: u64) -> Load {
    Load::moving(bytes * integers + ELEMENT * out).with_multiply_adds(SCALE * by_integer(bytes) * integers)
}

/// The same for elements.
pub const fn contract(elements: u64, out: u64) -> Load {
    Load::moving(ELEMENT * (elements + out)).with_multiply_adds(MULTIPLIED * elements)
}

/// Integers as elements.
pub const fn lift(integers: u64, bytes: u64) -> Load {
    Load::moving((bytes + ELEMENT) * integers)
}

/// Axes in another order.
pub const fn permute(elements: u64) -> Load {
    Load::moving(2 * ELEMENT * elements)
}

/// Sums of columns, each of integers of so many bytes times an element.
pub fn affine(len: u64, columns: &[u64]) -> Load {
    let bytes = columns.iter().sum::<u64>() + ELEMENT;
    let multiply_adds = columns.iter().map(|&bytes| SCALE * by_integer(bytes)).sum::<u64>();
    Load::moving(bytes * len).with_multiply_adds(multiply_adds * len)
}

/// A factor of a product over joint axes: how many cells it has, and bytes of each.
pub type Cells = (u64, u64);

/// Multiply-adds in a product of an element and one of these.
const fn by_cell(bytes: u64) -> u64 {
    if bytes < ELEMENT { SCALE * by_integer(bytes) } else { MULTIPLIED }
}

/// A sum over `joint` products: every factor is read, and a product less than there are factors made, by the narrowest of them.
pub fn product_total(joint: u64, factors: &[Cells]) -> Load {
    let least = factors.iter().map(|&(_, bytes)| by_cell(bytes)).min().unwrap_or(0);
    let multiplied = factors.len().saturating_sub(1) as u64 * joint;
    Load::moving(factors.iter().map(|(cells, bytes)| cells * bytes).sum()).with_multiply_adds(least * multiplied)
}

/// The sumcheck over such a sum, of polynomials of this degree. Every factor is read, once: what is folded may stay in the cache. For each
/// pair of neighbours the product is made at `degree` points, in the first round of `joint / 2` pairs, in all others of as many together;
/// and every factor is folded, to a half in the first round and to another half in all others.
pub fn product_sumcheck(joint: u64, factors: &[Cells], degree: u64) -> Load {
    let first = product_total(joint / 2 * degree, factors);
    let elements: Vec<Cells> = factors.iter().map(|&(cells, _)| (cells, ELEMENT)).collect();
    let others = product_total(joint / 2 * degree, &elements);
    let folds = factors.iter().map(|&(cells, bytes)| cells / 2 * (by_cell(bytes) + MULTIPLIED)).sum::<u64>();
    first.with_multiply_adds(first.multiply_adds + others.multiply_adds + folds)
}

/// Fractions added two by two: the sum of `p / (1 + q)` and another takes three products.
pub const fn add_fractions(fractions: u64) -> Load {
    Load::moving(2 * ELEMENT * (fractions + fractions / 2)).with_multiply_adds(3 * MULTIPLIED * (fractions / 2))
}

/// The sumcheck over the sums of so many fractions. They are read, once: what is folded may stay in the cache. An even numerator and its
/// denominator are one, by a product; for each pair of pairs, in all rounds half as many as fractions, two coefficients take two products
/// each and one with `eq`; and four vectors of half the length are folded to nothing, a product for each element.
pub const fn fraction_sumcheck(fractions: u64) -> Load {
    let half = fractions / 2;
    Load::moving(2 * ELEMENT * fractions).with_multiply_adds(MULTIPLIED * (half + 6 * half + 4 * half))
}

/// Sums of products of integers of so many bytes, on tensor cores: each byte of one times each of the other. (Of two bytes each, three
/// products instead of four would do, but of sums of bytes, which are none.)
pub const fn einsum_tensor(products: u64, [left, right]: [u64; 2], bytes: u64) -> Load {
    Load { byte_products: left * right * products, ..Load::moving(bytes) }
}

/// Sums of products of integers of up to 32 bits, a multiply-add each: what they take without tensor cores.
pub const fn einsum_narrow(products: u64, bytes: u64) -> Load {
    Load::moving(bytes).with_multiply_adds(products)
}

/// Sums of products of 64-bit integers modulo 2^64: three multiply-adds, for the fourth is above.
pub const fn einsum_wide(products: u64, bytes: u64) -> Load {
    Load::moving(bytes).with_multiply_adds(3 * products)
}

/// Elementwise loops over integers: the operands of so many bytes each are read, the results written; what is computed between is left out.
pub const fn elementwise(len: u64, bytes: u64) -> Load {
    Load::moving(len * bytes)
}

/// Rows looked for: their entries are read, and of each row's count, of 64 bits, the old is read and the new written.
pub const fn count_rows(looked_up: u64, bytes: u64, rows: u64) -> Load {
    Load::moving(looked_up * bytes + 2 * 8 * rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By counting, level by level, what a transform with one root for all does: see [`encode`].
    #[test]
    fn a_transform_is_counted_as_its_butterflies_are() {
        for (log_message, log_cosets, width) in [(3, 0, 1), (6, 1, 2), (7, 0, 1), (8, 2, 4), (13, 1, 1)] {
            let points = 1u64 << (log_message + log_cosets);
            let (mut additions, mut multiplications) = (0, 0);
            for level in 0..log_message + log_cosets {
                // Of the first levels' butterflies one operand is zero.
                additions += if level < log_cosets { 0 } else { points };
                if level > 0 && level % 6 == 0 {
                    multiplications += (0..points).filter(|point| point % 64 != 0).count() as u64;
                }
            }
            let load = encode(log_message, log_cosets, width, 2);
            assert_eq!((load.additions, load.multiplications), (width * additions, width * multiplications));
            assert_eq!(load.bytes, width * (2 * (1 << log_message) + 8 * points));
        }
    }

    #[test]
    fn compressions_are_those_of_the_hash() {
        // A row of 17 words is 136 bytes, three blocks; a tree over 8 leaves has 4 + 2 + 1 digests above.
        assert_eq!(hash_rows(5, 17), Load { bytes: 5 * (136 + 32), compressions: 15, ..Load::default() });
        assert_eq!(hash_tree(8), Load { bytes: 32 * (8 + 7), compressions: 7, ..Load::default() });
        assert_eq!(hash_tree(1).compressions, 0);
    }

    #[test]
    fn words_of_elements_are_multiplied_one_by_one() {
        // Three words, each by the two halves of the other factor's word.
        assert_eq!(bind_rows(10, 8, 2), Load { bytes: 80 + 48, multiply_adds: 10 * 3 * 4, ..Load::default() });
        assert_eq!(bind_columns(5, 2, 4), Load { bytes: 40 + 120, multiply_adds: 10 * 3 * 2, ..Load::default() });
        assert_eq!(contract_ints(10, 2, 1).multiply_adds, 10 * 3 * 2);
        assert_eq!(contract_ints(10, 8, 1).multiply_adds, 10 * 3 * 4);
        assert_eq!(affine(10, &[1, 8]), Load { bytes: 10 * (1 + 8 + 24), multiply_adds: 10 * 18, ..Load::default() });
    }

    #[test]
    fn bytes_of_integers_are_multiplied_one_by_one() {
        assert_eq!(einsum_tensor(10, [2, 1], 7), Load { bytes: 7, byte_products: 20, ..Load::default() });
        let both = einsum_tensor(10, [2, 2], 7) + einsum_narrow(10, 7);
        assert_eq!(both, Load { bytes: 14, byte_products: 40, multiply_adds: 10, ..Load::default() });
    }

    #[test]
    fn a_fused_step_moves_less_than_its_parts() {
        let (both, parts) = (fold_round(1 << 10), fold(1 << 10) + round(1 << 9));
        assert_eq!(both.multiply_adds, parts.multiply_adds);
        // What is left is written, and not read again.
        assert_eq!(parts.bytes - both.bytes, 2 * 24 * (1 << 9));
    }

    #[test]
    fn sums_over_joint_axes_read_each_factor_once() {
        // x[i, k] w[j, k] over 4 x 5 x 6.
        let load = product_total(120, &[(24, 24), (30, 24)]);
        assert_eq!(load, Load { bytes: 24 * 54, multiply_adds: 120 * 24, ..Load::default() });
        assert_eq!(product_total(120, &[(24, 2), (30, 24)]).multiply_adds, 120 * 6);
        assert_eq!(product_total(7, &[(7, 24)]).multiply_adds, 0);
    }

    /// By playing the rounds and counting products of elements.
    #[test]
    fn rounds_are_counted_as_they_are_played() {
        let (mut pairs, mut folded, mut split) = (0, 0, 0);
        let mut length = 1u64 << 10;
        while length > 1 {
            pairs += length / 2;
            folded += length / 2;
            length /= 2;
        }
        // Two factors over all axes, of degree 2: one product at two points for each pair; both are folded.
        let load = product_sumcheck(1 << 10, &[(1 << 10, 24); 2], 2);
        // Halves add up to one less than the whole.
        assert_eq!(load.multiply_adds, 24 * (2 * (pairs + 1) + 2 * (folded + 1)));
        // With integers the first round's products, and the first fold of theirs, are by integers.
        let mixed = product_sumcheck(1 << 10, &[(1 << 10, 2), (1 << 10, 24)], 2);
        assert_eq!(load.multiply_adds - mixed.multiply_adds, (24 - 6) * (2 * 512 + 512));
        // The fractions are as many pairs as their sums are, twice: one for each, then rounds over sums.
        let sums = 1u64 << 10;
        split += sums;
        let load = fraction_sumcheck(2 * sums);
        assert_eq!(load.multiply_adds, 24 * (split + 6 * (pairs + 1) + 4 * (folded + 1)));
    }
}
