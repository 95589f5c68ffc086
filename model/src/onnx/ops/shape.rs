//! Operators that move elements, or compute shapes.

use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let result = match operator {
        "Constant" => constant(c)?,
        "ConstantOfShape" => {
            let shape = lengths(c, 0, "the shape")?;
            let fill = c.tensor("value")?;
            let (kind, value) = fill.map_or((Kind::Real, 0.0), |t| (t.kind, t.data.first().copied().unwrap_or(0.0)));
            let count = element_count(c, &shape)?;
            c.g.constant(&shape, kind, vec![value; count])
        }
        "Range" => {
            let mut bounds = [0.0; 3];
            for (index, bound) in bounds.iter_mut().enumerate() {
                let value = c.input(index)?;
                *bound = *c.constant(value, "a bound")?.first().ok_or_else(|| c.invalid("a bound is empty"))?;
            }
            let [start, limit, delta] = bounds;
            c.ensure(delta != 0.0, "the step is 0")?;
            let count = ((limit - start) / delta).ceil().max(0.0) as usize;
            element_count(c, &[count])?;
            let kind = c.g.kind(c.input(0)?);
            c.g.constant(&[count], kind, (0..count).map(|i| start + i as f64 * delta).collect())
        }
        "Identity" => c.input(0)?,
        "Dropout" => return dropout(c),
        "Shape" => {
            let shape = c.shape(c.input(0)?);
            let rank = shape.len() as i64;
            let bound = |i: i64| if i < 0 { i.saturating_add(rank) } else { i }.clamp(0, rank) as usize;
            let (start, end) = (bound(c.int("start").unwrap_or(0)), bound(c.int("end").unwrap_or(rank)));
            let part = shape.get(start..end).unwrap_or(&[]).to_vec();
            c.int_constant(&[part.len()], part.iter().map(|&n| n as i64))
        }
        "Size" => {
            let count: usize = c.shape(c.input(0)?).iter().product();
            c.int_constant(&[], [count as i64])
        }
        "Split" => return split(c),
        _ => rearrange(c, operator)?,
    };
    Ok(vec![result])
}

fn rearrange(c: &mut Context<'_>, operator: &str) -> Imported<Value> {
    let x = c.input(0)?;
    let shape = c.shape(x);
    match operator {
        "Reshape" => reshape(c, x),
        "Flatten" => {
            let axis = c.int("axis").unwrap_or(1);
            let axis = if axis == shape.len() as i64 { shape.len() } else { c.axis(axis, shape.len())? };
            let flat = [shape[..axis].iter().product(), shape[axis..].iter().product()];
            Ok(c.g.reshape(x, &flat))
        }
        "Squeeze" => {
            let axes = match c.ints_or_input("axes", 1)? {
                Some(axes) => c.axes(&axes, shape.len())?,
                None => (0..shape.len()).filter(|&a| shape[a] == 1).collect(),
            };
            c.ensure(axes.iter().all(|&a| shape[a] == 1), "an axis to remove is longer than 1")?;
            let rest: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).map(|a| shape[a]).collect();
            Ok(c.g.reshape(x, &rest))
        }
        "Unsqueeze" => {
            let axes = c.ints_or_input("axes", 1)?.ok_or_else(|| c.invalid("the axes are missing"))?;
            let rank = shape.len() + axes.len();
            let axes = c.axes(&axes, rank)?;
            let mut old = shape.iter();
            let grown: Vec<usize> =
                (0..rank).map(|a| if axes.contains(&a) { 1 } else { old.next().copied().unwrap_or(1) }).collect();
            Ok(c.g.reshape(x, &grown))
        }
        "Transpose" => {
            let order = match c.ints("perm") {
                Some(order) => order.iter().map(|&a| c.axis(a, shape.len())).collect::<Imported<Vec<usize>>>()?,
                None => (0..shape.len()).rev().collect(),
            };
            let mut sorted = order.clone();
            sorted.sort_unstable();
            c.ensure(sorted == (0..shape.len()).collect::<Vec<_>>(), "perm is not a permutation of the axes")?;
            Ok(c.g.transpose(x, &order))
        }
        "Expand" => {
            let wanted = lengths(c, 1, "the shape")?;
            let target = crate::float::algebra::broadcast(&[&shape, &wanted]);
            let target =
                target.ok_or_else(|| c.invalid(format!("shapes {shape:?} and {wanted:?} do not broadcast")))?;
            element_count(c, &target)?;
            Ok(c.g.expand(x, &target))
        }
        "Tile" => {
            let repeats = lengths(c, 1, "the repeats")?;
            c.ensure(repeats.len() == shape.len(), "the repeats do not fit the input")?;
            let mut y = x;
            for (axis, (&n, &r)) in shape.iter().zip(&repeats).enumerate().filter(|(_, (_, r))| **r != 1) {
                element_count(c, &[n, r])?;
                y = c.g.gather(y, axis, &[n * r], (0..n * r).map(|i| (i % n) as i64).collect());
            }
            Ok(y)
        }
        "Concat" => concat(c),
        "Slice" => slice(c, x),
        "Pad" => pad(c, x),
        "Trilu" => trilu(c, x),
        "DepthToSpace" | "SpaceToDepth" => blocks(c, x, operator == "DepthToSpace"),
        _ => Err(c.unsupported("the operator is not supported")),
    }
}

