//! Pools.

use super::conv::Sliding;
use crate::float::moves::keep;
use crate::float::{Kind, Value};
use crate::onnx::context::{Context, Imported};

fn sliding(c: &Context<'_>, x: Value) -> Imported<Sliding> {
    let shape = c.shape(x);
    c.ensure(shape.len() >= 3, "the input needs 3 or more axes")?;
    let kernel = c.ints("kernel_shape").ok_or_else(|| c.invalid("attribute 'kernel_shape' is missing"))?;
    let kernel = kernel.iter().map(|&k| usize::try_from(k).unwrap_or(0)).collect();
    Sliding::read(c, &shape[2..], kernel)
}

/// The view `[n, c, windows..., places...]` of an input `[n, c, spatial...]`.
fn windows(c: &mut Context<'_>, x: Value, sliding: &Sliding) -> Value {
    let shape = c.shape(x);
    let rank = sliding.kernel.len();
    let mut moves = vec![keep(shape[0]), keep(shape[1])];
    moves.extend((0..rank).map(|i| sliding.window(i)));
    let pairs = c.g.reindex(x, moves);
    let order: Vec<usize> =
        [0, 1].into_iter().chain((0..rank).map(|i| 2 + 2 * i)).chain((0..rank).map(|i| 3 + 2 * i)).collect();
    c.g.transpose(pairs, &order)
}

pub fn max_pool(c: &mut Context<'_>) -> Imported {
    c.only("storage_order", 0)?;
    if c.output_count() > 1 {
        return Err(c.unsupported("the output of indices"));
    }
    let x = c.input(0)?;
    let sliding = sliding(c, x)?;
    let shape = c.shape(x);
    let mut flat: Vec<usize> = shape[..2].to_vec();
    flat.extend(&sliding.output);
    flat.push(sliding.kernel.iter().product());
    let view = windows(c, x, &sliding);
    let view = c.g.reshape(view, &flat);
    // Padding is minus infinity: the maximum is over the places where a window of ones is one.
    let plane: Vec<usize> = [1, 1].into_iter().chain(shape[2..].iter().copied()).collect();
    let ones = c.g.constant(&plane, Kind::Bool, vec![1.0; plane.iter().product()]);
    let present = windows(c, ones, &sliding);
    let present = c.g.reshape(present, &flat[2..]);
    let complete = c.g.as_constant(present).is_some_and(|p| p.iter().all(|&p| p == 1.0));
    Ok(vec![c.g.max(view, (!complete).then_some(present))])
}

pub fn average_pool(c: &mut Context<'_>) -> Imported {
    let x = c.input(0)?;
    let include_padding = c.flag("count_include_pad", false);
    let sliding = sliding(c, x)?;
    let rank = sliding.kernel.len();
    let view = windows(c, x, &sliding);
    let axes: Vec<usize> = (2 + rank..2 + 2 * rank).collect();
    // How many elements each window counts, along each axis; the count of a window is the product.
    let spatial = c.shape(x)[2..].to_vec();
    let counts = |i: usize| -> Vec<f64> {
        let length = spatial[i] as i64;
        let (first, end) = if include_padding { (-sliding.before[i], length + sliding.after[i]) } else { (0, length) };
        let start = |o: usize| o as i64 * sliding.strides[i] - sliding.before[i];
        let counted = |o: usize| {
            let places = (0..sliding.kernel[i] as i64).map(|k| start(o) + k * sliding.dilations[i]);
            places.filter(|p| (first..end).contains(p)).count().max(1) as f64
        };
        (0..sliding.output[i]).map(counted).collect()
    };
    let counts: Vec<Vec<f64>> = (0..rank).map(counts).collect();
    let full: f64 = sliding.kernel.iter().product::<usize>() as f64;
    if counts.iter().zip(&sliding.kernel).all(|(axis, &k)| axis.iter().all(|&n| n == k as f64)) {
        return Ok(vec![c.g.reduce_sum(view, &axes, false, 1.0 / full)]);
    }
    let sum = c.g.reduce_sum(view, &axes, false, 1.0);
    let mut inverse = c.g.scalar(Kind::Real, 1.0);
    for (i, axis) in counts.iter().enumerate() {
        let mut shape = vec![1; rank];
        shape[i] = axis.len();
        let factors = c.g.constant(&shape, Kind::Real, axis.iter().map(|n| 1.0 / n).collect());
        inverse = c.g.mul(inverse, factors);
    }
    Ok(vec![c.g.mul(sum, inverse)])
}

pub fn global(c: &mut Context<'_>, operator: &str) -> Imported {
    let x = c.input(0)?;
    let shape = c.shape(x);
    c.ensure(shape.len() >= 3, "the input needs 3 or more axes")?;
    let axes: Vec<usize> = (2..shape.len()).collect();
    let count: usize = shape[2..].iter().product();
    Ok(vec![match operator {
        "GlobalMaxPool" => c.g.reduce_max(x, &axes, true),
        _ => c.g.reduce_sum(x, &axes, true, 1.0 / count as f64),
    }])
}
