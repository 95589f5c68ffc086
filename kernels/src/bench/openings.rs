//! Commitments and their openings: codewords, trees, and the vectors of a sumcheck over `2^n` elements.

use super::{Bench, Case, Row, load};
use crate::cuda::Words;
use crate::{Device, Strided};
use verifier::commitment::Layout;

/// See the module.
pub const CASES: &[Case] = &[
    ("pack", pack),
    ("commit: encode", encode),
    ("commit: hash rows", hash_rows),
    ("commit: hash pairs", hash_pairs),
    ("open", open),
    ("bind_rows", bind_rows),
    ("bind_columns", bind_columns),
    ("evaluate", evaluate),
    ("add_eq", add_eq),
    ("add_at", add_at),
    ("add_outer", add_outer),
    ("add_powers", add_powers),
    ("round", round),
    ("fold", fold),
    ("fold_round", fold_round),
];

/// Weights of a layer, in the polynomial that they are committed in.
fn pack(bench: &Bench) -> Row {
    let [_, inner, outer] = bench.sizes.layer();
    let (layout, weights) = (Layout::new(&[vec![outer, inner]]), bench.integers(16, outer * inner));
    let padded = 1u64 << layout.num_variables();
    let load = load::pack(layout.cells() as u64, padded, CELL);
    bench.row(("cells", padded as usize), load, || bench.cuda.pack(&layout, &[&weights]))
}

/// Bytes of a cell of a model's weights.
const CELL: u64 = 2;

/// The largest polynomial, of integers as a model's weights are.
fn polynomial(bench: &Bench) -> Words {
    let layout = Layout::new(&[vec![bench.sizes.cells()]]);
    bench.cuda.pack(&layout, &[&bench.integers(8 * CELL as u32, bench.sizes.cells())])
}

