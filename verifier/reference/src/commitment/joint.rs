//! Opening polynomials together: `J(row, i, column) = P_i(row / 2^s_i, column)` where `2^s_i` divides `row`, else 0. Rows are
//! coefficients, so `J`'s codeword at place `x` is leaf `x mod leaves_i` of each tree, side by side.

use super::parameters::first_rate;
use crate::field::{K, count};

/// Variables of a row of one polynomial.
pub const COLUMNS: usize = 5;

/// A polynomial among those opened together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Its number.
    number: usize,
    /// Logarithm of the rows of its message.
    log_rows: usize,
    /// Logarithm of the leaves of its tree.
    pub log_leaves: usize,
    /// `s_i`.
    log_stride: usize,
}

/// The places of polynomials of so many variables each.
pub fn parts(variables: &[usize]) -> Vec<Part> {
    // Those of a single small polynomial may not fill a row.
    let rows = |n: usize| n - COLUMNS.min(n);
    let log_leaves = |n: usize| rows(n) + first_rate(n);
    let most = variables.iter().map(|&n| log_leaves(n)).max().unwrap_or(0);
    let part = |(number, &n): (usize, &usize)| Part {
        number,
        log_rows: rows(n),
        log_leaves: log_leaves(n),
        log_stride: most - log_leaves(n),
    };
    variables.iter().enumerate().map(part).collect()
}

/// The point of the joint polynomial, of so many rows, that is a part's point: its row's high bits, its row, its row's low bits, its
/// number, its column.
pub fn point(parts: &[Part], part: &Part, log_rows: usize, own: &[K]) -> Vec<K> {
    let (row, column) = own.split_at(part.log_rows);
    let mut point = vec![count(0); log_rows - part.log_rows - part.log_stride];
    point.extend_from_slice(row);
    point.resize(log_rows, count(0));
    if parts.len() > 1 {
        point.push(count(part.number));
    }
    point.extend_from_slice(column);
    point
}
