//! See `verifier::argument::merge`.

use super::product::Product;
use super::sumcheck;
use kernels::{Device, Factor};
use p3_field::PrimeCharacteristicRing;
use verifier::argument::ledger::PointValue;
use verifier::argument::merge::DEGREE;
use verifier::argument::view::outer_product;
use verifier::field::K;
use verifier::graph::Tensor;
use verifier::multilinear::{eq_table, split_point};
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
        let points = split_point(&tensor.shape, &claim.point);
        let mut tables: Vec<Vec<K>> = points.into_iter().zip(&tensor.shape).map(|(p, &d)| eq_table(p, d)).collect();
        let last = tables.pop().unwrap_or_else(|| vec![K::ONE]);
        let mut rows = outer_product(tables.into_iter());
        rows.iter_mut().for_each(|row| *row *= power);
        device.add_outer(&mut weights, &rows, &last);
    }
    let axes: Vec<usize> = (0..tensor.shape.len()).collect();
    let factors = [device.lift(values), weights].map(|values| Factor { axes: axes.clone(), values });
    let (point, ends) =
        sumcheck::prove(transcript, Product::new(device, tensor.shape.clone(), factors.into(), K::ONE), DEGREE);
    transcript.write(ends[0]);
    Some(PointValue { point, value: ends[0] })
}
