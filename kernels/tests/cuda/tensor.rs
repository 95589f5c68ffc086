//! Contractions on tensor cores, and which those are.

use super::{Random, devices};
use kernels::{Cpu, Cuda, Dual, IntegerDevice, Ints, Summand};

const ANY: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

type Values = <Dual<Cpu, Cuda> as IntegerDevice>::Integers;

/// A tensor of these axes, with bits of its integers.
type Factor<'a> = (&'a [u8], u32);

/// A product, on both devices; whether tensor cores computed it.
fn multiply(
    devices: &Dual<Cpu, Cuda>,
    dims: &[usize],
    out: &[u8],
    coefficient: i64,
    factors: [(&Values, &[u8]); 2],
) -> bool {
    let launches = || {
        let kernels = devices.1.usage().kernels;
        ["tensor", "einsum"].map(|family| kernels.get(family).map_or(0, |kernel| kernel.launches))
    };
    let before = launches();
    devices.einsum(dims, out, &[Summand { coefficient, factors: factors.to_vec() }], ANY);
    match std::array::from_fn(|i| launches()[i] - before[i]) {
        [1, 0] => true,
        [0, 1] => false,
        other => panic!("{other:?} launches"),
    }
}

/// The same of random factors.
fn multiply_random(
    random: &Random,
    dims: &[usize],
    out: &[u8],
    coefficient: i64,
    factors: [Factor; 2],
) -> Option<bool> {
    let devices = devices()?;
    let values = factors.map(|(labels, bits)| {
        let len = labels.iter().map(|&label| dims[label as usize]).product();
        devices.upload_integers(random.integers(bits, len))
    });
    let [left, right] = &values;
    Some(multiply(&devices, dims, out, coefficient, [(left, factors[0].0), (right, factors[1].0)]))
}

#[test]
fn products_of_every_width_and_order_of_axes() {
    let random = Random::new(41);
    // Rows and columns that fill tiles and that do not; summands that are read four at a time, that are not; more than one part of a sum.
    for (rows, columns, summed) in
        [(64, 128, 64), (16, 16, 1000), (70, 33, 101), (68, 20, 36), (17, 129, 66), (65, 64, 258)]
    {
        let dims = [rows, columns, summed];
        for (left, right) in [(8, 8), (8, 16), (16, 8), (16, 16)] {
            for (a, b) in [([0, 2], [1, 2]), ([2, 0], [2, 1]), ([0, 2], [2, 1]), ([2, 0], [1, 2])] {
                let out = if left == right { [0, 1] } else { [1, 0] };
                let factors: [Factor; 2] = [(&a, left), (&b, right)];
                match multiply_random(&random, &dims, &out, -3, factors) {
                    None => return,
                    Some(on_tensor_cores) => assert!(on_tensor_cores, "{dims:?} {factors:?}"),
                }
            }
        }
    }
}

#[test]
fn products_in_batches_and_over_several_axes() {
    let random = Random::new(42);
    let cases: [(&[usize], &[u8], [Factor; 2]); 6] = [
        // Heads of attention: scores, and what they weigh.
        (&[3, 33, 40, 48], &[0, 1, 2], [(&[1, 0, 3], 16), (&[2, 0, 3], 16)]),
        (&[3, 33, 50, 36], &[1, 0, 3], [(&[0, 1, 2], 16), (&[2, 0, 3], 8)]),
        // Batches between other axes, two of them, and out of order.
        (&[5, 2, 20, 17, 64], &[2, 1, 3, 0], [(&[2, 0, 4, 1], 8), (&[1, 3, 4, 0], 16)]),
        // Windows: summands of two axes, in another order on the other side; and in one that no four of them lie together in.
        (&[24, 30, 5, 8], &[0, 1], [(&[0, 2, 3], 16), (&[3, 2, 1], 16)]),
        (&[24, 28, 12, 3], &[1, 0], [(&[2, 0, 3], 8), (&[2, 3, 1], 8)]),
        // Rows and columns of two axes.
        (&[6, 7, 4, 9, 64], &[0, 2, 1, 3], [(&[4, 0, 1], 16), (&[2, 3, 4], 8)]),
    ];
    for (dims, out, factors) in cases {
        match multiply_random(&random, dims, out, 1 << 40 | 5, factors) {
            None => return,
            Some(on_tensor_cores) => assert!(on_tensor_cores, "{dims:?} {factors:?}"),
        }
    }
}

/// So many integers, all the same.
fn of(value: i16, bits: u32, len: usize) -> Ints {
    if bits == 8 { Ints::I8(vec![value as i8; len]) } else { Ints::I16(vec![value; len]) }
}

#[test]
fn products_of_the_least_and_the_largest() {
    let Some(devices) = devices() else { return };
    // In two bytes also what has both limbs at their ends.
    let values = |bits| -> &[i16] { if bits == 8 { &[-128, 127, -1] } else { &[-32_768, 32_767, -32_513, -1, 255] } };
    let (dims, len) = ([20, 20, 300], 20 * 300);
    for (left, right) in [(8, 8), (8, 16), (16, 8), (16, 16)] {
        for (a, b) in values(left).iter().flat_map(|a| values(right).iter().map(move |b| (*a, *b))) {
            let [x, y] = [(a, left), (b, right)].map(|(value, bits)| devices.upload_integers(of(value, bits, len)));
            assert!(multiply(&devices, &dims, &[0, 1], i64::MIN + 1, [(&x, &[0, 2]), (&y, &[2, 1])]), "{a} {b}");
        }
    }
}

#[test]
fn sums_of_products_of_limbs_do_not_overflow() {
    let Some(devices) = devices() else { return };
    // Four tiles, so that none of the sums is cut into parts. Limbs are 255 and 127, and 255 and -128: the sums of each weight pass 2^31.
    let summed = (1 << 15) + 300;
    let lines = [32_767, -32_513].map(|value| vec![value; summed]).concat();
    let values = devices.upload_integers(Ints::I16(lines.repeat(4 * 8)));
    assert!(multiply(&devices, &[4, 16, 16, summed], &[0, 1, 2], -1, [(&values, &[0, 1, 3]), (&values, &[0, 2, 3])]));
}

#[test]
fn tensor_cores_are_for_narrow_integers_and_results_that_fill_tiles() {
    let random = Random::new(43);
    for (dims, bits, expected) in [
        ([16, 16, 64], [16, 16], true),
        ([32, 16, 32], [8, 16], true),
        ([1000, 16, 32], [16, 8], true),
        ([15, 100, 64], [16, 16], false),
        ([100, 15, 64], [8, 8], false),
        ([100, 100, 31], [8, 8], false),
        ([16, 16, 63], [8, 8], false),
        ([64, 64, 64], [16, 32], false),
        ([64, 64, 64], [32, 8], false),
        ([64, 64, 64], [64, 8], false),
    ] {
        match multiply_random(&random, &dims, &[0, 1], 1, [(&[0, 2], bits[0]), (&[1, 2], bits[1])]) {
            None => return,
            Some(on_tensor_cores) => assert_eq!(on_tensor_cores, expected, "{dims:?} {bits:?}"),
        }
    }
}
