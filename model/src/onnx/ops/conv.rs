//! Convolutions: a view gives every output position its window, a contraction does the rest.

use crate::float::moves::{AxisMove, affine, keep};
use crate::float::{Term, Value};
use crate::onnx::context::{Context, Imported};
use verifier::graph::IndexMap;

/// How a kernel moves along the spatial axes.
pub struct Sliding {
    /// Length of the kernel.
    pub kernel: Vec<usize>,
    /// Step between windows.
    pub strides: Vec<i64>,
    /// Step inside a window.
    pub dilations: Vec<i64>,
    /// Zeros before each axis.
    pub before: Vec<i64>,
    /// Zeros after each axis.
    pub after: Vec<i64>,
    /// Number of windows.
    pub output: Vec<usize>,
}

impl Sliding {
    /// Reads the attributes that convolutions and pools share; `spatial` are the input's lengths.
    pub fn read(c: &Context<'_>, spatial: &[usize], kernel: Vec<usize>) -> Imported<Self> {
        let rank = spatial.len();
        let list = |name: &str, default: i64, least: i64, count: usize| -> Imported<Vec<i64>> {
            let list = c.ints(name).unwrap_or_else(|| vec![default; count]);
            c.ensure(list.len() == count, &format!("attribute '{name}' needs {count} numbers"))?;
            c.ensure(
                list.iter().all(|i| (least..1 << 31).contains(i)),
                &format!("attribute '{name}' is out of range"),
            )?;
            Ok(list)
        };
        c.ensure(kernel.len() == rank && kernel.iter().all(|&k| k > 0), "the kernel does not fit the input")?;
        let (strides, dilations) = (list("strides", 1, 1, rank)?, list("dilations", 1, 1, rank)?);
        let pads = list("pads", 0, 0, 2 * rank)?;
        let (mut before, mut after) = (pads[..rank].to_vec(), pads[rank..].to_vec());
        let extent = |i: usize| dilations[i] * (kernel[i] as i64 - 1) + 1;
        let auto = c.string("auto_pad", "NOTSET");
        if auto == "SAME_UPPER" || auto == "SAME_LOWER" {
            for i in 0..rank {
                let windows = (spatial[i] as i64 + strides[i] - 1) / strides[i];
                let total = ((windows - 1) * strides[i] + extent(i) - spatial[i] as i64).max(0);
                let small = total / 2;
                (before[i], after[i]) =
                    if auto == "SAME_UPPER" { (small, total - small) } else { (total - small, small) };
            }
        } else if auto != "NOTSET" && auto != "VALID" && !auto.is_empty() {
            return Err(c.unsupported(format!("auto_pad = '{auto}'")));
        }
        let ceil = c.flag("ceil_mode", false);
        let mut output = Vec::new();
        for i in 0..rank {
            let free = spatial[i] as i64 + before[i] + after[i] - extent(i);
            c.ensure(free >= 0, "the kernel is longer than the padded input")?;
            let mut windows = free / strides[i] + 1;
            // The last window must start inside the input or the padding before it.
            if ceil && free % strides[i] != 0 && windows * strides[i] < spatial[i] as i64 + before[i] {
                windows += 1;
            }
            output.push(windows as usize);
        }
        Ok(Self { kernel, strides, dilations, before, after, output })
    }

    /// Axis `i` replaced by (window, place in the window).
    pub fn window(&self, i: usize) -> AxisMove {
        let map = affine(-self.before[i], &[self.strides[i], self.dilations[i]]);
        (vec![self.output[i], self.kernel[i]], map)
    }
}

/// `[groups, count / groups]` of a channel axis.
fn split_channels(count: usize, groups: usize) -> AxisMove {
    let inner = count / groups;
    (vec![groups, inner], affine(0, &[inner as i64, 1]))
}

pub fn conv(c: &mut Context<'_>) -> Imported {
    let (x, w) = (c.input(0)?, c.input(1)?);
    let (shape, weights) = (c.shape(x), c.shape(w));
    c.ensure(shape.len() >= 3 && weights.len() == shape.len(), "input and kernel need the same 3 or more axes")?;
    let groups = c.int("group").unwrap_or(1);
    let groups = usize::try_from(groups).ok().filter(|&g| g > 0 && shape[1] % g == 0 && weights[0] % g == 0);
    let groups = groups.ok_or_else(|| c.invalid("the groups do not divide the channels"))?;
    c.ensure(weights[1] * groups == shape[1], "the kernel's channels do not fit the input's")?;
    let kernel = c.ints("kernel_shape").map(|k| k.iter().map(|&k| k as usize).collect::<Vec<_>>());
    c.ensure(kernel.is_none_or(|k| k == weights[2..]), "kernel_shape differs from the kernel's shape")?;
    let sliding = Sliding::read(c, &shape[2..], weights[2..].to_vec())?;
    let mut moves = vec![keep(shape[0]), split_channels(shape[1], groups)];
    moves.extend((0..sliding.kernel.len()).map(|i| sliding.window(i)));
    let windows = c.g.reindex(x, moves);
    let mut moves = vec![split_channels(weights[0], groups)];
    moves.extend(weights[1..].iter().map(|&n| keep(n)));
    let kernel = c.g.reindex(w, moves);
    contract(c, windows, kernel, [shape[0], groups, weights[0] / groups, weights[1]], &sliding)
}

