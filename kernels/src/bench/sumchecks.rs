//! What leads into the sumchecks of layers and of lookups, and their rounds.

use super::{Bench, Case, Row, load};
use crate::cuda::{Elements, Integers};
use crate::{Affine, Cells, Device, Factor, Fractions, IntegerDevice, Layer, Product};
use verifier::multilinear::axis_bits;
use verifier::transcript::Writer;

/// See the module.
pub const CASES: &[Case] = &[
    ("lift", lift),
    ("contract_ints: rows", contract_integer_rows),
    ("contract_ints: columns", contract_integer_columns),
    ("contract", contract),
    ("permute", permute),
    ("affine", affine),
    ("product_total", product_total),
    ("product_sumcheck: elements", product_sumcheck),
    ("product_sumcheck: integers", merge),
    ("add_fractions", add_fractions),
    ("fraction_sumcheck", fraction_sumcheck),
];

fn lift(bench: &Bench) -> Row {
    let [tokens, _, outer] = bench.sizes.layer();
    let activations = bench.integers(16, tokens * outer);
    bench.row(("integers", tokens * outer), load::lift((tokens * outer) as u64, 2), || bench.cuda.lift(&activations))
}

/// A layer's weights, bound on one side.
fn contract_integers(bench: &Bench, axis: usize) -> Row {
    let [_, inner, outer] = bench.sizes.layer();
    let shape = [outer, inner];
    let (values, weights) = (bench.integers(16, outer * inner), bench.elements(shape[axis]));
    let load = load::contract_ints((outer * inner) as u64, 2, shape[1 - axis] as u64);
    let run = || bench.cuda.contract_ints(&values, &shape, axis, &weights);
    bench.row(("integers", outer * inner), load, run)
}

fn contract_integer_rows(bench: &Bench) -> Row {
    contract_integers(bench, 1)
}

fn contract_integer_columns(bench: &Bench) -> Row {
    contract_integers(bench, 0)
}

/// Activations of a layer as elements.
fn activations(bench: &Bench) -> ([usize; 2], Integers) {
    let [tokens, _, outer] = bench.sizes.layer();
    ([tokens, outer], bench.integers(64, tokens * outer))
}

fn contract(bench: &Bench) -> Row {
    let (shape, column) = activations(bench);
    let (values, weights) = (bench.vector(&column), bench.elements(shape[1]));
    let elements = shape[0] * shape[1];
    let load = load::contract(elements as u64, shape[0] as u64);
    bench.row(("elements", elements), load, || bench.cuda.contract(&values, &shape, 1, &weights))
}

fn permute(bench: &Bench) -> Row {
    let (shape, column) = activations(bench);
    let elements = shape[0] * shape[1];
    bench.whole(
        ("elements", elements),
        load::permute(elements as u64),
        || bench.vector(&column),
        |values| bench.cuda.permute(values, &shape, &[1, 0]),
    )
}

/// Slices of a lookup's leaves.
const SLICES: usize = 8;

/// Leaves of a lookup: a limb and an output each.
fn affine(bench: &Bench) -> Row {
    let [tokens, _, outer] = bench.sizes.layer();
    let len = tokens * outer;
    let columns: Vec<_> = (0..SLICES).map(|_| (bench.integers(8, len), bench.integers(16, len))).collect();
    let (constant, factors) = (bench.element(), [bench.element(), bench.element()]);
    let slice = |(limbs, outputs)| Affine { len, constant, terms: vec![(factors[0], limbs), (factors[1], outputs)] };
    let slices: Vec<_> = columns.iter().map(|(limbs, outputs)| slice((limbs, outputs))).collect();
    let load = load::affine((len * SLICES) as u64, &[1, 2]);
    bench.row(("elements", len * SLICES), load, || bench.cuda.affine(&slices))
}

