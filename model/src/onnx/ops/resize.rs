//! Nearest-neighbour resizing: a view.

use crate::float::Value;
use crate::onnx::context::{Context, Imported};

pub fn import(c: &mut Context<'_>, operator: &str) -> Imported {
    let x = c.input(0)?;
    let shape = c.shape(x);
    let mode = c.string("mode", "nearest");
    if mode != "nearest" {
        return Err(c.unsupported(format!("mode '{mode}'; only 'nearest' moves values without computing any")));
    }
    for (name, default) in [("cubic_coeff_a", -0.75), ("extrapolation_value", 0.0)] {
        c.float(name, default);
    }
    c.only("antialias", 0)?;
    c.only("exclude_outside", 0)?;
    if c.string("keep_aspect_ratio_policy", "stretch") != "stretch" {
        return Err(c.unsupported("keep_aspect_ratio_policy"));
    }
    let old = operator == "Upsample" || c.opset < 11;
    let transformation = c.string("coordinate_transformation_mode", if old { "asymmetric" } else { "half_pixel" });
    let rounding = c.string("nearest_mode", if old { "floor" } else { "round_prefer_floor" });
    let axes = match c.ints("axes") {
        Some(axes) => axes.iter().map(|&a| c.axis(a, shape.len())).collect::<Imported<Vec<usize>>>()?,
        None => (0..shape.len()).collect(),
    };
    let scales_at = if old { 1 } else { 2 };
    let list = |c: &Context<'_>, value: Option<Value>, what: &str| -> Imported<Option<Vec<f64>>> {
        Ok(value.map(|v| c.constant(v, what)).transpose()?.filter(|list| !list.is_empty()))
    };
    let scales = list(c, c.optional(scales_at), "the scales")?.or_else(|| if old { c.floats("scales") } else { None });
    let sizes = if old { None } else { list(c, c.optional(3), "the sizes")? };
    let given = scales.as_ref().or(sizes.as_ref()).ok_or_else(|| c.invalid("neither scales nor sizes are given"))?;
    c.ensure(given.len() == axes.len(), "scales or sizes do not fit the axes")?;
    let mut y = x;
    for (i, &axis) in axes.iter().enumerate() {
        let from = shape[axis] as f64;
        let (to, scale) = match (&sizes, &scales) {
            (Some(sizes), _) => (sizes[i], sizes[i] / from),
            (None, Some(scales)) => ((from * scales[i]).floor(), scales[i]),
            (None, None) => (from, 1.0),
        };
        c.ensure((1.0..1e9).contains(&to) && scale > 0.0, "an axis would be empty or too long")?;
        let source = |o: f64| -> Option<f64> {
            let at = match transformation.as_str() {
                "half_pixel" => (o + 0.5) / scale - 0.5,
                "pytorch_half_pixel" => {
                    if to > 1.0 {
                        (o + 0.5) / scale - 0.5
                    } else {
                        0.0
                    }
                }
                "asymmetric" => o / scale,
                "align_corners" => {
                    if to > 1.0 {
                        o * (from - 1.0) / (to - 1.0)
                    } else {
                        0.0
                    }
                }
                _ => return None,
            };
            Some(match rounding.as_str() {
                "floor" => at.floor(),
                "ceil" => at.ceil(),
                "round_prefer_ceil" => (at + 0.5).floor(),
                "round_prefer_floor" => (at - 0.5).ceil(),
                _ => return None,
            })
        };
        let indices: Option<Vec<i64>> =
            (0..to as usize).map(|o| source(o as f64).map(|at| at.clamp(0.0, from - 1.0) as i64)).collect();
        let indices = indices.ok_or_else(|| {
            c.unsupported(format!("coordinate_transformation_mode '{transformation}' with nearest_mode '{rounding}'"))
        })?;
        if indices.len() != shape[axis] || indices.iter().enumerate().any(|(o, &i)| o as i64 != i) {
            y = c.g.gather(y, axis, &[to as usize], indices);
        }
    }
    Ok(vec![y])
}
