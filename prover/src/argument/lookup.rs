//! See `verifier::argument::lookup`.

use super::logup;
use super::tensor::evaluate;
use crate::Values;
use crate::columns::{LookupColumns, Witness};
use crate::values::held;
use kernels::cpu::{FractionLayer, FractionTree};
use kernels::{Ints, with_ints};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::argument::Rejection;
use verifier::argument::ledger::Ledger;
use verifier::argument::logup::LeafClaim;
use verifier::argument::lookup::{Challenges, Columns, enter_columns, enter_input, leaf_shape, lookup_of, tag};
use verifier::field::{K, from_i64, k_from_i64};
use verifier::graph::{Graph, Lookup};
use verifier::multilinear::{axis_bits, ones, split_point};
use verifier::plan::{LookupPlan, SubgraphPlan, Table};
use verifier::transcript::Writer;

/// Proves all lookups of the subgraph and enters the claims on their columns, tables and inputs.
///
/// # Errors
/// If the values contradict each other.
pub fn prove(
    transcript: &mut Writer,
    graph: &Graph,
    plan: &SubgraphPlan,
    values: &Values,
    witness: &Witness,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let lookups: Vec<_> = plan.lookups.iter().filter_map(|p| lookup_of(graph, p).map(|l| (p, l))).collect();
    if lookups.is_empty() {
        return Ok(());
    }
    let challenges = Challenges::draw(transcript);
    let mut trees: Vec<FractionTree> = Vec::new();
    for (&(lookup_plan, lookup), columns) in lookups.iter().zip(&witness.lookups) {
        trees.push(FractionTree::new(lookup_leaves(graph, values, lookup_plan, lookup, columns, &challenges)));
    }
    for (place, table) in plan.tables.iter().enumerate() {
        let outputs = table.outputs().map(|t| held(values, t));
        trees.push(FractionTree::new(table_leaves(place, table, outputs, &witness.multiplicities[place], &challenges)));
    }
    let mut leaves = logup::prove(transcript, &trees).into_iter();
    drop(trees);
    for ((&(lookup_plan, lookup), columns), leaf) in lookups.iter().zip(&witness.lookups).zip(leaves.by_ref()) {
        let (_, point) = leaf.point.split_at(axis_bits(lookup_plan.leaves()));
        let shape = &graph.tensor(lookup.input).shape;
        let at = |columns: &[Ints]| -> Vec<K> { columns.iter().map(|c| evaluate(c, shape, point)).collect() };
        let columns = Columns {
            output: lookup.output.map(|t| evaluate(held(values, t), shape, point)),
            remainder: at(&columns.remainder),
            value: at(&columns.value),
            edges: at(&columns.edges),
            excess: at(&columns.excess),
        };
        for part in [columns.output.as_slice(), &columns.remainder, &columns.value, &columns.edges, &columns.excess] {
            transcript.write_all(part);
        }
        enter_columns(graph, plan, lookup_plan, lookup, &columns, point, ledger)?;
        let one: K = split_point(shape, point).iter().zip(shape).map(|(p, &d)| ones(p, d)).product();
        let element = columns.element(lookup, lookup_plan, k_from_i64, one);
        enter_input(graph, plan, lookup, point, element.scaled_input, ledger)?;
    }
    for ((place, table), leaf) in plan.tables.iter().enumerate().zip(leaves) {
        prove_table(transcript, graph, plan, values, place, table, leaf, ledger)?;
    }
    Ok(())
}

fn lookup_leaves(
    graph: &Graph,
    values: &Values,
    plan: &LookupPlan,
    lookup: &Lookup,
    columns: &LookupColumns,
    challenges: &Challenges,
) -> FractionLayer {
    let len = graph.tensor(lookup.input).len();
    let leaves = columns.leaves(lookup, plan, lookup.output.map(|t| held(values, t)));
    let mut q = vec![K::ZERO; leaves.len() * len];
    q.par_chunks_mut(len).zip(&leaves).for_each(|(slice, leaf)| {
        let constant = challenges.pole - K::from_usize(tag(leaf.table)) - K::ONE;
        slice.fill(constant);
        let mut power = K::ONE;
        for column in &leaf.entries {
            power *= challenges.row;
            with_ints!(column.as_ref(), column => subtract_multiple(slice, power, column));
        }
    });
    FractionLayer { shape: leaf_shape(graph, plan, lookup), p: vec![K::ONE; q.len()], q }
}

/// `slice -= factor * column`.
fn subtract_multiple<T: Copy + Into<i64> + Sync>(slice: &mut [K], factor: K, column: &[T]) {
    let pairs = slice.par_iter_mut().zip(column).with_min_len(1 << 10);
    pairs.for_each(|(q, &x)| *q -= factor * from_i64(x.into()));
}

fn denominator(challenges: &Challenges, tag: usize, entries: &[i64]) -> K {
    let mut power = K::ONE;
    let mut row = K::from_usize(tag);
    for &entry in entries {
        power *= challenges.row;
        row += power * from_i64(entry);
    }
    challenges.pole - row - K::ONE
}

fn table_leaves(
    place: usize,
    table: &Table,
    outputs: Option<&Ints>,
    multiplicities: &Ints,
    challenges: &Challenges,
) -> FractionLayer {
    let output = |row: usize| outputs.map_or(0, |o| o.get(row));
    let rows = (0..multiplicities.len()).into_par_iter();
    let q = rows.map(|row| denominator(challenges, tag(place), &table.row(row, output(row)))).collect();
    let p = multiplicities.to_vec().into_iter().map(|m| -k_from_i64(m)).collect();
    FractionLayer { shape: table.shape(), p, q }
}

#[allow(clippy::too_many_arguments)]
fn prove_table(
    transcript: &mut Writer,
    graph: &Graph,
    plan: &SubgraphPlan,
    values: &Values,
    place: usize,
    table: &Table,
    leaf: LeafClaim,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    if let Some(tensor) = table.outputs() {
        let outputs = evaluate(held(values, tensor), &table.shape(), &leaf.point);
        transcript.write(outputs);
        ledger.tensor(graph, plan, tensor, leaf.point.clone(), outputs)?;
    }
    ledger.column(plan.multiplicity(place), leaf.point, -leaf.leaf.p)
}
