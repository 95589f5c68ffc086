//! The model's loops and the witness's.

use super::{Random, devices};
use kernels::{Cpu, Cuda, Device, Dual, Forbidden, IntegerDevice, Ints, Part, Summand};
use p3_field::PrimeCharacteristicRing;
use verifier::commitment::Layout;
use verifier::field::K;
use verifier::graph::{AxisGroup, Bound, IndexMap, Lookup, TensorId};
use verifier::plan::{Limb, Table};

const ANY: std::ops::RangeInclusive<i64> = i64::MIN..=i64::MAX;

type Both = <Dual<Cpu, Cuda> as IntegerDevice>::Integers;

/// Labels of factors, each with bits of its integers.
type Term<'a> = (i64, &'a [(&'a [u8], u32)]);

#[test]
fn contractions_of_any_labels() {
    let Some(devices) = devices() else { return };
    let random = Random::new(21);
    let cases: [(&[usize], &[u8], &[Term]); 12] = [
        (&[70, 65, 40], &[0, 1], &[(1, &[(&[0, 2], 16), (&[1, 2], 8)])]),
        (&[70, 65, 40], &[1, 0], &[(-3, &[(&[2, 0], 16), (&[2, 1], 32)])]),
        (&[3, 9, 8, 300], &[0, 2, 1], &[(1, &[(&[0, 1, 3], 8), (&[0, 2, 3], 16)])]),
        (&[3, 9, 8, 100], &[1, 0, 2], &[(1, &[(&[0, 1, 3], 64), (&[2, 0, 3], 16)])]),
        (&[1, 90, 700], &[0, 1], &[(1, &[(&[0, 2], 16), (&[1, 2], 16)])]),
        (&[5, 7], &[0, 1], &[(1, &[(&[0, 1], 16), (&[1], 16)]), (5, &[(&[0], 8)]), (-7, &[])]),
        (&[5, 2000], &[0], &[(1, &[(&[0, 1], 16), (&[0, 1], 16)])]),
        (&[5, 7, 3], &[2, 0], &[(2, &[(&[0, 1], 8)])]),
        (&[4, 6, 5, 20], &[0, 3], &[(1, &[(&[0, 1], 8), (&[0, 2], 8), (&[1, 2, 3], 16)])]),
        (&[4, 6, 5, 3], &[0], &[(1, &[(&[0, 1], 8), (&[1, 2], 8), (&[2, 3], 8), (&[3], 8)])]),
        (&[6], &[], &[(9, &[(&[0], 32)]), (1, &[])]),
        (&[1], &[0], &[(1, &[(&[], 8)])]),
    ];
    for (dims, out, terms) in cases {
        let tensor = |&(labels, bits): &(&[u8], u32)| {
            let len = labels.iter().map(|&l| dims[l as usize]).product();
            devices.upload_integers(random.integers(bits, len))
        };
        let values: Vec<Vec<Both>> = terms.iter().map(|(_, factors)| factors.iter().map(tensor).collect()).collect();
        let summand = |((coefficient, factors), values): (&Term<'_>, &'_ Vec<Both>)| -> (i64, Vec<(Both, Vec<u8>)>) {
            (*coefficient, values.iter().cloned().zip(factors.iter().map(|(labels, _)| labels.to_vec())).collect())
        };
        let owned: Vec<_> = terms.iter().zip(&values).map(summand).collect();
        let summands: Vec<Summand<Both>> = owned
            .iter()
            .map(|(coefficient, factors)| Summand {
                coefficient: *coefficient,
                factors: factors.iter().map(|(values, labels)| (values, &labels[..])).collect(),
            })
            .collect();
        devices.einsum(dims, out, &summands, ANY);
    }
    // An interval says how wide the result is.
    let ones = devices.upload_integers(Ints::I8(vec![1; 1000]));
    let sum = Summand { coefficient: 1, factors: vec![(&ones, &[0u8][..])] };
    let result = devices.einsum(&[1000], &[], &[sum], 0..=1000);
    assert_eq!(devices.download_integers(&result), Ints::I16(vec![1000]));
}

fn group(input_axes: &[usize], output_axes: &[usize], map: IndexMap) -> AxisGroup {
    AxisGroup { input_axes: input_axes.to_vec(), output_axes: output_axes.to_vec(), map }
}

fn affine(offset: i64, strides: &[i64]) -> IndexMap {
    IndexMap::Affine { offset, strides: strides.to_vec() }
}

#[test]
fn views_of_every_form() {
    let Some(devices) = devices() else { return };
    let random = Random::new(22);
    let keep = |from, to| group(&[from], &[to], affine(0, &[1]));
    let cases: Vec<(&[usize], &[usize], Vec<AxisGroup>)> = vec![
        (&[3, 4, 5], &[5, 3, 4], vec![keep(0, 1), keep(1, 2), keep(2, 0)]),
        (&[12, 5], &[3, 4, 5], vec![group(&[0], &[0, 1], affine(0, &[4, 1])), keep(1, 2)]),
        (&[3, 4, 5], &[12, 5], vec![group(&[0, 1], &[0], affine(0, &[1])), keep(2, 1)]),
        // Axes that lie apart, in one group.
        (&[3, 5, 4], &[12, 5], vec![group(&[0, 2], &[0], affine(0, &[1])), keep(1, 1)]),
        (&[9, 2], &[4, 2], vec![group(&[0], &[0], affine(7, &[-2])), keep(1, 1)]),
        // A border of zeros, and windows over it.
        (&[6, 2], &[9, 2], vec![group(&[0], &[0], affine(-2, &[1])), keep(1, 1)]),
        (&[6], &[6, 3], vec![group(&[0], &[0, 1], affine(-1, &[1, 1]))]),
        (&[4], &[4, 7], vec![keep(0, 0), group(&[], &[1], affine(0, &[0]))]),
        (
            &[4, 1],
            &[5],
            vec![group(&[0], &[0], IndexMap::Table(vec![3, -1, 0, 3, 4])), group(&[1], &[], affine(0, &[]))],
        ),
        (&[1], &[], vec![group(&[0], &[], affine(0, &[]))]),
    ];
    for bits in [8, 64] {
        for (from, to, groups) in &cases {
            let values = devices.upload_integers(random.integers(bits, from.iter().product()));
            devices.rearrange(&values, from, to, groups);
        }
    }
}

fn lookup(below: Bound, above: Bound) -> Lookup {
    let (input, output) = (TensorId(0), Some(TensorId(1)));
    Lookup { input, multiplier: 3, add: 1 << 4, shift: 5, lo: -100, bits: 8, below, above, table: None, output }
}

#[test]
fn lookups_and_their_limbs() {
    let Some(devices) = devices() else { return };
    let random = Random::new(23);
    let table = devices.upload_integers(random.integers(16, 256));
    let limb = |width, offset| Limb { width, offset, column: None, table: 0 };
    for bits in [8, 16, 32] {
        let input = devices.upload_integers(random.integers(bits, 3000));
        let saturating = lookup(Bound::Saturate, Bound::Saturate);
        devices.look_up(&input, &saturating, Some(&table), ANY).unwrap();
        devices.look_up(&input, &saturating, None, -100..=155).unwrap();
        for (below, above) in
            [(Bound::Saturate, Bound::Saturate), (Bound::Forbid, Bound::Saturate), (Bound::Saturate, Bound::Forbid)]
        {
            let lookup = lookup(below, above);
            // Most 16-bit integers lie beyond the domain.
            let found = devices.look_up(&input, &lookup, None, ANY);
            assert_eq!(found.is_err(), bits > 8 && below != above);
            for part in [Part::Remainder, Part::Value, Part::Excess] {
                for limb in [limb(5, 0), limb(1, 3), limb(7, 5), limb(16, 2), limb(20, 0)] {
                    let limbs = devices.limbs(&input, &lookup, part, &limb);
                    devices.edges(&limbs, limb.width);
                }
            }
        }
    }
    let input = devices.upload_integers(Ints::I32(vec![5, -1072, 40_000, -1073, -2000]));
    let found = devices.look_up(&input, &lookup(Bound::Forbid, Bound::Saturate), None, ANY);
    assert_eq!(found.err(), Some(Forbidden(-101)));
}

#[test]
fn rows_of_tables_are_listed_and_counted() {
    let Some(devices) = devices() else { return };
    let random = Random::new(24);
    let tables = [
        Table::Range(6),
        Table::Range(14),
        Table::Edged(5),
        Table::Function { outputs: TensorId(0), width: 7, edged: false },
        Table::Function { outputs: TensorId(0), width: 7, edged: true },
        Table::Excess { width: 6, limbs: 2, below: true, above: true },
        Table::Excess { width: 3, limbs: 1, below: true, above: false },
        Table::Excess { width: 4, limbs: 3, below: false, above: true },
    ];
    for table in tables {
        let outputs = devices.upload_integers(random.integers(16, 1 << table.width()));
        let outputs = table.outputs().map(|_| &outputs);
        let mut counts = devices.upload_integers(Ints::I64(vec![0; table.rows()]));
        for kind in 0..table.kinds() {
            let entries = devices.table_entries(&table, kind, outputs);
            // Every row once, then many that the table may lack.
            devices.count_rows(&table, &entries.iter().collect::<Vec<_>>(), &mut counts);
        }
        let entry = |_| devices.upload_integers(random.integers(8, 5000));
        let strangers: Vec<Both> = (0..table.row(0, 0).len()).map(entry).collect();
        devices.count_rows(&table, &strangers.iter().collect::<Vec<_>>(), &mut counts);
    }
}

#[test]
fn advice_and_sums() {
    let Some(devices) = devices() else { return };
    let random = Random::new(25);
    for bits in [8, 16, 32] {
        let values = devices.upload_integers(random.integers(bits, 60));
        for row in [1, 4, 60] {
            devices.row_max(&values, row);
        }
        let positive: Vec<i64> = random.integers(bits, 60).to_vec().iter().map(|x| x.abs() + 1).collect();
        let positive = devices.upload_integers(Ints::from(positive));
        for count in [1, 5, 60] {
            let numerators = devices.upload_integers(random.integers(64, count));
            devices.floor_div(&numerators, &positive, ANY).unwrap();
        }
        for exponent in [0, 1, 31, 62] {
            devices.rsqrt(&positive, exponent, 0..=1 << 31).unwrap();
        }
        let parts = [(&values, 0..60), (&positive, 7..9), (&values, 59..60)];
        let joined = devices.concat(&parts);
        assert_eq!(devices.count(&joined), 63);
        devices.combine(-9, &[(1, &values), (-70_000, &positive)], ANY);
        devices.combine(3, &[(1, &values)], i32::MIN.into()..=i64::from(i32::MAX) + 3);
    }
    let zero = devices.upload_integers(Ints::I8(vec![3, 2, 0, -1]));
    assert_eq!(devices.floor_div(&zero, &zero, ANY).err(), Some(Forbidden(0)));
    assert_eq!(devices.rsqrt(&zero, 9, ANY).err(), Some(Forbidden(0)));
}

#[test]
fn tensors_are_packed_by_blocks() {
    let Some(devices) = devices() else { return };
    let random = Random::new(26);
    let shapes = vec![vec![25, 3], vec![], vec![768], vec![1, 1], vec![2, 3, 5], vec![16, 8], vec![100, 101]];
    let layout = Layout::new(&shapes);
    let bits = [8, 16, 32, 64, 8, 16, 8];
    let tensors: Vec<Both> = shapes
        .iter()
        .zip(bits)
        .map(|(shape, bits)| devices.upload_integers(random.integers(bits, shape.iter().product())))
        .collect();
    let packed = devices.pack(&layout, &tensors.iter().collect::<Vec<_>>());
    devices.bind_columns(&packed, &random.elements(4));
}

#[test]
fn outer_products_are_added() {
    let Some(devices) = devices() else { return };
    let random = Random::new(27);
    for (rows, columns) in [(1, 1), (1, 300), (70, 3), (40, 41)] {
        let mut out = devices.upload_extension(vec![K::TWO; rows * columns]);
        devices.add_outer(&mut out, &random.elements(rows), &random.elements(columns));
    }
}
