//! See `verifier::argument::merge`.

use super::tensor::add_eq;
use kernels::{Cells, Device, Factor, Product, Reduced};
use p3_field::PrimeCharacteristicRing;
use verifier::argument::ledger::PointValue;
use verifier::argument::merge::DEGREE;
use verifier::field::K;
use verifier::graph::Tensor;
use verifier::multilinear::split_point;
use verifier::transcript::{Transcript, Writer};

/// Reduces the claims to one; one claim stays as it is. `None` if there are none.
pub fn prove<D: Device>(
    device: &D,
    transcript: &mut Writer,
    tensor: &Tensor,
    values: &D::Integers,
    mut claims: Vec<PointValue>,
) -> Option<PointValue> {
    if claims.len() <= 1 {
        return claims.pop();
    }
    let c = transcript.challenge();
    let mut weights = device.zeros(tensor.len());
    for (claim, power) in claims.iter().zip(c.powers()) {
        add_eq(device, &mut weights, &tensor.shape, &split_point(&tensor.shape, &claim.point), power);
    }
    let axes: Vec<usize> = (0..tensor.shape.len()).collect();
    let factors =
        [Cells::Integers(values), Cells::Elements(weights)].map(|cells| Factor { axes: axes.clone(), cells }).into();
    let product = Product { dims: tensor.shape.clone(), factors, scale: K::ONE };
    let Reduced { point, values } = device.product_sumcheck(product, DEGREE, transcript);
    transcript.write(values[0]);
    Some(PointValue { point, value: values[0] })
}
