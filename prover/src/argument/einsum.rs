//! See `verifier::argument::einsum`.

use super::{Context, tensor};
use kernels::{Cells, Device, Factor, Product, Reduced};
use p3_field::{Field, PrimeCharacteristicRing};
use verifier::argument::Rejection;
use verifier::argument::einsum::{TermLabels, final_points, label_points};
use verifier::argument::ledger::{Ledger, PointValue};
use verifier::field::{K, k_from_i64};
use verifier::graph::{Einsum, Term};
use verifier::transcript::Writer;

/// Proves a claim on the einsum's output and enters the claims on its operands.
///
/// # Errors
/// If the values contradict each other.
pub fn prove<D: Device>(
    context: Context<D>,
    transcript: &mut Writer,
    einsum: &Einsum,
    claim: &PointValue,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let points = label_points(einsum, &claim.point);
    let mut known = K::ZERO;
    let mut open = Vec::new();
    for term in &einsum.terms {
        let labels = TermLabels::new(einsum, term);
        if term.operands.is_empty() {
            known += k_from_i64(term.coefficient) * labels.ones(einsum, &points);
        } else {
            open.push((term, product(context, einsum, term, &labels, &points), labels));
        }
    }
    match open.as_slice() {
        // A single value follows from the claim.
        [(term, ..)] => {
            let inverse = k_from_i64(term.coefficient).try_inverse().unwrap_or_default();
            transcript.write((claim.value - known) * inverse);
        }
        _ => transcript
            .write_all(&open.iter().map(|(_, product, _)| context.device.product_total(product)).collect::<Vec<_>>()),
    }
    for (term, product, labels) in open {
        let Reduced { point, mut values } = context.device.product_sumcheck(product, labels.degree(term), transcript);
        values.truncate(term.operands.len());
        transcript.write_all(&values);
        let points = final_points(einsum, &labels, &points, &point);
        for (operand, value) in term.operands.iter().zip(values) {
            let point = operand.labels.iter().flat_map(|&l| points.of_label[l as usize].iter().copied()).collect();
            ledger.tensor(operand.tensor, point, value)?;
        }
    }
    Ok(())
}

/// The term as a product over its summed labels: the operands, then `eq` of the batch labels.
fn product<'a, D: Device>(
    context: Context<'a, D>,
    einsum: &Einsum,
    term: &Term,
    labels: &TermLabels,
    points: &[Vec<K>],
) -> Product<'a, D::Integers, D::Extension> {
    let device = context.device;
    let place = |label: u8| labels.summed.iter().position(|&l| l == label);
    let mut factors: Vec<Factor<D::Integers, D::Extension>> = term
        .operands
        .iter()
        .map(|operand| {
            let shape = context.shape(operand.tensor);
            let binding: Vec<Option<&[K]>> =
                operand.labels.iter().map(|&l| place(l).is_none().then(|| points[l as usize].as_slice())).collect();
            let bound = tensor::bind(device, context.held(operand.tensor), shape, &binding);
            // Operand axes in the order of the joint axes.
            let mut order: Vec<(usize, usize)> =
                operand.labels.iter().enumerate().filter_map(|(axis, &l)| place(l).map(|p| (p, axis))).collect();
            order.sort_unstable();
            let (axes, order): (Vec<usize>, Vec<usize>) = order.into_iter().unzip();
            Factor { axes, cells: bound.into_order(device, &order) }
        })
        .collect();
    if labels.batch > 0 {
        let batch = &labels.summed[..labels.batch];
        let shape: Vec<usize> = batch.iter().map(|&l| einsum.dims[l as usize]).collect();
        let points: Vec<&[K]> = batch.iter().map(|&l| points[l as usize].as_slice()).collect();
        let mut eq = device.zeros(shape.iter().product());
        tensor::add_eq(device, &mut eq, &shape, &points, K::ONE);
        let cells = Cells::Elements(eq);
        factors.push(Factor { axes: (0..labels.batch).collect(), cells });
    }
    let dims = labels.summed.iter().map(|&l| einsum.dims[l as usize]).collect();
    Product { dims, factors, scale: labels.ones(einsum, points) }
}
