//! `constant + sum factor * column`: the leaves of a lookup argument from integer columns.

use super::PARALLEL_FROM;
use crate::device::Affine;
use crate::{Ints, with_ints};
use rayon::prelude::*;
use verifier::field::{K, from_i64};

/// The slices, end to end.
pub fn affine(slices: &[Affine<Ints>]) -> Vec<K> {
    let mut out = Vec::with_capacity(slices.iter().map(|s| s.len).sum());
    for slice in slices {
        let start = out.len();
        out.resize(start + slice.len, slice.constant);
        for &(factor, column) in &slice.terms {
            with_ints!(column, column => add_multiple(&mut out[start..], factor, column));
        }
    }
    out
}

/// `slice += factor * column`.
fn add_multiple<T: Copy + Into<i64> + Sync>(slice: &mut [K], factor: K, column: &[T]) {
    let pairs = slice.par_iter_mut().zip(column).with_min_len(PARALLEL_FROM);
    pairs.for_each(|(out, &x)| *out += factor * from_i64(x.into()));
}