/// Lengths from a constant operand.
fn lengths(c: &Context<'_>, index: usize, what: &str) -> Imported<Vec<usize>> {
    let list = c.integers(c.input(index)?, what)?;
    let list: Option<Vec<usize>> = list.iter().map(|&n| usize::try_from(n).ok()).collect();
    list.ok_or_else(|| c.invalid(format!("{what} has a negative length")))
}

fn element_count(c: &Context<'_>, shape: &[usize]) -> Imported<usize> {
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n < 1 << 32);
    count.ok_or_else(|| c.invalid(format!("shape {shape:?} is too large")))
}

fn constant(c: &mut Context<'_>) -> Imported<Value> {
    if let Some(t) = c.tensor("value")? {
        return Ok(c.g.constant(&t.shape, t.kind, t.data));
    }
    if let Some(list) = c.ints("value_ints") {
        return Ok(c.int_constant(&[list.len()], list));
    }
    if let Some(list) = c.floats("value_floats") {
        return Ok(c.g.constant(&[list.len()], Kind::Real, list));
    }
    if let Some(i) = c.int("value_int") {
        return Ok(c.int_constant(&[], [i]));
    }
    let x = c.float("value_float", f64::NAN);
    if x.is_finite() {
        Ok(c.g.scalar(Kind::Real, x))
    } else {
        Err(c.unsupported("its value is not a finite tensor or number"))
    }
}

fn dropout(c: &mut Context<'_>) -> Imported {
    let x = c.input(0)?;
    // Parameters of training, which change nothing at inference.
    for name in ["seed", "is_test"] {
        c.int(name);
    }
    c.float("ratio", 0.5);
    if let Some(training) = c.optional(2)
        && c.constant(training, "training_mode")? != [0.0]
    {
        return Err(c.unsupported("training mode"));
    }
    let shape = c.shape(x);
    let mut results = vec![x];
    if c.output_count() > 1 {
        results.push(c.g.constant(&shape, Kind::Bool, vec![1.0; shape.iter().product()]));
    }
    Ok(results)
}

fn reshape(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    let from = c.shape(x);
    let allow_zero = c.flag("allowzero", false);
    let wanted = c.ints_or_input("shape", 1)?.ok_or_else(|| c.invalid("the shape is missing"))?;
    let mut shape = Vec::new();
    let mut free = None;
    for (axis, &n) in wanted.iter().enumerate() {
        shape.push(match n {
            0 if !allow_zero => *from.get(axis).ok_or_else(|| c.invalid("a 0 in the shape stands for no axis"))?,
            -1 if free.is_none() => {
                free = Some(axis);
                1
            }
            _ => usize::try_from(n).map_err(|_| c.invalid(format!("shape {wanted:?} has a negative length")))?,
        });
    }
    let (total, known) = (from.iter().product::<usize>(), element_count(c, &shape)?);
    if let Some(axis) = free {
        c.ensure(known > 0 && total % known == 0, "the free axis cannot be filled")?;
        shape[axis] = total / known;
    }
    let fits = shape.iter().product::<usize>() == total;
    c.ensure(fits, &format!("{from:?} and {shape:?} differ in their number of elements"))?;
    Ok(c.g.reshape(x, &shape))
}

