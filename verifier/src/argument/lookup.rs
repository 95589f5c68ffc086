//! All lookups of a subgraph in one argument.
//!
//! Leaf of a lookup: `1 / (a - row)`; leaf of a table: `-multiplicity / (a - row)`; `row = sum_j g^j entry_j`, entry 0
//! the table's tag. The sum is zero iff every row looked up stands in its table (characteristic far above the number of
//! leaves). The leaves' claims become claims on columns, and the claim on a lookup's input follows from its columns.

use super::ledger::Ledger;
use super::logup::{self, LeafClaim};
use super::{Rejection, require};
use crate::field::{K, horner, k_from_i64};
use crate::graph::{Graph, Lookup, Op};
use crate::multilinear::{axis_bits, eq_index, num_variables, ones, split_point};
use crate::plan::{Limb, LookupPlan, SubgraphPlan};
use crate::transcript::{Reader, Transcript};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use p3_field::{Field, PrimeCharacteristicRing};

/// Challenges of the argument, drawn after all columns are committed.
#[derive(Clone, Copy, Debug)]
pub struct Challenges {
    /// `a`: a random point for the sum of fractions.
    pub pole: K,
    /// `g`: compresses a row.
    pub row: K,
}

impl Challenges {
    /// Draws both.
    pub fn draw(transcript: &mut impl Transcript) -> Self {
        Self { pole: transcript.challenge(), row: transcript.challenge() }
    }

    /// `a - row - 1`, linear in the entries; `one` is 1, or the extension of ones.
    pub fn denominator(&self, tag: usize, entries: &[K], one: K) -> K {
        (self.pole - K::from_usize(tag) - K::ONE) * one - self.row * horner(entries, self.row)
    }
}

/// The tag of the table at this place of the plan.
pub const fn tag(table: usize) -> usize {
    table + 1
}

/// The lookup behind a plan.
pub fn lookup_of<'a>(graph: &'a Graph, plan: &LookupPlan) -> Option<&'a Lookup> {
    match &graph.nodes.get(plan.node as usize)?.op {
        Op::Lookup(lookup) => Some(lookup),
        _ => None,
    }
}

/// Lookups of one shape, whose leaves are one tensor: a slice for each limb of each lookup.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// Shape of the inputs.
    pub shape: &'a [usize],
    /// Places among the lookups, in order, with what is looked up.
    pub lookups: Vec<(usize, &'a LookupPlan, &'a Lookup)>,
}

impl Group<'_> {
    /// Slices of the leaves.
    pub fn slices(&self) -> usize {
        self.lookups.iter().map(|(_, plan, _)| plan.leaves()).sum()
    }

    /// Shape of the leaves.
    pub fn leaf_shape(&self) -> Vec<usize> {
        core::iter::once(self.slices()).chain(self.shape.iter().copied()).collect()
    }
}

/// The lookups of a subgraph by shape, in the order in which the shapes come first.
pub fn groups<'a>(graph: &'a Graph, plan: &'a SubgraphPlan) -> Vec<Group<'a>> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, lookup_plan) in plan.lookups.iter().enumerate() {
        let Some(lookup) = lookup_of(graph, lookup_plan) else { continue };
        let shape = graph.tensor(lookup.input).shape.as_slice();
        let member = (place, lookup_plan, lookup);
        match groups.iter_mut().find(|group| group.shape == shape) {
            Some(group) => group.lookups.push(member),
            None => groups.push(Group { shape, lookups: alloc::vec![member] }),
        }
    }
    groups
}

/// Extensions of the columns of a lookup at one point, and of the limb that is none because it follows from the input.
#[derive(Clone, Debug)]
pub struct Columns {
    /// The output, if the lookup has one.
    pub output: Option<K>,
    /// Limbs of the remainder.
    pub remainder: Vec<K>,
    /// Limbs of the value that do not follow from the output.
    pub value: Vec<K>,
    /// Edges of the limbs of the value.
    pub edges: Vec<K>,
    /// Limbs of the excess.
    pub excess: Vec<K>,
}

