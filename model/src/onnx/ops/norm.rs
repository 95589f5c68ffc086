//! Normalisations and softmax, in terms of means, roots, maxima and divisions.

use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};
use crate::scalar::{Expr, Primitive};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let x = c.input(0)?;
    let result = match operator {
        "BatchNormalization" => batch(c, x)?,
        "LayerNormalization" | "RMSNormalization" => return layer(c, x, operator == "RMSNormalization"),
        "InstanceNormalization" | "GroupNormalization" => channels(c, x, operator == "GroupNormalization")?,
        "Hardmax" => {
            let (flat, shape, axis) = rows(c, x)?;
            let n = c.shape(flat)[c.shape(flat).len() - 1];
            let index = c.g.arg_max(flat, false);
            let hot = c.g.one_hot(index, n);
            let hot = c.g.with_kind(hot, Kind::Real);
            restore(c, hot, &shape, axis)
        }
        _ => {
            let (flat, shape, axis) = rows(c, x)?;
            let y = softmax(c, flat, operator == "LogSoftmax");
            restore(c, y, &shape, axis)
        }
    };
    Ok(vec![result])
}

/// The value with the axis of the softmax last, and what it takes to undo that. Before operator set 13 the axes from
/// `axis` on count as one.
fn rows(c: &mut Context<'_>, x: Value) -> Imported<(Value, Vec<usize>, usize)> {
    let shape = c.shape(x);
    c.ensure(!shape.is_empty(), "the input is a scalar")?;
    let old = c.opset < 13;
    let axis = c.axis(c.int("axis").unwrap_or(if old { 1 } else { -1 }), shape.len())?;
    if old && axis + 1 < shape.len() {
        let flat: Vec<usize> = shape[..axis].iter().copied().chain([shape[axis..].iter().product()]).collect();
        return Ok((c.g.reshape(x, &flat), shape, usize::MAX));
    }
    Ok((c.g.axis_last(x, axis), shape, axis))
}

fn restore(c: &mut Context<'_>, y: Value, shape: &[usize], axis: usize) -> Value {
    if axis == usize::MAX { c.g.reshape(y, shape) } else { c.g.axis_from_last(y, axis) }
}

/// `exp(x - max) / sum exp(x - max)` over the last axis, or its logarithm.
fn softmax(c: &mut Context<'_>, x: Value, logarithm: bool) -> Value {
    let last = c.shape(x).len() - 1;
    let max = c.g.reduce_max(x, &[last], true);
    let gap = c.g.sub(x, max);
    let powers = c.g.map(gap, Expr::of(Primitive::Exp));
    let sum = c.g.reduce_sum(powers, &[last], true, 1.0);
    if logarithm {
        let log = c.g.map(sum, Expr::of(Primitive::Ln));
        return c.g.sub(gap, log);
    }
    c.g.div(powers, sum)
}

/// A vector over axis 1 of a tensor of the given rank, ready to broadcast.
fn over_channels(c: &mut Context<'_>, value: Value, rank: usize) -> Value {
    let mut shape = vec![1; rank - 1];
    shape[0] = c.shape(value).iter().product();
    c.g.reshape(value, &shape)
}

fn batch(c: &mut Context<'_>, x: Value) -> Imported<Value> {
    c.only("training_mode", 0)?;
    c.only("spatial", 1)?;
    c.float("momentum", 0.9);
    let epsilon = c.float("epsilon", 1e-5);
    let rank = c.shape(x).len();
    c.ensure(rank >= 2, "the input needs 2 or more axes")?;
    let mut parameters = Vec::new();
    for index in 1..5 {
        let parameter = c.input(index)?;
        c.ensure(c.shape(parameter) == [c.shape(x)[1]], "a parameter does not fit the channels")?;
        parameters.push(over_channels(c, parameter, rank));
    }
    let [scale, bias, mean, variance] = parameters[..] else { return Err(c.invalid("four parameters are needed")) };
    let variance = c.g.scale(variance, 1.0, epsilon);
    let inverse = c.g.rsqrt(variance);
    let factor = c.g.mul(scale, inverse);
    let offset = c.g.linear(&[(1.0, &[bias]), (-1.0, &[mean, factor])]);
    Ok(c.g.linear(&[(1.0, &[x, factor]), (1.0, &[offset])]))
}

fn layer(c: &mut Context<'_>, x: Value, rms: bool) -> Imported {
    c.only("stash_type", 1)?;
    let rank = c.shape(x).len();
    let first = c.axis(c.int("axis").unwrap_or(-1), rank)?;
    let epsilon = c.float("epsilon", 1e-5);
    let axes: Vec<usize> = (first..rank).collect();
    let standardised = c.g.standardise(x, &axes, epsilon, !rms);
    let y = c.g.linear(&[(standardised.factor, &[standardised.scaled, standardised.inverse])]);
    let scale = c.input(1)?;
    c.broadcast(&[y, scale])?;
    let y = match c.optional(2) {
        Some(bias) => {
            c.broadcast(&[y, bias])?;
            c.g.linear(&[(1.0, &[y, scale]), (1.0, &[bias])])
        }
        None => c.g.mul(y, scale),
    };
    let mean = standardised.mean.map(|(mean, factor)| c.g.scale(mean, factor, 0.0));
    let inverse_deviation = c.g.scale(standardised.inverse, standardised.deviation, 0.0);
    Ok([y].into_iter().chain(mean).chain([inverse_deviation]).collect())
}

fn channels(c: &mut Context<'_>, x: Value, grouped: bool) -> Imported<Value> {
    let shape = c.shape(x);
    let rank = shape.len();
    c.ensure(rank >= 3, "the input needs 3 or more axes")?;
    c.only("stash_type", 1)?;
    let epsilon = c.float("epsilon", 1e-5);
    let groups = if grouped { c.int("num_groups").unwrap_or(0) as usize } else { shape[1] };
    c.ensure(groups > 0 && shape[1].is_multiple_of(groups), "the groups do not divide the channels")?;
    let mut split = vec![shape[0], groups, shape[1] / groups];
    split.extend(&shape[2..]);
    let x = c.g.reshape(x, &split);
    let axes: Vec<usize> = (2..split.len()).collect();
    let standardised = c.g.standardise(x, &axes, epsilon, true);
    let y = c.g.linear(&[(standardised.factor, &[standardised.scaled, standardised.inverse])]);
    let y = c.g.reshape(y, &shape);
    let (scale, bias) = (c.input(1)?, c.input(2)?);
    let fits = [scale, bias].iter().all(|&p| c.shape(p) == [shape[1]]);
    if grouped && !fits {
        return Err(c.unsupported("scales by group (operator set 18); use operator set 21"));
    }
    c.ensure(fits, "a parameter does not fit the channels")?;
    let (scale, bias) = (over_channels(c, scale, rank), over_channels(c, bias, rank));
    Ok(c.g.linear(&[(1.0, &[y, scale]), (1.0, &[bias])]))
}
