//! Indexing. Constant indices make a view; indices that the model computes become one-hot vectors, which select by a
//! contraction.

use crate::float::{Term, Value};
use crate::onnx::context::{Context, Imported};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let result = match operator {
        "Gather" => gather(c)?,
        "GatherElements" => gather_elements(c)?,
        "ScatterElements" => scatter_elements(c)?,
        "OneHot" => one_hot(c)?,
        _ => {
            let x = c.input(0)?;
            let (data, shape) = (c.constant(x, "the input")?, c.shape(x));
            let strides = kernels::dense::strides(&shape);
            let places: Vec<usize> = (0..data.len()).filter(|&i| data[i] != 0.0).collect();
            let mut rows = Vec::new();
            for axis in 0..shape.len() {
                rows.extend(places.iter().map(|&i| (i / strides[axis] % shape[axis]) as i64));
            }
            c.int_constant(&[shape.len(), places.len()], rows)
        }
    };
    Ok(vec![result])
}

/// Constant indices, negative ones counted from the end.
fn constant_indices(c: &Context<'_>, indices: Value, length: usize) -> Imported<Option<Vec<i64>>> {
    let Some(data) = c.g.as_constant(indices) else { return Ok(None) };
    let n = length as i64;
    let wrapped = data.iter().map(|&i| if i < 0.0 { i as i64 + n } else { i as i64 }).collect::<Vec<_>>();
    c.ensure(wrapped.iter().all(|i| (0..n).contains(i)), &format!("an index is beyond an axis of length {length}"))?;
    Ok(Some(wrapped))
}

fn gather(c: &mut Context<'_>) -> Imported<Value> {
    let (x, indices) = (c.input(0)?, c.input(1)?);
    let (shape, index_shape) = (c.shape(x), c.shape(indices));
    let axis = c.axis(c.int("axis").unwrap_or(0), shape.len())?;
    if let Some(constant) = constant_indices(c, indices, shape[axis])? {
        return Ok(c.g.gather(x, axis, &index_shape, constant));
    }
    let hot = c.g.one_hot(indices, shape[axis]);
    // x[a.., n, b..] and hot[i.., n] to [a.., i.., b..].
    let mut dims = shape.clone();
    let x_labels: Vec<u8> = (0..shape.len() as u8).collect();
    let index_labels: Vec<u8> = (0..index_shape.len()).map(|i| (shape.len() + i) as u8).collect();
    dims.extend(&index_shape);
    let hot_labels = [&index_labels[..], &[axis as u8]].concat();
    let out = [&x_labels[..axis], &index_labels, &x_labels[axis + 1..]].concat();
    let kind = c.g.kind(x);
    let term = Term { coefficient: 1.0, operands: vec![(hot, hot_labels), (x, x_labels)] };
    Ok(c.g.einsum(kind, dims, out, vec![term]))
}

/// `out[.., i, ..] = x[.., index[.., i, ..], ..]`: the other axes are shared.
fn gather_elements(c: &mut Context<'_>) -> Imported<Value> {
    let (x, indices) = (c.input(0)?, c.input(1)?);
    let (shape, index_shape) = (c.shape(x), c.shape(indices));
    let axis = c.axis(c.int("axis").unwrap_or(0), shape.len())?;
    let others_fit =
        index_shape.len() == shape.len() && (0..shape.len()).all(|a| a == axis || index_shape[a] <= shape[a]);
    c.ensure(others_fit, "the indices do not fit the input")?;
    let hot = match constant_indices(c, indices, shape[axis])? {
        Some(constant) => {
            let constant = c.int_constant(&index_shape, constant);
            c.g.one_hot(constant, shape[axis])
        }
        None => c.g.one_hot(indices, shape[axis]),
    };
    let mut x = x;
    for a in (0..shape.len()).filter(|&a| a != axis && index_shape[a] < shape[a]) {
        x = c.g.slice(x, a, 0, 1, index_shape[a]);
    }
    let mut dims = index_shape;
    let summed = dims.len() as u8;
    dims.push(shape[axis]);
    let out: Vec<u8> = (0..summed).collect();
    let hot_labels = [&out[..], &[summed]].concat();
    let x_labels = out.iter().map(|&l| if l as usize == axis { summed } else { l }).collect();
    let kind = c.g.kind(x);
    let term = Term { coefficient: 1.0, operands: vec![(hot, hot_labels), (x, x_labels)] };
    Ok(c.g.einsum(kind, dims, out, vec![term]))
}

/// `x` with `updates` in place of its elements at the indices along an axis. Two equal indices leave ONNX's result
/// undefined; here the updates add up.
fn scatter_elements(c: &mut Context<'_>) -> Imported<Value> {
    let (x, indices, updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let reduction = c.string("reduction", "none");
    if reduction != "none" {
        return Err(c.unsupported(format!("reduction '{reduction}'")));
    }
    let (shape, index_shape) = (c.shape(x), c.shape(indices));
    let axis = c.axis(c.int("axis").unwrap_or(0), shape.len())?;
    let others_fit =
        index_shape.len() == shape.len() && (0..shape.len()).all(|a| a == axis || index_shape[a] <= shape[a]);
    c.ensure(others_fit && index_shape == c.shape(updates), "indices, updates and input do not fit each other")?;
    let indices = match constant_indices(c, indices, shape[axis])? {
        Some(constant) => c.int_constant(&index_shape, constant),
        None => indices,
    };
    // hot[.., i, .., n] to covered[.., n, ..] and landed[.., n, ..], the axis i summed.
    let hot = c.g.one_hot(indices, shape[axis]);
    let mut dims = index_shape.clone();
    let place = dims.len() as u8;
    dims.push(shape[axis]);
    let labels: Vec<u8> = (0..place).collect();
    let hot_labels = [&labels[..], &[place]].concat();
    let out: Vec<u8> = labels.iter().map(|&l| if l as usize == axis { place } else { l }).collect();
    let after: Vec<i64> =
        (0..shape.len()).map(|a| if a == axis { 0 } else { (shape[a] - index_shape[a]) as i64 }).collect();
    let mut sum = |operands: Vec<(Value, Vec<u8>)>| {
        let kind = c.g.join(operands.iter().map(|o| o.0));
        let value = c.g.einsum(kind, dims.clone(), out.clone(), vec![Term { coefficient: 1.0, operands }]);
        c.g.pad(value, &vec![0; after.len()], &after)
    };
    let covered = sum(vec![(hot, hot_labels.clone())]);
    let landed = sum(vec![(hot, hot_labels), (updates, labels)]);
    Ok(c.g.linear(&[(1.0, &[x]), (-1.0, &[x, covered]), (1.0, &[landed])]))
}

fn one_hot(c: &mut Context<'_>) -> Imported<Value> {
    let indices = c.input(0)?;
    let depth = c.integers(c.input(1)?, "the depth")?.first().copied().unwrap_or(0);
    let values = c.constant(c.input(2)?, "the values")?;
    let kind = c.g.kind(c.input(2)?);
    let (depth, &[off, on]) = (usize::try_from(depth).unwrap_or(0), &values[..]) else {
        return Err(c.invalid("the values must be two numbers"));
    };
    c.ensure((1..1 << 20).contains(&depth), "the depth must be from 1 to 2^20")?;
    let rank = c.shape(indices).len();
    let axis = c.axis(c.int("axis").unwrap_or(-1), rank + 1)?;
    let hot = c.g.one_hot(indices, depth);
    let hot = c.g.axis_from_last(hot, axis);
    let scaled = c.g.scale(hot, on - off, off);
    Ok(c.g.with_kind(scaled, kind))
}
