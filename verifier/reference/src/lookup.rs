//! Section 6: all lookups of a subgraph in one argument.

use crate::error::{Error, require};
use crate::extension::{bits, eq_index, ones, ones_of, variables};
use crate::field::{K, count, f, inverse, k};
use crate::fractions::{self, Leaves};
use crate::graph::{Lookup, Op};
use crate::limbs::{Limb, LookupPlan};
use crate::subgraph::Subgraph;
use crate::table::stretches;

/// `alpha` and `gamma`.
#[derive(Clone, Copy)]
struct Challenges {
    alpha: K,
    gamma: K,
}

impl Challenges {
    /// `alpha - tag - sum_j gamma^(j+1) entry_j - 1`, the constants times the extension of ones.
    fn denominator_less_one(self, table: usize, entries: &[K], one: K) -> K {
        let mut sum = (self.alpha - count(table + 1) - K::ONE) * one;
        let mut power = K::ONE;
        for &entry in entries {
            power = power * self.gamma;
            sum = sum - power * entry;
        }
        sum
    }
}

/// Verifies all lookups and enters the claims on their inputs, outputs, columns and tables.
pub fn verify(s: &mut Subgraph) -> Result<(), Error> {
    if s.plan.lookups.is_empty() {
        return Ok(());
    }
    let challenges = Challenges { alpha: s.transcript.challenge(), gamma: s.transcript.challenge() };
    let groups = groups(s)?;
    let mut trees = Vec::new();
    for group in &groups {
        trees.push(bits(group.slices()) + variables(group.shape));
    }
    if !s.plan.tables.is_empty() {
        trees.push(bits(s.plan.table_rows()));
    }
    s.transcript.charge("lookups", 5 * trees.iter().map(|&n| 1usize << n).sum::<usize>());
    let leaves = fractions::verify(&mut s.transcript, &trees)?;
    let (lookups, tables) = leaves.split_at_checked(groups.len()).ok_or(Error::Internal("a tree has no leaves"))?;
    for (group, leaves) in groups.iter().zip(lookups) {
        verify_group(s, group, challenges, leaves)?;
    }
    tables.first().map_or(Ok(()), |leaves| verify_tables(s, challenges, leaves))
}

/// Lookups whose inputs have one shape: their leaves are one tensor.
struct Group<'a> {
    shape: &'a [usize],
    lookups: Vec<(&'a LookupPlan, &'a Lookup)>,
}

impl Group<'_> {
    fn slices(&self) -> usize {
        self.lookups.iter().map(|(plan, _)| plan.leaves()).sum()
    }
}

/// In the order in which the shapes come first.
fn groups<'a>(s: &Subgraph<'a>) -> Result<Vec<Group<'a>>, Error> {
    let mut groups: Vec<Group> = Vec::new();
    for plan in &s.plan.lookups {
        let lookup = lookup_of(s, plan)?;
        let shape = s.graph.tensor(lookup.input)?.shape.as_slice();
        if groups.iter().all(|group| group.shape != shape) {
            groups.push(Group { shape, lookups: Vec::new() });
        }
        groups.iter_mut().filter(|group| group.shape == shape).for_each(|group| group.lookups.push((plan, lookup)));
    }
    Ok(groups)
}

fn lookup_of<'a>(s: &Subgraph<'a>, plan: &LookupPlan) -> Result<&'a Lookup, Error> {
    match &s.graph.node(plan.node)?.op {
        Op::Lookup(lookup) => Ok(lookup),
        _ => Err(Error::Internal("a planned lookup is none")),
    }
}

/// `sum_i 2^o_i x_i`.
fn weighted(limbs: &[Limb], values: &[K]) -> K {
    limbs.iter().zip(values).map(|(limb, &x)| count(1 << limb.offset) * x).sum()
}

fn verify_group(s: &mut Subgraph, group: &Group, challenges: Challenges, leaves: &Leaves) -> Result<(), Error> {
    let place = || "lookups of one shape".to_string();
    let (which, point) =
        leaves.point.split_at_checked(bits(group.slices())).ok_or(Error::Internal("a point is too short"))?;
    let one = ones_of(group.shape, point)?;
    let mut denominators = Vec::new();
    for (plan, lookup) in &group.lookups {
        for (table, entries) in verify_lookup(s, plan, lookup, point, one)? {
            denominators.push(challenges.denominator_less_one(table, &entries, one));
        }
    }
    let q = denominators.iter().enumerate().map(|(leaf, &denominator)| eq_index(which, leaf) * denominator);
    require(leaves.value.q == q.sum(), place, "the rows looked up")?;
    require(leaves.value.p == ones(which, group.slices()) * one, place, "one lookup for every limb")
}