/// `out[n, g, m, y] = sum_{c, k} windows[n, g, c, y, k] kernel[g, m, c, k] (+ bias)`, groups and channels then merged.
fn contract(
    c: &mut Context<'_>,
    windows: Value,
    kernel: Value,
    [n, groups, m, channels]: [usize; 4],
    sliding: &Sliding,
) -> Imported {
    let rank = sliding.kernel.len();
    let mut dims = vec![n, groups, m, channels];
    let (mut window_labels, mut kernel_labels, mut out) = (vec![0, 1, 3], vec![1, 2, 3], vec![0u8, 1, 2]);
    for i in 0..rank {
        let label = dims.len() as u8;
        dims.extend([sliding.output[i], sliding.kernel[i]]);
        window_labels.extend([label, label + 1]);
        kernel_labels.push(label + 1);
        out.push(label);
    }
    let product = Term { coefficient: 1.0, operands: vec![(windows, window_labels), (kernel, kernel_labels)] };
    let mut terms = vec![product];
    let mut operands = vec![windows, kernel];
    if let Some(bias) = c.optional(2) {
        c.ensure(c.shape(bias) == [groups * m], "the bias does not fit the kernel")?;
        let bias = c.g.reshape(bias, &[groups, m]);
        terms.push(Term { coefficient: 1.0, operands: vec![(bias, vec![1, 2])] });
        operands.push(bias);
    }
    let kind = c.g.join(operands);
    let result = c.g.einsum(kind, dims, out, terms);
    let shape: Vec<usize> = [n, groups * m].into_iter().chain(sliding.output.iter().copied()).collect();
    Ok(vec![c.g.reshape(result, &shape)])
}

/// The transposed convolution is a convolution of the input with zeros between its elements: output position `o` and
/// kernel place `k` meet input element `(o + pad - k * dilation) / stride`, where that is whole and in range.
pub fn conv_transpose(c: &mut Context<'_>) -> Imported {
    let (x, w) = (c.input(0)?, c.input(1)?);
    let (shape, weights) = (c.shape(x), c.shape(w));
    c.ensure(shape.len() >= 3 && weights.len() == shape.len(), "input and kernel need the same 3 or more axes")?;
    let rank = shape.len() - 2;
    let groups = c.int("group").unwrap_or(1);
    let groups = usize::try_from(groups).ok().filter(|&g| g > 0 && shape[1] % g == 0);
    let groups = groups.ok_or_else(|| c.invalid("the groups do not divide the channels"))?;
    c.ensure(weights[0] == shape[1], "the kernel's channels do not fit the input's")?;
    let kernel_shape = c.ints("kernel_shape").map(|k| k.iter().map(|&k| k as usize).collect::<Vec<_>>());
    c.ensure(kernel_shape.is_none_or(|k| k == weights[2..]), "kernel_shape differs from the kernel's shape")?;
    let extra = c.ints("output_padding").unwrap_or_else(|| vec![0; rank]);
    c.ensure(extra.len() == rank, "output_padding does not fit the input")?;
    let wanted = c.ints("output_shape");
    let auto = c.string("auto_pad", "NOTSET");
    if auto.starts_with("SAME") && wanted.is_none() && c.ints("pads").is_some_and(|p| p.iter().any(|&p| p != 0)) {
        return Err(c.unsupported("pads together with auto_pad"));
    }
    let list = |name: &str, default: i64, count: usize| c.ints(name).unwrap_or_else(|| vec![default; count]);
    let (strides, dilations, pads) = (list("strides", 1, rank), list("dilations", 1, rank), list("pads", 0, 2 * rank));
    let positive = strides.iter().chain(&dilations).all(|s| (1..1 << 20).contains(s));
    c.ensure(
        strides.len() == rank && dilations.len() == rank && pads.len() == 2 * rank && positive,
        "bad strides or pads",
    )?;
    let mut sliding = Sliding {
        kernel: weights[2..].to_vec(),
        strides,
        dilations,
        before: pads[..rank].to_vec(),
        after: pads[rank..].to_vec(),
        output: Vec::new(),
    };
    let mut moves = vec![keep(shape[0]), split_channels(shape[1], groups)];
    for i in 0..rank {
        let (input, kernel) = (shape[2 + i] as i64, sliding.kernel[i] as i64);
        let (stride, dilation) = (sliding.strides[i], sliding.dilations[i]);
        let full = stride * (input - 1) + extra[i] + dilation * (kernel - 1) + 1;
        let wanted = match &wanted {
            Some(list) => Some(*list.get(i).ok_or_else(|| c.invalid("output_shape does not fit the input"))?),
            None => auto.starts_with("SAME").then_some(input * stride),
        };
        if let Some(wanted) = wanted {
            let total = (full - wanted).max(0);
            let small = total / 2;
            sliding.before[i] = if auto == "SAME_UPPER" { small } else { total - small };
        }
        let output = wanted.unwrap_or(full - sliding.before[i] - sliding.after[i]);
        c.ensure((1..1 << 31).contains(&output), "the output is empty or too long")?;
        let place = |o: i64, k: i64| {
            let at = o + sliding.before[i] - k * dilation;
            if at >= 0 && at % stride == 0 && at / stride < input { at / stride } else { -1 }
        };
        let table = (0..output).flat_map(|o| (0..kernel).map(move |k| (o, k))).map(|(o, k)| place(o, k)).collect();
        moves.push((vec![output as usize, kernel as usize], IndexMap::Table(table)));
        sliding.output.push(output as usize);
    }
    let windows = c.g.reindex(x, moves);
    // [C, M/g, k...] to [g, M/g, C/g, k...].
    let mut moves = vec![split_channels(shape[1], groups)];
    moves.extend(weights[1..].iter().map(|&n| keep(n)));
    let kernel = c.g.reindex(w, moves);
    let order: Vec<usize> = [0, 2, 1].into_iter().chain(3..weights.len() + 1).collect();
    let kernel = c.g.transpose(kernel, &order);
    contract(c, windows, kernel, [shape[0], groups, weights[1], shape[1] / groups], &sliding)
}
