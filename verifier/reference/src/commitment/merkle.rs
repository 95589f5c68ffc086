//! Merkle trees over rows: a leaf is BLAKE3 of the row's words, a node BLAKE3 of its two children.

use crate::error::Error;
use crate::field::{F, K, word};
use crate::transcript::Digest;
use std::collections::BTreeMap;

fn fail<T>(problem: &str) -> Result<T, Error> {
    Err(Error::Opening(problem.into()))
}

/// Verifies that the rows stand at these places of a tree of `2^depth` leaves; a place that is queried twice shows one row
/// twice. Siblings that follow from no queried leaf are given level by level from the leaves, from left to right.
pub fn verify(
    root: &Digest,
    depth: usize,
    places: &[usize],
    rows: &[Vec<K>],
    words: impl Fn(&[K]) -> Vec<F>,
    siblings: &[Digest],
) -> Result<(), Error> {
    if places.len() != rows.len() {
        return fail("another number of rows than queries");
    }
    let mut shown: BTreeMap<usize, &[K]> = BTreeMap::new();
    for (&place, row) in places.iter().zip(rows) {
        if place >= 1 << depth {
            return fail("a query beyond the tree");
        }
        if shown.insert(place, row).is_some_and(|other| other != row) {
            return fail("two rows at one place");
        }
    }
    let leaf = |row: &[K]| {
        *blake3::hash(&words(row).iter().flat_map(|&x| word(x).to_le_bytes()).collect::<Vec<_>>()).as_bytes()
    };
    let mut level: BTreeMap<usize, Digest> = shown.into_iter().map(|(place, row)| (place, leaf(row))).collect();
    let mut siblings = siblings.iter();
    for _ in 0..depth {
        let mut above = BTreeMap::new();
        for &place in level.keys() {
            let left = place & !1;
            if above.contains_key(&(left / 2)) {
                continue;
            }
            let mut children = Vec::new();
            for child in [left, left + 1] {
                let Some(digest) = level.get(&child).or_else(|| siblings.next()) else {
                    return fail("siblings are missing");
                };
                children.extend_from_slice(digest);
            }
            above.insert(left / 2, *blake3::hash(&children).as_bytes());
        }
        level = above;
    }
    if siblings.next().is_some() {
        return fail("siblings are left over");
    }
    if level.get(&0) == Some(root) { Ok(()) } else { fail("the rows are not the committed ones") }
}