/// What follows from the columns: the rows looked up, and the input.
#[derive(Clone, Debug)]
pub struct Element {
    /// For each leaf: the table's place and the row's entries after the tag.
    pub rows: Vec<(usize, Vec<K>)>,
    /// `input * multiplier`.
    pub scaled_input: K,
}

impl Columns {
    /// The rows and the input, linear in the columns; `one` is the extension of ones.
    pub fn element(&self, lookup: &Lookup, plan: &LookupPlan, one: K) -> Element {
        let shifted = |x: K, offset: u32| x * k_from_i64(1 << offset);
        let sum = |limbs: &[Limb], columns: &[K]| -> K {
            limbs.iter().zip(columns).map(|(limb, &v)| shifted(v, limb.offset)).sum()
        };
        let mut value = self.value.clone();
        if value.len() < plan.value.len() {
            let output = self.output.unwrap_or_default();
            value.insert(0, output - k_from_i64(lookup.lo) * one - sum(&plan.value[1..], &self.value));
        }
        let mut head = k_from_i64(lookup.lo) * one + sum(&plan.value, &value);
        let mut rows: Vec<(usize, Vec<K>)> =
            plan.remainder.iter().zip(&self.remainder).map(|(limb, &r)| (limb.table, alloc::vec![r])).collect();
        for (i, (limb, &v)) in plan.value.iter().zip(&value).enumerate() {
            let function = self.output.filter(|_| lookup.table.is_some());
            rows.push((limb.table, core::iter::once(v).chain(self.edges.get(i).copied()).chain(function).collect()));
        }
        if let Some(excess) = &plan.excess {
            let edges = self.edges.iter().copied().sum();
            head += sum(&excess.limbs, &self.excess);
            rows.extend(excess.limbs.iter().zip(&self.excess).map(|(limb, &e)| (limb.table, alloc::vec![edges, e])));
        }
        let scaled_input =
            shifted(head, lookup.shift) + sum(&plan.remainder, &self.remainder) - k_from_i64(lookup.add) * one;
        Element { rows, scaled_input }
    }
}

/// Verifies all lookups of the subgraph and enters the claims on their columns, tables and inputs.
///
/// # Errors
/// If the prover's messages are malformed or an equation does not hold.
pub fn verify(transcript: &mut Reader, ledger: &mut Ledger) -> Result<(), Rejection> {
    let (graph, plan) = (ledger.graph, ledger.plan);
    let groups = groups(graph, plan);
    if groups.is_empty() {
        return Ok(());
    }
    let challenges = Challenges::draw(transcript);
    let group_variables = groups.iter().map(|group| num_variables(&group.leaf_shape()));
    let table_variables = (!plan.tables.is_empty()).then(|| axis_bits(plan.table_rows()));
    let variables: Vec<usize> = group_variables.chain(table_variables).collect();
    let leaves = variables.iter().map(|&v| 1u64 << v).sum::<u64>();
    // As a polynomial in both challenges the cleared sum has this degree: a row has at most 4 entries.
    transcript.charge("lookups", leaves * 5);
    let mut leaves = logup::verify(transcript, &variables)?.into_iter();
    for (group, leaf) in groups.iter().zip(leaves.by_ref()) {
        verify_group(transcript, group, &challenges, &leaf, ledger)?;
    }
    leaves.next().map_or(Ok(()), |leaf| verify_tables(transcript, &challenges, leaf, ledger))
}