/// Enters the claims on a lookup's input, output and columns; returns its rows.
fn verify_lookup(
    s: &mut Subgraph,
    plan: &LookupPlan,
    lookup: &Lookup,
    point: &[K],
    one: K,
) -> Result<Vec<(usize, Vec<K>)>, Error> {
    // What the prover says of the columns at the point.
    let output = if lookup.output.is_some() { Some(s.transcript.read()?) } else { None };
    let remainder = s.transcript.read_all(plan.remainder.len())?;
    let mut value = s.transcript.read_all(plan.value.len() - plan.from_output)?;
    let edges = s.transcript.read_all(plan.edges.len())?;
    let excess = s.transcript.read_all(plan.excess.len())?;

    if let (Some(tensor), Some(value)) = (lookup.output, output) {
        s.claims.tensor(s.graph, s.plan, tensor, point.to_vec(), value)?;
    }
    let column = |limb: &Limb| limb.column;
    let columns = plan.remainder.iter().map(column).chain(plan.value.iter().skip(plan.from_output).map(column));
    let columns = columns.chain(plan.edges.iter().copied().map(Some)).chain(plan.excess.iter().map(column));
    for (column, &value) in columns.zip(remainder.iter().chain(&value).chain(&edges).chain(&excess)) {
        // A limb that follows from the input has no column: the claim on the input is the claim on it.
        if let Some(column) = column {
            s.claims.column(column, point.to_vec(), value)?;
        }
    }

    // A lowest limb that is not committed: v_0 = y - lo - sum_{i>0} 2^o_i v_i.
    if value.len() < plan.value.len() {
        let output = output.ok_or(Error::Internal("a limb follows from no output"))?;
        let higher = plan.value.get(1..).ok_or(Error::Internal("a value has no limbs"))?;
        value.insert(0, output - k(lookup.lo) * one - weighted(higher, &value));
    }

    let mut rows: Vec<(usize, Vec<K>)> = Vec::new();
    for (limb, &r) in plan.remainder.iter().zip(&remainder) {
        rows.push((limb.table, vec![r]));
    }
    for (i, (limb, &v)) in plan.value.iter().zip(&value).enumerate() {
        let mut entries = vec![v];
        entries.extend(edges.get(i));
        entries.extend(output.filter(|_| lookup.table.is_some()));
        rows.push((limb.table, entries));
    }
    for (limb, &e) in plan.excess.iter().zip(&excess) {
        rows.push((limb.table, vec![edges.iter().copied().sum(), e]));
    }
    let head = k(lookup.lo) * one + weighted(&plan.value, &value) + weighted(&plan.excess, &excess);
    let scaled = weighted(&plan.remainder, &remainder) + count(1 << lookup.shift) * head - k(lookup.add) * one;
    let input = scaled * K::from(inverse(f(lookup.multiplier)));
    s.claims.tensor(s.graph, s.plan, lookup.input, point.to_vec(), input)?;
    Ok(rows)
}

fn verify_tables(s: &mut Subgraph, challenges: Challenges, leaves: &Leaves) -> Result<(), Error> {
    let mut q = K::ZERO;
    for stretch in stretches(&s.plan.tables) {
        let table = s.plan.tables.get(stretch.table).ok_or(Error::Internal("a stretch has no table"))?;
        let (leading, point) = leaves
            .point
            .len()
            .checked_sub(stretch.width as usize)
            .and_then(|length| leaves.point.split_at_checked(length))
            .ok_or(Error::Internal("a table is longer than all tables"))?;
        let mut outputs = None;
        if let Some(tensor) = table.outputs() {
            let value = s.transcript.read()?;
            s.claims.tensor(s.graph, s.plan, tensor, point.to_vec(), value)?;
            outputs = Some(value);
        }
        let entries = table.evaluate(stretch.first, point, outputs)?;
        let weight = eq_index(leading, stretch.offset >> stretch.width);
        q = q + weight * challenges.denominator_less_one(stretch.table, &entries, K::ONE);
    }
    require(leaves.value.q == q, || "the tables".to_string(), "their rows")?;
    let column = s.plan.multiplicities.ok_or(Error::Internal("tables have no multiplicities"))?;
    s.claims.column(column, leaves.point.clone(), -leaves.value.p)
}
