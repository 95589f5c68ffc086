//! The layers of a quantised model, and the witness of their lookups.

use super::load::{self, Load};
use super::{Bench, Case, Row};
use crate::Ints;
use crate::cuda::Integers;
use crate::integers::{IntegerDevice, Part, Summand};
use std::ops::RangeInclusive;
use verifier::graph::{AxisGroup, Bound, IndexMap, Lookup, TensorId};
use verifier::plan::{Limb, Table};

/// See the module.
pub const CASES: &[Case] = &[
    ("einsum: tensor cores", einsum_tensor),
    ("einsum: 32-bit products", einsum_narrow),
    ("einsum: 64-bit products", einsum_wide),
    ("einsum: elementwise", einsum_each),
    ("look_up", look_up),
    ("limbs", limbs),
    ("edges", edges),
    ("count_rows", count_rows),
    ("rearrange", rearrange),
    ("combine", combine),
    ("row_max", row_max),
    ("floor_div", floor_div),
];

/// Results of 64 bits, and of 32 and 16.
const WIDE: RangeInclusive<i64> = i64::MIN..=i64::MAX;
const MIDDLE: RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;
const NARROW: RangeInclusive<i64> = i16::MIN as i64..=i16::MAX as i64;

/// A dense layer: `y[t, j] = sum_k x[t, k] w[j, k]`, with `x` kept in so many bits, of which those of 16 are for tensor cores. Its products
/// are as many whichever multiplies them.
fn dense(bench: &Bench, bits: u32, load: fn(u64, u64) -> Load) -> Row {
    let [tokens, inner, outer] = bench.sizes.layer();
    let (x, w) = (bench.integers(bits, tokens * inner), bench.integers(16, outer * inner));
    let bytes = tokens * inner * bits as usize / 8 + outer * inner * 2 + tokens * outer * 8;
    let products = tokens * inner * outer;
    let summand = Summand { coefficient: 1, factors: vec![(&x, &[0, 1][..]), (&w, &[2, 1])] };
    let summands = [summand];
    bench.row(("products", products), load(products as u64, bytes as u64), || {
        bench.cuda.einsum(&[tokens, inner, outer], &[0, 2], &summands, WIDE)
    })
}

fn einsum_tensor(bench: &Bench) -> Row {
    dense(bench, 16, |products, bytes| load::einsum_tensor(products, [2, 2], bytes))
}

fn einsum_narrow(bench: &Bench) -> Row {
    dense(bench, 32, load::einsum_narrow)
}

fn einsum_wide(bench: &Bench) -> Row {
    dense(bench, 64, load::einsum_wide)
}

/// Activations of a layer.
fn activations(bench: &Bench, bits: u32) -> (usize, Integers) {
    let [tokens, _, outer] = bench.sizes.layer();
    (tokens * outer, bench.integers(bits, tokens * outer))
}

/// The gains of a norm: `y[t, j] = x[t, j] g[j]`.
fn einsum_each(bench: &Bench) -> Row {
    let [tokens, _, outer] = bench.sizes.layer();
    let ((len, x), gains) = (activations(bench, 16), bench.integers(16, outer));
    let summands = [Summand { coefficient: 1, factors: vec![(&x, &[0, 1][..]), (&gains, &[1])] }];
    let load = load::einsum_narrow(len as u64, (len * (2 + 4)) as u64);
    bench.row(("products", len), load, || bench.cuda.einsum(&[tokens, outer], &[0, 1], &summands, MIDDLE))
}

/// Bits of a lookup's domain, and of what is rounded off.
const BITS: u32 = 12;
const SHIFT: u32 = 16;

/// A rounding with a table of `2^BITS` rows, of integers of 32 bits: half of them saturate.
fn lookup() -> Lookup {
    let tensor = TensorId(0);
    Lookup {
        input: tensor,
        multiplier: 1 << 5,
        add: 1 << (SHIFT - 1),
        shift: SHIFT + 4,
        lo: -(1 << (BITS - 1)),
        bits: BITS,
        below: Bound::Saturate,
        above: Bound::Saturate,
        table: Some(tensor),
        output: Some(tensor),
    }
}

