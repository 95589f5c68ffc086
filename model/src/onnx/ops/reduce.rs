//! Reductions over axes.

use super::arithmetic::absolute;
use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};
use crate::scalar::{Expr, Primitive};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let x = c.input(0)?;
    let rank = c.shape(x).len();
    if operator == "ArgMax" || operator == "ArgMin" {
        return arg(c, x, operator == "ArgMin").map(|y| vec![y]);
    }
    let named = c.ints_or_input("axes", 1)?;
    let keep = c.flag("keepdims", true);
    let no_op = c.flag("noop_with_empty_axes", false);
    let axes = match named {
        Some(axes) if !axes.is_empty() => c.axes(&axes, rank)?,
        _ if no_op => return Ok(vec![x]),
        _ => (0..rank).collect(),
    };
    if axes.is_empty() {
        return Ok(vec![x]);
    }
    let count: usize = axes.iter().map(|&a| c.g.shape(x)[a]).product();
    let result = match operator {
        "ReduceSum" => c.g.reduce_sum(x, &axes, keep, 1.0),
        "ReduceMean" => c.g.reduce_sum(x, &axes, keep, 1.0 / count as f64),
        "ReduceMax" => c.g.reduce_max(x, &axes, keep),
        "ReduceMin" => {
            let negated = c.g.scale(x, -1.0, 0.0);
            let max = c.g.reduce_max(negated, &axes, keep);
            c.g.scale(max, -1.0, 0.0)
        }
        "ReduceL1" => {
            let absolute = absolute(c, x);
            c.g.reduce_sum(absolute, &axes, keep, 1.0)
        }
        _ => {
            let square = c.g.mul(x, x);
            let sum = c.g.reduce_sum(square, &axes, keep, 1.0);
            if operator == "ReduceL2" { c.g.map(sum, Expr::of(Primitive::Sqrt)) } else { sum }
        }
    };
    Ok(vec![result])
}

fn arg(c: &mut Context<'_>, x: Value, least: bool) -> Imported<Value> {
    let shape = c.shape(x);
    let axis = c.axis(c.int("axis").unwrap_or(0), shape.len())?;
    let keep = c.flag("keepdims", true);
    let last = c.flag("select_last_index", false);
    let x = if least { c.g.scale(x, -1.0, 0.0) } else { x };
    let x = c.g.axis_last(x, axis);
    let index = c.g.arg_max(x, last);
    let index = c.g.with_kind(index, Kind::Int);
    let mut kept = shape;
    kept[axis] = 1;
    Ok(if keep { c.g.reshape(index, &kept) } else { index })
}