fn concat(c: &mut Context<'_>) -> Imported<Value> {
    let all = c.all()?;
    let rank = c.shape(all[0]).len();
    let axis = c.axis(c.int("axis").ok_or_else(|| c.invalid("attribute 'axis' is missing"))?, rank)?;
    let others =
        |shape: Vec<usize>| shape.iter().enumerate().filter(|&(a, _)| a != axis).map(|(_, &n)| n).collect::<Vec<_>>();
    let first = others(c.shape(all[0]));
    let fit = all.iter().all(|&v| c.shape(v).len() == rank && others(c.shape(v)) == first);
    c.ensure(fit, "the operands differ in more than the axis")?;
    let parts: Vec<Value> = all.into_iter().filter(|&v| c.g.shape(v)[axis] > 0).collect();
    c.ensure(!parts.is_empty(), "all operands are empty")?;
    Ok(c.g.concat(&parts, axis))
}

fn split(c: &mut Context<'_>) -> Imported {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let axis = c.axis(c.int("axis").unwrap_or(0), shape.len())?;
    let count = c.int("num_outputs").map_or(c.output_count(), |n| n.clamp(1, 1 << 16) as usize);
    let parts = match c.ints_or_input("split", 1)? {
        Some(parts) => parts,
        None => {
            let part = shape[axis].div_ceil(count);
            (0..count).map(|i| part.min(shape[axis].saturating_sub(i * part)) as i64).collect()
        }
    };
    let whole = parts.iter().all(|&p| p > 0) && parts.iter().sum::<i64>() == shape[axis] as i64;
    c.ensure(whole, &format!("parts {parts:?} do not make up an axis of length {}", shape[axis]))?;
    let mut start = 0;
    let mut results = Vec::new();
    for part in parts {
        results.push(c.g.slice(x, axis, start, 1, part as usize));
        start += part;
    }
    Ok(results)
}

