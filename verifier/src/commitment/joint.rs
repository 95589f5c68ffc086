//! Polynomials under roots of their own, opened as the one polynomial that interleaves their rows:
//! `J(row, i, column) = P_i(row / 2^s_i, column)` where `2^s_i` divides `row`, else 0.
//!
//! With rows as coefficients, `J`'s codeword at `x` holds, side by side, the rows of `P_i`'s codewords at `x^(2^s_i)`: leaf
//! `place mod leaves_i` of each tree. So every polynomial keeps the code of its own size, and one opening queries them all.

use super::{Code, Layout};
use crate::field::K;
use alloc::vec::Vec;
use p3_field::PrimeCharacteristicRing;

/// How polynomials lie in the one that is opened. A single polynomial is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joint {
    parts: Vec<Part>,
    log_rows: usize,
    code: Code,
}

/// A polynomial's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Logarithm of the rows of its message.
    pub log_rows: usize,
    /// Logarithm of the rows of its codeword: leaves of its tree.
    pub log_leaves: usize,
    /// `s_i`: its rows are every `2^s_i`-th of the joint polynomial's.
    pub log_stride: usize,
}

impl Joint {
    /// The joint polynomial of one polynomial, or of two that are not in the clear, of so many variables each. For any other
    /// number there are no parameters.
    pub fn new(num_variables: &[usize]) -> Self {
        let largest = num_variables.iter().copied().fold(0, usize::max);
        let code = Code::new(largest);
        let log_rows = largest - code.log_width;
        let parts = num_variables.iter().map(|&n| {
            let own = Code::new(n);
            let rows = n - own.log_width;
            let log_leaves = rows + own.log_inv_rate;
            // A smaller polynomial has a lower rate, but never a longer codeword.
            Part { log_rows: rows, log_leaves, log_stride: log_rows + code.log_inv_rate - log_leaves }
        });
        let parts: Vec<_> = parts.collect();
        let code = Code { log_width: code.log_width + log_parts(parts.len()), ..code };
        Self { parts, log_rows, code }
    }

    /// The joint polynomial of layouts that are not in the clear; `None` if there are none.
    pub fn of<'a>(layouts: impl Iterator<Item = &'a Layout>) -> Option<Self> {
        let num_variables: Vec<_> = layouts.map(Layout::num_variables).collect();
        (!num_variables.is_empty()).then(|| Self::new(&num_variables))
    }

    /// Where each polynomial lies.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Logarithm of the number of rows.
    pub fn log_rows(&self) -> usize {
        self.log_rows
    }

    /// The code of the joint polynomial: the largest polynomial's rate, rows of all of them.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Variables of the joint polynomial.
    pub fn num_variables(&self) -> usize {
        self.log_rows + self.code.log_width
    }

    /// Logarithm of the columns of one polynomial.
    pub fn log_columns(&self) -> usize {
        self.code.log_width - log_parts(self.parts.len())
    }

    /// The point of the joint polynomial at which polynomial `part` has the value that it has at `point`.
    pub fn point(&self, part: usize, point: &[K]) -> Vec<K> {
        let Part { log_rows, log_stride, .. } = self.parts[part];
        let (rows, columns) = point.split_at(log_rows);
        let zeros = |count: usize| core::iter::repeat_n(K::ZERO, count);
        let number = (0..log_parts(self.parts.len())).rev().map(|bit| K::from_bool(part >> bit & 1 == 1));
        zeros(self.log_rows - log_rows - log_stride)
            .chain(rows.iter().copied())
            .chain(zeros(log_stride))
            .chain(number)
            .chain(columns.iter().copied())
            .collect()
    }
}

/// Variables that tell the polynomials apart.
fn log_parts(parts: usize) -> usize {
    usize::from(parts > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_of_sizes_fits_one_code() {
        for a in 15..=32 {
            for b in 15..=32 {
                let joint = Joint::new(&[a, b]);
                assert_eq!(joint.num_variables(), a.max(b) + 1);
                for (part, n) in joint.parts().iter().zip([a, b]) {
                    let own = Code::new(n);
                    assert_eq!(own.log_width, joint.log_columns());
                    assert_eq!(part.log_leaves + part.log_stride, joint.log_rows() + joint.code().log_inv_rate);
                    assert!(part.log_rows + part.log_stride <= joint.log_rows(), "{a} and {b}: rows beyond the last");
                }
            }
        }
    }

    #[test]
    fn a_single_polynomial_is_its_own_joint() {
        for n in 0..=32 {
            let joint = Joint::new(&[n]);
            let point: Vec<K> = (0..n).map(K::from_usize).collect();
            assert_eq!((joint.num_variables(), joint.code()), (n, Code::new(n)));
            assert_eq!(joint.point(0, &point), point);
        }
    }
}
