//! See `verifier::argument::view`.

use super::tensor;
use kernels::{Cells, Device, Factor, Product, Reduced};
use verifier::argument::ledger::PointValue;
use verifier::argument::view::{Route, group_weights};
use verifier::field::K;
use verifier::graph::{Tensor, View};
use verifier::multilinear::axis_bits;
use verifier::transcript::Writer;

/// Proves a claim on the view's output; returns the claim on its input, whose values are `values`.
pub fn prove<D: Device>(
    device: &D,
    transcript: &mut Writer,
    view: &View,
    input: &Tensor,
    output: &Tensor,
    values: &D::Integers,
    claim: &PointValue,
) -> PointValue {
    let (from, to) = (&input.shape, &output.shape);
    let mut route = Route::new(view, from, to, &claim.point);
    let axes = route.summed_axes(view);
    let binding: Vec<Option<&[K]>> = route.axes.iter().map(Option::as_deref).collect();
    let cells = tensor::bind(device, values, from, &binding).into_order(device, &axes);
    let mut factors = vec![Factor { axes: (0..axes.len()).collect(), cells }];
    let mut first = 0;
    for &place in &route.summed {
        let group = &view.groups[place];
        let last = first + group.input_axes.len();
        let weights = device.upload_extension(group_weights(group, from, to, &claim.point));
        factors.push(Factor { axes: (first..last).collect(), cells: Cells::Elements(weights) });
        first = last;
    }
    let dims = axes.iter().map(|&a| from[a]).collect();
    let product = Product { dims, factors, scale: route.factor };
    let Reduced { point, values } = device.product_sumcheck(product, 1 + route.summed.len(), transcript);
    transcript.write(values[0]);
    let mut rest = point.as_slice();
    for axis in axes {
        let (head, tail) = rest.split_at(axis_bits(from[axis]));
        route.axes[axis] = Some(head.to_vec());
        rest = tail;
    }
    PointValue { point: route.axes.into_iter().flatten().flatten().collect(), value: values[0] }
}