/// A factor of elements, and what its load is counted by.
fn factor<'a>(bench: &Bench, axes: Vec<usize>, column: &Integers) -> (Factor<'a, Integers, Elements>, load::Cells) {
    let cells = bench.cuda.count(column) as u64;
    (Factor { axes, cells: Cells::Elements(bench.vector(column)) }, (cells, 24))
}

/// An elementwise product of activations with a weight for each column, made anew from columns on the device.
fn weighted<'a>(
    bench: &Bench,
    dims: [usize; 2],
    [column, row]: [&Integers; 2],
) -> (Product<'a, Integers, Elements>, Vec<load::Cells>) {
    let factors = [(vec![0, 1], column), (vec![0, 1], column), (vec![1], row)];
    let (factors, cells) = factors.map(|(axes, column)| factor(bench, axes, column)).into_iter().unzip();
    (Product { dims: dims.into(), factors, scale: bench.element() }, cells)
}

fn product_total(bench: &Bench) -> Row {
    let (dims, column) = activations(bench);
    let (joint, row) = (dims[0] * dims[1], bench.integers(64, dims[1]));
    let (product, cells) = weighted(bench, dims, [&column, &row]);
    let load = load::product_total(joint as u64, &cells);
    bench.row(("products", joint), load, || bench.cuda.product_total(&product))
}

fn transcript() -> Writer {
    Writer::new("bench")
}

fn product_sumcheck(bench: &Bench) -> Row {
    let (dims, column) = activations(bench);
    let (joint, row) = (dims[0] * dims[1], bench.integers(64, dims[1]));
    let (product, cells) = weighted(bench, dims, [&column, &row]);
    let degree = product.factors.len();
    let load = load::product_sumcheck(joint as u64, &cells, degree as u64);
    let prepare = || weighted(bench, dims, [&column, &row]).0;
    let run = |product| bench.cuda.product_sumcheck(product, degree, &mut transcript());
    bench.whole(("products", joint), load, prepare, run)
}

/// Claims on one tensor, made one: its integers times their weights.
fn merge(bench: &Bench) -> Row {
    let ([tokens, outer], column) = activations(bench);
    let (joint, tensor) = (tokens * outer, bench.integers(16, tokens * outer));
    let axes = || vec![0, 1];
    let load = load::product_sumcheck(joint as u64, &[(joint as u64, 2), (joint as u64, 24)], 2);
    let prepare = || {
        let factors = vec![Factor { axes: axes(), cells: Cells::Integers(&tensor) }, factor(bench, axes(), &column).0];
        Product { dims: vec![tokens, outer], factors, scale: bench.element() }
    };
    let run = |product| bench.cuda.product_sumcheck(product, 2, &mut transcript());
    bench.whole(("products", joint), load, prepare, run)
}

/// The leaves of a lookup.
fn fractions(bench: &Bench) -> Fractions<Elements> {
    let [tokens, _, outer] = bench.sizes.layer();
    let column = bench.integers(64, SLICES * tokens * outer);
    let [p, q] = [0; 2].map(|_| bench.vector(&column));
    Fractions { shape: vec![SLICES, tokens, outer], p, q }
}

fn add_fractions(bench: &Bench) -> Row {
    let leaves = fractions(bench);
    let count: usize = leaves.shape.iter().product();
    let load = load::add_fractions(count as u64);
    bench.row(("fractions", count), load, || bench.cuda.add_fractions(&leaves))
}

fn fraction_sumcheck(bench: &Bench) -> Row {
    let leaves = fractions(bench);
    let count: usize = leaves.shape.iter().product();
    // The last axis is halved, the variables of the others stay.
    let variables = leaves.shape.iter().map(|&d| axis_bits(d)).sum::<usize>() - 1;
    let (point, c, claim) = (bench.elements(variables), bench.element(), bench.element());
    let load = load::fraction_sumcheck(count as u64);
    bench.row(("fractions", count), load, || {
        bench.cuda.fraction_sumcheck(Layer { below: vec![&leaves], point: &point, c, claim }, &mut transcript())
    })
}
