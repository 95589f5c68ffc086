//! Sorting by rank: an element's rank is the number of elements that come before it.

use crate::float::{Kind, Term, Value};
use crate::onnx::context::{Context, Imported};

/// Longest axis that is sorted: every pair of its elements is compared.
const LONGEST: usize = 1024;

/// The first `k` elements of an axis in descending (or ascending) order, equal ones in the order of their indices, and
/// their indices.
pub fn top_k(c: &mut Context<'_>) -> Imported {
    let x = c.input(0)?;
    let k = match c.optional(1) {
        Some(k) => c.integers(k, "k")?.first().copied(),
        None => c.int("k"),
    };
    let shape = c.shape(x);
    let axis = c.axis(c.int("axis").unwrap_or(-1), shape.len())?;
    let n = shape[axis];
    let k = k.and_then(|k| usize::try_from(k).ok()).filter(|k| (1..=n).contains(k));
    let k = k.ok_or_else(|| c.invalid(format!("k must be from 1 to {n}")))?;
    if n > LONGEST {
        return Err(c.unsupported(format!("an axis of {n} elements; at most {LONGEST} are sorted")));
    }
    let largest = c.flag("largest", true);
    c.flag("sorted", true);
    let rows = c.g.axis_last(x, axis);
    let keys = if largest { rows } else { c.g.scale(rows, -1.0, 0.0) };
    let rank = rank(c, keys);
    let hot = c.g.one_hot(rank, n);
    let hot = c.g.slice(hot, shape.len(), 0, 1, k);
    // hot[.., j, p] is 1 where element j has rank p.
    let mut dims = c.shape(rows);
    dims.push(k);
    let (element, place) = (shape.len() as u8 - 1, shape.len() as u8);
    let row: Vec<u8> = (0..element).collect();
    let index = c.int_constant(&[n], 0..n as i64);
    let mut results = Vec::new();
    for (value, labels) in [(rows, [&row[..], &[element]].concat()), (index, vec![element])] {
        let operands = vec![(hot, [&row[..], &[element, place]].concat()), (value, labels)];
        let (kind, out) = (c.g.kind(value), [&row[..], &[place]].concat());
        let picked = c.g.einsum(kind, dims.clone(), out, vec![Term { coefficient: 1.0, operands }]);
        results.push(c.g.axis_from_last(picked, axis));
    }
    Ok(results)
}

/// `rank_j = #{i: x_i > x_j} + #{i < j: x_i = x_j}` along the last axis: `x_i` comes before `x_j` if `x_i > x_j`, or if
/// `i < j` and not `x_j > x_i`.
fn rank(c: &mut Context<'_>, x: Value) -> Value {
    let shape = c.shape(x);
    let (n, rank) = (shape[shape.len() - 1], shape.len());
    let column = c.g.reshape(x, &[&shape[..], &[1]].concat());
    let row = c.g.reshape(x, &[&shape[..rank - 1], &[1, n]].concat());
    let difference = c.g.sub(column, row);
    // above[.., i, j] = [x_i > x_j]
    let above = c.g.positive(difference);
    let triangle = |lower: bool| {
        let cells = (0..n).flat_map(|i| (0..n).map(move |j| f64::from(if lower { i > j } else { i < j })));
        cells.collect::<Vec<f64>>()
    };
    let (later, earlier) =
        (c.g.constant(&[n, n], Kind::Bool, triangle(true)), c.g.constant(&[n, n], Kind::Bool, triangle(false)));
    let order: Vec<usize> = (0..rank - 1).chain([rank, rank - 1]).collect();
    let below = c.g.transpose(above, &order);
    let before = c.g.linear(&[(1.0, &[above, later]), (1.0, &[earlier]), (-1.0, &[below, earlier])]);
    c.g.reduce_sum(before, &[rank - 1], false, 1.0)
}