fn look_up(bench: &Bench) -> Row {
    let ((len, input), table, lookup) = (activations(bench, 32), bench.integers(16, 1 << BITS), lookup());
    let load = load::elementwise(len as u64, 4 + 2);
    bench.row(("integers", len), load, || bench.cuda.look_up(&input, &lookup, Some(&table), NARROW))
}

fn limbs(bench: &Bench) -> Row {
    let ((len, input), lookup) = (activations(bench, 32), lookup());
    let limb = Limb { width: 8, offset: 0, column: None, table: 0 };
    let load = load::elementwise(len as u64, 4 + 2);
    bench.row(("integers", len), load, || bench.cuda.limbs(&input, &lookup, Part::Remainder, &limb))
}

fn edges(bench: &Bench) -> Row {
    let (len, limbs) = activations(bench, 16);
    bench.row(("integers", len), load::elementwise(len as u64, 2 + 1), || bench.cuda.edges(&limbs, 8))
}

/// Rows of a range of `2^BITS` integers, all of them as often.
fn count_rows(bench: &Bench) -> Row {
    let len = activations(bench, 16).0;
    let values = (0..len as i64).map(|i| (i * 7919 % (1 << BITS)) as i16).collect();
    let (entries, table) = (bench.cuda.upload_integers(Ints::I16(values)), Table::Range(BITS));
    let load = load::count_rows(len as u64, 2, 1 << BITS);
    let zeros = || bench.cuda.upload_integers(Ints::I64(vec![0; 1 << BITS]));
    bench.whole(("integers", len), load, zeros, |mut counts| {
        bench.cuda.count_rows(&table, &[&entries], &mut counts);
        counts
    })
}

/// Heads of attention.
const HEADS: usize = 12;

/// Heads before tokens.
fn rearrange(bench: &Bench) -> Row {
    let [tokens, _, outer] = bench.sizes.layer();
    let (len, input) = activations(bench, 16);
    let (from, to) = ([tokens, HEADS, outer / HEADS], [HEADS, tokens, outer / HEADS]);
    let moved = |input: usize, output: usize| AxisGroup {
        input_axes: vec![input],
        output_axes: vec![output],
        map: IndexMap::Affine { offset: 0, strides: vec![1] },
    };
    let groups = [moved(0, 1), moved(1, 0), moved(2, 2)];
    let load = load::elementwise(len as u64, 2 + 2);
    bench.row(("integers", len), load, || bench.cuda.rearrange(&input, &from, &to, &groups))
}

/// A residual connection.
fn combine(bench: &Bench) -> Row {
    let ((len, x), (_, y)) = (activations(bench, 16), activations(bench, 16));
    let load = load::elementwise(len as u64, 2 + 2 + 4);
    bench.row(("integers", len), load, || bench.cuda.combine(3, &[(1 << 8, &x), (1, &y)], MIDDLE))
}

/// The largest of every row of activations.
fn row_max(bench: &Bench) -> Row {
    let [_, _, outer] = bench.sizes.layer();
    let (len, input) = activations(bench, 16);
    bench.row(("integers", len), load::elementwise(len as u64, 2), || bench.cuda.row_max(&input, outer))
}

/// A quotient for each activation.
fn floor_div(bench: &Bench) -> Row {
    let (len, numerators) = activations(bench, 32);
    let denominators: Vec<i32> = (0..len as i32).map(|i| i % 30_011 + 1).collect();
    let denominators = bench.cuda.upload_integers(Ints::I32(denominators));
    let load = load::elementwise(len as u64, 4 + 4 + 4);
    bench.row(("integers", len), load, || bench.cuda.floor_div(&numerators, &denominators, MIDDLE))
}