fn slice(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    let shape = c.shape(x);
    let missing = |c: &Context<'_>, what: &str| c.invalid(format!("{what} are missing"));
    let starts = c.ints_or_input("starts", 1)?.ok_or_else(|| missing(c, "the starts"))?;
    let ends = c.ints_or_input("ends", 2)?.ok_or_else(|| missing(c, "the ends"))?;
    let axes = c.ints_or_input("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = c.ints_or_input("steps", 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    c.ensure([ends.len(), axes.len(), steps.len()].iter().all(|&n| n == starts.len()), "its lists differ in length")?;
    let mut y = x;
    for (i, &axis) in axes.iter().enumerate() {
        let axis = c.axis(axis, shape.len())?;
        let (n, step) = (shape[axis] as i64, steps[i]);
        c.ensure(step != 0 && step.unsigned_abs() < 1 << 40, "a step is 0 or too large")?;
        let bound = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
        let (start, end) = if step > 0 {
            (bound(starts[i]).clamp(0, n), bound(ends[i]).clamp(0, n))
        } else {
            (bound(starts[i]).clamp(0, n - 1), bound(ends[i]).clamp(-1, n - 1))
        };
        let length = if step > 0 { end - start + step - 1 } else { end - start + step + 1 } / step;
        y = c.g.slice(y, axis, start, step, length.max(0) as usize);
    }
    Ok(y)
}

fn pad(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    let shape = c.shape(x);
    let rank = shape.len();
    let pads = c.ints_or_input("pads", 1)?.ok_or_else(|| c.invalid("the pads are missing"))?;
    let axes = match c.optional(3) {
        Some(axes) => c.integers(axes, "the axes")?.iter().map(|&a| c.axis(a, rank)).collect::<Imported<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    c.ensure(pads.len() == 2 * axes.len(), "the pads do not fit the axes")?;
    c.ensure(pads.iter().all(|p| p.unsigned_abs() < 1 << 31), "a pad is too large")?;
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (pads[i], pads[axes.len() + i]);
    }
    let attribute = c.float("value", 0.0);
    let value = match c.optional(2) {
        Some(value) => c.constant(value, "the padding value")?.first().copied().unwrap_or(0.0),
        None => attribute,
    };
    let grown = |a: usize| shape[a] as i64 + before[a] + after[a];
    c.ensure((0..rank).all(|a| grown(a) > 0), "an axis would be empty")?;
    element_count(c, &(0..rank).map(|a| grown(a) as usize).collect::<Vec<_>>())?;
    let mode = c.string("mode", "constant");
    if mode == "constant" {
        let padded = c.g.pad(x, &before, &after);
        if value == 0.0 {
            return Ok(padded);
        }
        let (kind, ones) = (c.g.kind(x), vec![1.0; shape.iter().product()]);
        let inside = c.g.constant(&shape, kind, ones);
        let inside = c.g.pad(inside, &before, &after);
        let outside = c.g.scale(inside, -value, value);
        return Ok(c.g.add(padded, outside));
    }
    let mut y = x;
    for axis in (0..rank).filter(|&a| before[a] != 0 || after[a] != 0) {
        let n = shape[axis] as i64;
        let source = |o: i64| -> Option<i64> {
            let at = o - before[axis];
            match mode.as_str() {
                "edge" => Some(at.clamp(0, n - 1)),
                "wrap" => Some(at.rem_euclid(n)),
                "reflect" if n == 1 => Some(0),
                "reflect" => {
                    let folded = at.rem_euclid(2 * n - 2);
                    Some(folded.min(2 * n - 2 - folded))
                }
                _ => None,
            }
        };
        let indices: Option<Vec<i64>> = (0..grown(axis)).map(source).collect();
        let indices = indices.ok_or_else(|| c.unsupported(format!("mode '{mode}'")))?;
        y = c.g.gather(y, axis, &[indices.len()], indices);
    }
    Ok(y)
}

fn trilu(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    let shape = c.shape(x);
    c.ensure(shape.len() >= 2, "the input needs 2 or more axes")?;
    let upper = c.flag("upper", true);
    let k = match c.optional(1) {
        Some(k) => c.integers(k, "the diagonal")?.first().copied().unwrap_or(0),
        None => 0,
    };
    let (rows, columns) = (shape[shape.len() - 2] as i64, shape[shape.len() - 1] as i64);
    let keeps = |i: i64, j: i64| if upper { j - i >= k } else { j - i <= k };
    let cells = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
    let mask = cells.map(|(i, j)| f64::from(keeps(i, j))).collect();
    let mask = c.g.constant(&shape[shape.len() - 2..], Kind::Bool, mask);
    let result = c.g.mul(x, mask);
    let kind = c.g.kind(x);
    Ok(c.g.with_kind(result, kind))
}

fn blocks(c: &mut Context<'_>, x: Value, to_space: bool) -> Imported<Value> {
    let shape = c.shape(x);
    let [n, ch, h, w] = shape[..] else { return Err(c.invalid("the input needs 4 axes")) };
    let b = c.int("blocksize").and_then(|b| usize::try_from(b).ok()).filter(|&b| (1..1 << 16).contains(&b));
    let b = b.ok_or_else(|| c.invalid("attribute 'blocksize' is missing or not positive"))?;
    if !to_space {
        c.ensure(h % b == 0 && w % b == 0, "the block does not divide the image")?;
        let split = c.g.reshape(x, &[n, ch, h / b, b, w / b, b]);
        let moved = c.g.transpose(split, &[0, 3, 5, 1, 2, 4]);
        return Ok(c.g.reshape(moved, &[n, b * b * ch, h / b, w / b]));
    }
    c.ensure(ch % (b * b) == 0, "the block does not divide the channels")?;
    let depth = ch / (b * b);
    let (split, order) = match c.string("mode", "DCR").as_str() {
        "DCR" => ([n, b, b, depth, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, depth, b, b, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(c.unsupported(format!("mode '{other}'"))),
    };
    let split = c.g.reshape(x, &split);
    let moved = c.g.transpose(split, &order);
    Ok(c.g.reshape(moved, &[n, depth, h * b, w * b]))
}
