//! Small polynomials: the root is BLAKE3 of the cells, the opening is the cells, as zigzag variable-length integers.

use crate::error::Error;
use crate::field::{F, K, f};
use crate::transcript::Digest;

fn fail<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Opening(problem.into()))
}

/// The values of the packed polynomial at points, from the message that sends its cells.
pub fn verify(root: &Digest, cells: usize, points: &[&[K]], message: &[u8]) -> Result<Vec<K>, Error> {
    if blake3::hash(message).as_bytes() != root {
        return fail("the values sent are not the committed ones");
    }
    let cells = decode(message, cells)?;
    let evaluate = |point: &&[K]| {
        let terms =
            weights(point).into_iter().filter_map(|(i, weight)| cells.get(i).map(|&cell| weight * K::from(cell)));
        terms.sum()
    };
    Ok(points.iter().map(evaluate).collect())
}

/// Indices with their `eq` at the point, but for those where it is 0: a block's offset is coordinates of 0 and 1.
fn weights(point: &[K]) -> Vec<(usize, K)> {
    point.iter().fold(vec![(0, K::ONE)], |all, &x| {
        let halves = all.iter().flat_map(|&(i, weight)| [(2 * i, weight * (K::ONE - x)), (2 * i + 1, weight * x)]);
        halves.filter(|&(_, weight)| weight != K::ZERO).collect()
    })
}

/// Exactly this many cells, from their one encoding.
fn decode(message: &[u8], cells: usize) -> Result<Vec<F>, Error> {
    let mut decoded = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        // Groups of seven bits, the lowest first; the last byte's top bit is clear.
        let length = 1 + rest.iter().take_while(|&&byte| byte >= 0x80).count();
        let Some((group, tail)) = rest.split_at_checked(length) else { return fail("a cell ends early") };
        let superfluous = length > 1 && group.last() == Some(&0);
        let word = group.iter().rev().fold(0u128, |word, &byte| word << 7 | u128::from(byte & 0x7f));
        let Some(word) = u64::try_from(word).ok().filter(|_| length <= 10 && !superfluous) else {
            return fail("a cell is not in its one encoding");
        };
        let magnitude = (word >> 1) as i64;
        decoded.push(f(if word & 1 == 0 { magnitude } else { -magnitude - 1 }));
        rest = tail;
    }
    if decoded.len() == cells { Ok(decoded) } else { fail("another number of cells than committed") }
}
