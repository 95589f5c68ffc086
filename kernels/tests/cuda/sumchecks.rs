//! Whole sumchecks: messages and challenges of both devices are the same.

use super::{Random, devices};
use kernels::{Cells, Device, Factor, Fractions, IntegerDevice, Layer, Product};
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// A transcript with so many bytes that the next digest is of.
fn transcript(pending: usize) -> Writer {
    let mut transcript = Writer::new(&"x".repeat(pending));
    assert_eq!(transcript.challenger().pending().len(), pending);
    transcript
}

#[test]
fn products_of_tensors_that_share_axes() {
    let Some(devices) = devices() else { return };
    let random = Random::new(8);
    let cases: [(&[usize], &[&[usize]]); 11] = [
        (&[1], &[&[0]]),
        (&[], &[&[]]),
        (&[2], &[&[0]]),
        (&[7], &[&[0], &[0]]),
        (&[3, 1, 6, 5], &[&[0, 1, 2, 3]]),
        (&[3, 1, 6, 5], &[&[0, 3], &[1, 2, 3]]),
        (&[3, 2, 6, 5], &[&[0, 1], &[2], &[1, 2, 3], &[3]]),
        (&[40, 50, 3], &[&[0, 2], &[1, 2], &[0, 1, 2], &[1], &[0]]),
        (&[2, 1000], &[&[0, 1], &[1], &[1]]),
        // Rounds of many blocks.
        (&[3, 2, 2049], &[&[0, 2], &[1, 2], &[0, 1]]),
        (&[5001, 2], &[&[0], &[0, 1]]),
    ];
    for (case, (dims, axes)) in cases.into_iter().enumerate() {
        for pending in [case, 32] {
            // One factor in two is of integers.
            let integers: Vec<_> = axes
                .iter()
                .map(|axes| {
                    let bits = [8, 16, 32, 64][random.next() as usize % 4];
                    devices.upload_integers(random.integers(bits, axes.iter().map(|&axis| dims[axis]).product()))
                })
                .collect();
            let factors = axes.iter().zip(&integers).map(|(axes, integers)| {
                let cells = match random.next() % 2 {
                    0 => Cells::Integers(integers),
                    _ => Cells::Elements(devices.upload_extension(random.elements(devices.count(integers)))),
                };
                Factor { axes: axes.to_vec(), cells }
            });
            let product = Product { dims: dims.to_vec(), factors: factors.collect(), scale: random.element() };
            let _ = devices.product_total(&product);
            let degree = axes.len() + case % 3;
            let mut transcript = transcript(pending);
            let _ = devices.product_sumcheck(product, degree, &mut transcript);
        }
    }
}

#[test]
fn what_is_pending_may_be_long() {
    let Some(devices) = devices() else { return };
    let random = Random::new(10);
    for pending in [0, 1, 7, 8, 31, 33, 63, 64, 65, 927, 928, 929, 1024, 1025, 2000, 4 << 10, (7 << 10) + 3] {
        let [a, b] = [0, 1].map(|_| Cells::Elements(devices.upload_extension(random.elements(6))));
        let factors = vec![Factor { axes: vec![0], cells: a }, Factor { axes: vec![0], cells: b }];
        let product = Product { dims: vec![6], factors, scale: random.element() };
        let _ = devices.product_sumcheck(product, 2, &mut transcript(pending));
    }
}

#[test]
fn trees_of_fractions() {
    let Some(devices) = devices() else { return };
    let random = Random::new(9);
    // Trees that are as deep as each other; the last have rounds of many blocks.
    for shapes in [
        vec![vec![1]],
        vec![vec![2], vec![2]],
        vec![vec![5, 3], vec![1, 32, 1], vec![17], vec![2, 3, 2, 2]],
        vec![vec![1, 7, 1], vec![2, 4]],
        vec![vec![3, 1001], vec![4096], vec![2, 2, 1000], vec![2049]],
        vec![vec![30_001], vec![1, 9, 2000]],
    ] {
        let leaves = |shape: Vec<usize>| {
            let [p, q] = [0, 1].map(|_| devices.upload_extension(random.elements(shape.iter().product())));
            Fractions { shape, p, q }
        };
        let mut below: Vec<_> = shapes.into_iter().map(leaves).collect();
        while below[0].shape.iter().any(|&d| d > 1) {
            let above: Vec<_> = below.iter().map(|below| devices.add_fractions(below)).collect();
            let variables = above[0].shape.iter().map(|d| d.next_power_of_two().trailing_zeros() as usize).sum();
            let mut point = random.elements(variables);
            if let Some(x) = point.get_mut(variables / 2) {
                // Has no inverse; the devices do the same.
                *x = if random.next().is_multiple_of(4) { K::default() } else { *x };
            }
            let (c, claim) = (random.element(), random.element());
            let layer = Layer { below: below.iter().collect(), point: &point, c, claim };
            let children = devices.fraction_sumcheck(layer, &mut transcript(32));
            assert_eq!(children.pairs.len(), below.len());
            below = above;
        }
    }
}
