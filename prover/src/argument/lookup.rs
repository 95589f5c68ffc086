//! See `verifier::argument::lookup`.

use super::Context;
use super::fractions::Tree;
use super::logup;
use super::tensor::evaluate;
use crate::columns::{Leaf, Witness};
use kernels::{Affine, Device, Fractions, Ints};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use verifier::argument::Rejection;
use verifier::argument::ledger::Ledger;
use verifier::argument::logup::LeafClaim;
use verifier::argument::lookup::{Challenges, Columns, Group, enter_columns, enter_input, groups, tag};
use verifier::field::K;
use verifier::multilinear::{axis_bits, ones, split_point};
use verifier::plan::Table;
use verifier::transcript::Writer;

/// Proves all lookups of the subgraph and enters the claims on their columns, tables and inputs.
///
/// # Errors
/// If the values contradict each other.
pub fn prove<D: Device>(
    context: Context<D>,
    transcript: &mut Writer,
    witness: &Witness,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let Context { device, graph, plan, .. } = context;
    let groups = groups(graph, plan);
    if groups.is_empty() {
        return Ok(());
    }
    let challenges = Challenges::draw(transcript);
    let mut trees: Vec<Tree<D>> = Vec::new();
    for group in &groups {
        trees.push(Tree::new(device, group_leaves(context, group, witness, &challenges)));
    }
    for (place, table) in plan.tables.iter().enumerate() {
        let outputs = table.outputs().map(|t| context.held(t));
        let leaves = table_leaves(device, place, table, outputs, &witness.multiplicities[place], &challenges);
        trees.push(Tree::new(device, leaves));
    }
    let mut leaves = logup::prove(device, transcript, &trees).into_iter();
    drop(trees);
    let members = groups.iter().zip(leaves.by_ref()).flat_map(|(group, leaf)| {
        let point = leaf.point[axis_bits(group.slices())..].to_vec();
        group.lookups.iter().map(move |&lookup| (group.shape, lookup, point.clone()))
    });
    for (shape, (place, lookup_plan, lookup), point) in members {
        let (columns, point) = (&witness.lookups[place], point.as_slice());
        let at = |columns: &[Ints]| -> Vec<K> { columns.iter().map(|c| evaluate(device, c, shape, point)).collect() };
        let columns = Columns {
            output: lookup.output.map(|t| evaluate(device, context.held(t), shape, point)),
            remainder: at(&columns.remainder),
            value: at(&columns.value),
            edges: at(&columns.edges),
            excess: at(&columns.excess),
        };
        for part in [columns.output.as_slice(), &columns.remainder, &columns.value, &columns.edges, &columns.excess] {
            transcript.write_all(part);
        }
        enter_columns(lookup_plan, lookup, &columns, point, ledger)?;
        let one: K = split_point(shape, point).iter().zip(shape).map(|(p, &d)| ones(p, d)).product();
        let element = columns.element(lookup, lookup_plan, one);
        enter_input(lookup, point, element.scaled_input, ledger)?;
    }
    for ((place, table), leaf) in plan.tables.iter().enumerate().zip(leaves) {
        prove_table(context, transcript, place, table, leaf, ledger)?;
    }
    Ok(())
}

fn group_leaves<D: Device>(
    context: Context<D>,
    group: &Group,
    witness: &Witness,
    challenges: &Challenges,
) -> Fractions<D::Extension> {
    let device = context.device;
    let len = group.shape.iter().product();
    let leaves = group.lookups.iter().flat_map(|&(place, plan, lookup)| {
        witness.lookups[place].leaves(lookup, plan, lookup.output.map(|t| context.held(t)))
    });
    let leaves: Vec<Leaf> = leaves.collect();
    let slices: Vec<Affine> = leaves
        .iter()
        .map(|leaf| denominators(challenges, leaf.table, len, leaf.entries.iter().map(AsRef::as_ref)))
        .collect();
    let ones = Affine { len: len * slices.len(), constant: K::ONE, terms: Vec::new() };
    Fractions { shape: group.leaf_shape(), p: device.affine(&[ones]), q: device.affine(&slices) }
}

/// `pole - tag - sum_j row^(j+1) entry_j - 1` from the columns of the entries.
fn denominators<'a>(
    challenges: &Challenges,
    table: usize,
    len: usize,
    entries: impl Iterator<Item = &'a Ints>,
) -> Affine<'a> {
    let powers = challenges.row.powers().skip(1).map(|power| -power);
    Affine { len, constant: challenges.pole - K::from_usize(tag(table)) - K::ONE, terms: powers.zip(entries).collect() }
}

fn table_leaves<D: Device>(
    device: &D,
    place: usize,
    table: &Table,
    outputs: Option<&Ints>,
    multiplicities: &Ints,
    challenges: &Challenges,
) -> Fractions<D::Extension> {
    let len = multiplicities.len();
    let rows: Vec<Vec<i64>> =
        (0..len).into_par_iter().map(|row| table.row(row, outputs.map_or(0, |o| o.get(row)))).collect();
    let width = rows.first().map_or(0, Vec::len);
    let entries: Vec<Ints> =
        (0..width).map(|j| Ints::from(rows.par_iter().map(|row| row[j]).collect::<Vec<_>>())).collect();
    let numerators = Affine { len, constant: K::ZERO, terms: vec![(-K::ONE, multiplicities)] };
    Fractions {
        shape: table.shape(),
        p: device.affine(&[numerators]),
        q: device.affine(&[denominators(challenges, place, len, entries.iter())]),
    }
}

fn prove_table<D: Device>(
    context: Context<D>,
    transcript: &mut Writer,
    place: usize,
    table: &Table,
    leaf: LeafClaim,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    if let Some(tensor) = table.outputs() {
        let outputs = evaluate(context.device, context.held(tensor), &table.shape(), &leaf.point);
        transcript.write(outputs);
        ledger.tensor(tensor, leaf.point.clone(), outputs)?;
    }
    ledger.column(context.plan.multiplicity(place), leaf.point, -leaf.leaf.p)
}
