//! See `verifier::argument::lookup`.

use super::Context;
use super::fractions::Tree;
use super::logup;
use super::tensor::evaluate_all;
use crate::columns::{Leaf, LookupColumns, Witness};
use kernels::{Affine, Device, Fractions};
use p3_field::PrimeCharacteristicRing;
use verifier::argument::Rejection;
use verifier::argument::ledger::Ledger;
use verifier::argument::logup::LeafClaim;
use verifier::argument::lookup::{Challenges, Columns, Group, enter_columns, enter_input, groups, tag};
use verifier::field::K;
use verifier::multilinear::{axis_bits, ones, split_point};
use verifier::transcript::Writer;

/// Proves all lookups of the subgraph and enters the claims on their columns, tables and inputs.
///
/// # Errors
/// If the values contradict each other.
pub fn prove<D: Device>(
    context: Context<D>,
    transcript: &mut Writer,
    witness: &Witness<D::Integers>,
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
    if !plan.tables.is_empty() {
        trees.push(Tree::new(device, table_leaves(context, witness, &challenges)));
    }
    let mut leaves = logup::prove(device, transcript, &trees).into_iter();
    drop(trees);
    let members: Vec<_> = groups
        .iter()
        .zip(leaves.by_ref())
        .flat_map(|(group, leaf)| {
            let point = leaf.point[axis_bits(group.slices())..].to_vec();
            group.lookups.iter().map(move |&lookup| (group.shape, lookup, point.clone()))
        })
        .collect();
    let columns = members.iter().flat_map(|(shape, (place, _, lookup), point)| {
        let LookupColumns { remainder, value, edges, excess } = &witness.lookups[*place];
        let output = lookup.output.map(|t| context.held(t));
        let columns = output.into_iter().chain(remainder).chain(value).chain(edges).chain(excess);
        columns.map(move |column| (column, *shape, point.as_slice()))
    });
    let mut values = evaluate_all(device, columns).into_iter();
    for &(shape, (place, lookup_plan, lookup), ref point) in &members {
        let (columns, point) = (&witness.lookups[place], point.as_slice());
        let mut of = |columns: &[D::Integers]| -> Vec<K> { values.by_ref().take(columns.len()).collect() };
        let columns = Columns {
            output: lookup.output.and_then(|t| of(std::slice::from_ref(context.held(t))).pop()),
            remainder: of(&columns.remainder),
            value: of(&columns.value),
            edges: of(&columns.edges),
            excess: of(&columns.excess),
        };
        for part in [columns.output.as_slice(), &columns.remainder, &columns.value, &columns.edges, &columns.excess] {
            transcript.write_all(part);
        }
        enter_columns(lookup_plan, lookup, &columns, point, ledger)?;
        let one: K = split_point(shape, point).iter().zip(shape).map(|(p, &d)| ones(p, d)).product();
        let element = columns.element(lookup, lookup_plan, one);
        enter_input(lookup, point, element.scaled_input, ledger)?;
    }
    leaves.next().map_or(Ok(()), |leaf| prove_tables(context, transcript, leaf, ledger))
}

fn group_leaves<D: Device>(
    context: Context<D>,
    group: &Group,
    witness: &Witness<D::Integers>,
    challenges: &Challenges,
) -> Fractions<D::Extension> {
    let device = context.device;
    let len = group.shape.iter().product();
    let leaves = group.lookups.iter().flat_map(|&(place, plan, lookup)| {
        witness.lookups[place].leaves(device, lookup, plan, lookup.output.map(|t| context.held(t)))
    });
    let leaves: Vec<Leaf<D::Integers>> = leaves.collect();
    let slices: Vec<Affine<D::Integers>> = leaves
        .iter()
        .map(|leaf| denominators(challenges, leaf.table, len, leaf.entries.iter().map(AsRef::as_ref)))
        .collect();
    let ones = Affine { len: len * slices.len(), constant: K::ONE, terms: Vec::new() };
    Fractions { shape: group.leaf_shape(), p: device.affine(&[ones]), q: device.affine(&slices) }
}

/// `pole - tag - sum_j row^(j+1) entry_j - 1` from the columns of the entries.
fn denominators<'a, I>(
    challenges: &Challenges,
    table: usize,
    len: usize,
    entries: impl Iterator<Item = &'a I>,
) -> Affine<'a, I> {
    let powers = challenges.row.powers().skip(1).map(|power| -power);
    Affine { len, constant: challenges.pole - K::from_usize(tag(table)) - K::ONE, terms: powers.zip(entries).collect() }
}

fn table_leaves<D: Device>(
    context: Context<D>,
    witness: &Witness<D::Integers>,
    challenges: &Challenges,
) -> Fractions<D::Extension> {
    let Context { device, plan, .. } = context;
    let multiplicities = witness.table_rows(device, plan);
    let len = device.count(&multiplicities);
    let segments = plan.segments();
    // For each segment, the columns of its rows' entries.
    let entries: Vec<Vec<D::Integers>> = segments
        .iter()
        .map(|segment| {
            let table = &plan.tables[segment.table];
            device.table_entries(table, segment.kind, table.outputs().map(|t| context.held(t)))
        })
        .collect();
    let slices: Vec<Affine<D::Integers>> = segments
        .iter()
        .zip(&entries)
        .map(|(segment, entries)| denominators(challenges, segment.table, 1 << segment.width, entries.iter()))
        .collect();
    let numerators = Affine { len, constant: K::ZERO, terms: vec![(-K::ONE, &multiplicities)] };
    Fractions { shape: vec![len], p: device.affine(&[numerators]), q: device.affine(&slices) }
}

fn prove_tables<D: Device>(
    context: Context<D>,
    transcript: &mut Writer,
    leaf: LeafClaim,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let plan = context.plan;
    let outputs = || {
        let segments = plan.segments().into_iter();
        segments.filter_map(|segment| plan.tables[segment.table].outputs().map(|tensor| (tensor, segment.width)))
    };
    let shapes: Vec<[usize; 1]> = outputs().map(|(_, width)| [1 << width]).collect();
    let point = |width: u32| &leaf.point[leaf.point.len() - width as usize..];
    let columns =
        outputs().zip(&shapes).map(|((tensor, width), shape)| (context.held(tensor), &shape[..], point(width)));
    let values = evaluate_all(context.device, columns);
    for ((tensor, width), outputs) in outputs().zip(values) {
        transcript.write(outputs);
        ledger.tensor(tensor, point(width).to_vec(), outputs)?;
    }
    ledger.column(plan.multiplicities(), leaf.point, -leaf.leaf.p)
}