fn verify_group(
    transcript: &mut Reader,
    group: &Group,
    challenges: &Challenges,
    leaf: &LeafClaim,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let graph = ledger.graph;
    let (_, first, _) = group.lookups[0];
    let name = || -> String { format!("lookups like '{}'", graph.nodes[first.node as usize].name) };
    let count = group.slices();
    let (which, point) = leaf.point.split_at(axis_bits(count));
    let one: K = split_point(group.shape, point).iter().zip(group.shape).map(|(p, &d)| ones(p, d)).product();

    let (mut q, mut slice) = (K::ZERO, 0);
    for &(_, lookup_plan, lookup) in &group.lookups {
        let columns = read_columns(transcript, lookup_plan, lookup)?;
        enter_columns(lookup_plan, lookup, &columns, point, ledger)?;
        let element = columns.element(lookup, lookup_plan, one);
        for (table, entries) in &element.rows {
            q += eq_index(which, slice) * challenges.denominator(tag(*table), entries, one);
            slice += 1;
        }
        enter_input(lookup, point, element.scaled_input, ledger)?;
    }
    require(leaf.leaf.q == q, name, "the rows looked up")?;
    require(leaf.leaf.p == ones(which, count) * one, name, "one lookup for every limb")
}

/// Enters the claim on a lookup's input that follows from its columns.
///
/// # Errors
/// If the ledger holds another value there.
pub fn enter_input(lookup: &Lookup, point: &[K], scaled_input: K, ledger: &mut Ledger) -> Result<(), Rejection> {
    // The multiplier of a checked graph is positive and far below the modulus.
    let inverse = k_from_i64(lookup.multiplier).try_inverse().unwrap_or_default();
    ledger.tensor(lookup.input, point.to_vec(), scaled_input * inverse)
}

fn read_columns(transcript: &mut Reader, plan: &LookupPlan, lookup: &Lookup) -> Result<Columns, Rejection> {
    let excess = plan.excess.as_ref();
    Ok(Columns {
        output: lookup.output.map(|_| transcript.read()).transpose()?,
        remainder: transcript.read_all(plan.remainder.len())?,
        value: transcript.read_all(plan.value.len() - plan.from_output)?,
        edges: transcript.read_all(excess.map_or(0, |e| e.edges.len()))?,
        excess: transcript.read_all(excess.map_or(0, |e| e.limbs.len()))?,
    })
}

/// Enters the claims on a lookup's output and columns at the point of its leaves.
///
/// # Errors
/// If the ledger holds another value there.
pub fn enter_columns(
    lookup_plan: &LookupPlan,
    lookup: &Lookup,
    columns: &Columns,
    point: &[K],
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    if let (Some(tensor), Some(value)) = (lookup.output, columns.output) {
        ledger.tensor(tensor, point.to_vec(), value)?;
    }
    let excess = lookup_plan.excess.iter();
    let places = lookup_plan.remainder.iter().map(|l| l.column);
    let places = places.chain(lookup_plan.value.iter().skip(lookup_plan.from_output).map(|l| l.column));
    let places = places.chain(excess.clone().flat_map(|e| e.edges.iter().copied().map(Some)));
    let places = places.chain(excess.flat_map(|e| e.limbs.iter().map(|l| l.column)));
    let values = columns.remainder.iter().chain(&columns.value).chain(&columns.edges).chain(&columns.excess);
    for (place, &value) in places.zip(values) {
        if let Some(place) = place {
            ledger.column(place, point.to_vec(), value)?;
        }
    }
    Ok(())
}

/// The leaves of all tables are one vector, as [`SubgraphPlan::segments`] says.
fn verify_tables(
    transcript: &mut Reader,
    challenges: &Challenges,
    leaf: LeafClaim,
    ledger: &mut Ledger,
) -> Result<(), Rejection> {
    let plan = ledger.plan;
    let mut q = K::ZERO;
    for segment in plan.segments() {
        let table = &plan.tables[segment.table];
        let (leading, point) = leaf.point.split_at(leaf.point.len() - segment.width as usize);
        let mut outputs = K::ZERO;
        if let Some(tensor) = table.outputs() {
            outputs = transcript.read()?;
            ledger.tensor(tensor, point.to_vec(), outputs)?;
        }
        let entries = table.evaluate(segment.kind, point, outputs);
        let denominator = challenges.denominator(tag(segment.table), &entries, K::ONE);
        q += eq_index(leading, segment.offset >> segment.width) * denominator;
    }
    require(leaf.leaf.q == q, || String::from("the tables"), "their rows")?;
    ledger.column(plan.multiplicities(), leaf.point, -leaf.leaf.p)
}
