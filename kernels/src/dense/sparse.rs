//! Contractions of one large factor with others that are nearly all zero, as one-hot tokens are: rows of the large one
//! are chosen, not multiplied.

use super::{Factor, Scalar, lengths, strides};
use rayon::prelude::*;

/// Smallest factor worth choosing from.
pub const LARGE: usize = 1 << 16;
/// A factor is sparse if at most one in so many elements is not zero.
const SPARSE: usize = 4;

/// A product of elements that are not zero: the index of every label that they have, and the product.
struct Choice<T> {
    index: Vec<Option<usize>>,
    product: T,
}

/// The product of the factors summed over every label that is not in `keep`; `None` if the factors are not of this kind.
pub fn contract<T: Scalar>(dims: &[usize], keep: &[u8], factors: &[Factor<'_, T>]) -> Option<Factor<'static, T>> {
    let position = (0..factors.len()).max_by_key(|&i| factors[i].data.len())?;
    let large = &factors[position];
    if large.data.len() < LARGE {
        return None;
    }
    let others: Vec<&Factor<'_, T>> = (0..factors.len()).filter(|&i| i != position).map(|i| &factors[i]).collect();
    chosen(dims, keep, &large.labels, &others, &|from, factor, sums| {
        for (sum, &x) in sums.iter_mut().zip(&large.data[from..]) {
            *sum = sum.add_product(factor, x);
        }
    })
}

/// As [`contract`], with a large factor that only its labels and `add` are known of: `add(from, c, sums)` adds `c` times
/// its elements from `from` on to `sums`.
pub fn chosen<T: Scalar>(
    dims: &[usize],
    keep: &[u8],
    large: &[u8],
    others: &[&Factor<'_, T>],
    add: &dyn Fn(usize, T, &mut [T]),
) -> Option<Factor<'static, T>> {
    let named = |label: u8| others.iter().any(|f| f.labels.contains(&label));
    // The large factor's kept labels follow its summed ones, so a choice is a run of its elements.
    let first_kept = large.iter().position(|&l| !named(l))?;
    let (chosen, run) = large.split_at(first_kept);
    let runs = run.iter().all(|&l| keep.contains(&l) && !named(l)) && !chosen.iter().any(|l| keep.contains(l));
    if !runs || others.is_empty() || !others.iter().all(|f| is_sparse(f)) {
        return None;
    }
    let mut choices = vec![Choice { index: vec![None; dims.len()], product: T::ONE }];
    for factor in others {
        choices = joined(dims, &choices, factor)?;
    }
    let rows: Vec<u8> = keep.iter().copied().filter(|&l| named(l)).collect();
    let (row_lengths, chosen_lengths) = (lengths(dims, &rows), lengths(dims, chosen));
    let width: usize = lengths(dims, run).iter().product();
    let place = |labels: &[u8], lengths: &[usize], index: &[Option<usize>]| {
        labels.iter().zip(lengths).try_fold(0, |flat, (&l, &n)| Some(flat * n + index[l as usize]?))
    };
    let mut data = vec![T::default(); row_lengths.iter().product::<usize>() * width];
    for choice in &choices {
        let row = place(&rows, &row_lengths, &choice.index)?;
        let from = place(chosen, &chosen_lengths, &choice.index)? * width;
        add(from, choice.product, &mut data[row * width..][..width]);
    }
    Some(Factor::owned(data, [&rows[..], run].concat()))
}

fn is_sparse<T: Scalar>(factor: &Factor<'_, T>) -> bool {
    let filled = factor.data.par_iter().filter(|&&x| x != T::default()).count();
    filled * SPARSE <= factor.data.len()
}

/// Every choice with every element of the factor that agrees with it.
fn joined<T: Scalar>(dims: &[usize], choices: &[Choice<T>], factor: &Factor<'_, T>) -> Option<Vec<Choice<T>>> {
    let lengths = lengths(dims, &factor.labels);
    let own = strides(&lengths);
    let mut result = Vec::new();
    for (flat, &x) in factor.data.iter().enumerate().filter(|(_, x)| **x != T::default()) {
        let at = |axis: usize| flat / own[axis] % lengths[axis];
        let agrees = |choice: &&Choice<T>| {
            factor.labels.iter().enumerate().all(|(axis, &l)| choice.index[l as usize].is_none_or(|i| i == at(axis)))
        };
        for choice in choices.iter().filter(agrees) {
            let mut index = choice.index.clone();
            factor.labels.iter().enumerate().for_each(|(axis, &l)| index[l as usize] = Some(at(axis)));
            result.push(Choice { index, product: T::default().add_product(choice.product, x) });
        }
    }
    // As many choices as elements: multiplying is no slower.
    (result.len() * SPARSE <= factor.data.len().max(LARGE)).then_some(result)
}
