//! See `verifier::argument::sumcheck`.

use super::product::Product;
use kernels::Device;
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// Proves the sum; returns the point, in the variables' order, and the factors' values there.
pub fn prove<D: Device>(transcript: &mut Writer, mut product: Product<D>, degree: usize) -> (Vec<K>, Vec<K>) {
    let mut point = Vec::new();
    while !product.is_bound() {
        transcript.write_all(&product.round(degree));
        let r = transcript.challenge();
        product.fold(r);
        point.push(r);
    }
    point.reverse();
    (point, product.finish())
}