/// A part of committing to the largest polynomial.
fn commit(bench: &Bench, items: (&'static str, usize), load: load::Load, counted: fn(&str, &str) -> bool) -> Row {
    let (message, sizes) = (polynomial(bench), bench.sizes);
    let run = |()| bench.cuda.commit_base(&message, sizes.log_width() as usize, sizes.log_cosets() as usize);
    bench.part(items, load, counted, || (), run)
}

fn encode(bench: &Bench) -> Row {
    let sizes = bench.sizes;
    let load = load::encode(sizes.log_rows(), sizes.log_cosets(), 1 << sizes.log_width(), CELL);
    commit(bench, ("words", sizes.cells() << sizes.log_cosets()), load, |family, _| family == "encode")
}

fn hash_rows(bench: &Bench) -> Row {
    let rows = bench.sizes.rows() << bench.sizes.log_cosets();
    let load = load::hash_rows(rows as u64, 1 << bench.sizes.log_width());
    commit(bench, ("rows", rows), load, |_, name| name == "hash_rows")
}

fn hash_pairs(bench: &Bench) -> Row {
    let rows = bench.sizes.rows() << bench.sizes.log_cosets();
    let counted = |family: &str, name: &str| family == "hash" && name != "hash_rows";
    commit(bench, ("pairs", rows - 1), load::hash_tree(rows as u64), counted)
}

/// Leaves that are opened.
const OPENED: usize = 128;

fn open(bench: &Bench) -> Row {
    let (sizes, width) = (bench.sizes, 1 << bench.sizes.log_width());
    let message = polynomial(bench);
    let (_, tree) = bench.cuda.commit_base(&message, sizes.log_width() as usize, sizes.log_cosets() as usize);
    let leaves: Vec<usize> = (0..OPENED).map(|i| i * 7919 % (sizes.rows() << sizes.log_cosets())).collect();
    let load = load::gather(OPENED as u64, width);
    bench.row(("rows", OPENED), load, || bench.cuda.open(&tree, &leaves))
}

fn bind_rows(bench: &Bench) -> Row {
    let (cells, point) = (polynomial(bench), bench.elements(bench.sizes.log_rows() as usize));
    let load = load::bind_rows(bench.sizes.cells() as u64, CELL, 1 << bench.sizes.log_width());
    let run = || bench.cuda.bind_rows(&cells, Strided::ALL, &point, bench.sizes.log_width() as usize);
    bench.row(("cells", bench.sizes.cells()), load, run)
}

fn bind_columns(bench: &Bench) -> Row {
    let (cells, weights) = (polynomial(bench), bench.elements(1 << bench.sizes.log_width()));
    let load = load::bind_columns(bench.sizes.rows() as u64, weights.len() as u64, CELL);
    bench.row(("cells", bench.sizes.cells()), load, || bench.cuda.bind_columns(&cells, &weights))
}

fn evaluate(bench: &Bench) -> Row {
    let (column, point) = (bench.integers(64, bench.sizes.rows()), bench.elements(bench.sizes.log_rows() as usize));
    let values = bench.vector(&column);
    bench.row(("elements", bench.sizes.rows()), load::evaluate(bench.sizes.rows() as u64), || {
        bench.cuda.evaluate(&values, &point)
    })
}

fn add_eq(bench: &Bench) -> Row {
    let (rows, point) = (bench.sizes.rows(), bench.elements(bench.sizes.log_rows() as usize));
    let add = |mut out| {
        bench.cuda.add_eq(&mut out, Strided::ALL, &point, point[0]);
        out
    };
    bench.whole(("elements", rows), load::add_eq(rows as u64), || bench.cuda.zeros(rows), add)
}

fn add_at(bench: &Bench) -> Row {
    let (rows, column) = (bench.sizes.rows(), bench.integers(64, bench.sizes.rows()));
    let values = bench.vector(&column);
    let add = |mut out| {
        bench.cuda.add_at(&mut out, Strided::ALL, &values);
        out
    };
    bench.whole(("elements", rows), load::add_at(rows as u64), || bench.cuda.zeros(rows), add)
}

/// Weights of a tensor of activations.
fn add_outer(bench: &Bench) -> Row {
    let [tokens, _, outer] = bench.sizes.layer();
    let (rows, columns) = (bench.elements(tokens), bench.elements(outer));
    let add = |mut out| {
        bench.cuda.add_outer(&mut out, &rows, &columns);
        out
    };
    let elements = tokens * outer;
    bench.whole(("elements", elements), load::add_outer(elements as u64), || bench.cuda.zeros(elements), add)
}

/// Queries of a later round, few enough that no transform adds them.
const QUERIES: usize = 16;

fn add_powers(bench: &Bench) -> Row {
    let (rows, log_order) = (bench.sizes.rows(), bench.sizes.log_rows() as usize);
    let (exponents, scales) = ((0..QUERIES).map(|i| i * 7919 % rows).collect::<Vec<_>>(), bench.elements(QUERIES));
    let add = |mut out| {
        bench.cuda.add_powers(&mut out, log_order, &exponents, &scales);
        out
    };
    bench.whole(("elements", rows), load::add_powers(rows as u64, QUERIES as u64), || bench.cuda.zeros(rows), add)
}

fn round(bench: &Bench) -> Row {
    let (rows, column) = (bench.sizes.rows(), bench.integers(64, bench.sizes.rows()));
    let [a, b] = [0; 2].map(|_| bench.vector(&column));
    bench.row(("elements", rows), load::round(rows as u64), || bench.cuda.round(&a, &b))
}

fn fold(bench: &Bench) -> Row {
    let (rows, column, x) = (bench.sizes.rows(), bench.integers(64, bench.sizes.rows()), bench.element());
    let pair = || [0; 2].map(|_| bench.vector(&column));
    bench.whole(("elements", rows), load::fold(rows as u64), pair, |[mut a, mut b]| {
        bench.cuda.fold(&mut a, &mut b, x);
        [a, b]
    })
}

fn fold_round(bench: &Bench) -> Row {
    let (rows, column, x) = (bench.sizes.rows(), bench.integers(64, bench.sizes.rows()), bench.element());
    let pair = || [0; 2].map(|_| bench.vector(&column));
    bench.whole(("elements", rows), load::fold_round(rows as u64), pair, |[mut a, mut b]| {
        let round = bench.cuda.fold_round(&mut a, &mut b, x);
        (a, b, round)
    })
}
