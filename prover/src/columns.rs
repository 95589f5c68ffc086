//! The witness of a subgraph: limbs of every lookup, and how often each row of each table is used.

use crate::Values;
use crate::values::held;
use kernels::Ints;
use rayon::prelude::*;
use std::borrow::Cow;
use verifier::argument::lookup::lookup_of;
use verifier::graph::{Bound, Graph, Lookup};
use verifier::plan::{Column, Limb, LookupPlan, SubgraphPlan, Table};

/// The columns of one lookup, elementwise.
#[derive(Clone, Debug)]
pub struct LookupColumns {
    /// Limbs of the remainder.
    pub remainder: Vec<Ints>,
    /// Limbs of the value that do not follow from the output.
    pub value: Vec<Ints>,
    /// Edges of the limbs of the value.
    pub edges: Vec<Ints>,
    /// Limbs of the excess.
    pub excess: Vec<Ints>,
}

/// The columns of a whole subgraph.
#[derive(Clone, Debug)]
pub struct Witness {
    /// For every lookup.
    pub lookups: Vec<LookupColumns>,
    /// For every table, for each of its rows.
    pub multiplicities: Vec<Ints>,
}

impl LookupColumns {
    fn new(lookup: &Lookup, plan: &LookupPlan, input: &Ints) -> Self {
        let split: Vec<Split> = (0..input.len()).into_par_iter().map(|i| Split::new(lookup, input.get(i))).collect();
        let limbs = |limbs: &[Limb], part: fn(&Split) -> i64| -> Vec<Ints> {
            limbs.iter().map(|l| Ints::from(split.par_iter().map(|s| limb(part(s), l)).collect::<Vec<_>>())).collect()
        };
        let edge = |l: &Limb| -> Ints {
            let edges = split.par_iter().map(|s| verifier::plan::edge(limb(s.value, l), l.width));
            Ints::from(edges.collect::<Vec<_>>())
        };
        let excess = plan.excess.as_ref();
        Self {
            remainder: limbs(&plan.remainder, |s| s.remainder),
            value: limbs(&plan.value[plan.from_output..], |s| s.value),
            edges: excess.map_or_else(Vec::new, |_| plan.value.iter().map(edge).collect()),
            excess: excess.map_or_else(Vec::new, |e| limbs(&e.limbs, |s| s.excess)),
        }
    }

    /// The rows looked up: for each leaf its table, and the columns of the entries after the tag.
    pub fn leaves<'a>(&'a self, lookup: &Lookup, plan: &LookupPlan, output: Option<&'a Ints>) -> Vec<Leaf<'a>> {
        let mut leaves: Vec<Leaf> = plan
            .remainder
            .iter()
            .zip(&self.remainder)
            .map(|(limb, column)| Leaf { table: limb.table, entries: vec![Cow::Borrowed(column)] })
            .collect();
        let lowest = output.filter(|_| plan.from_output > 0).map(|o| Cow::Owned(self.lowest_limb(lookup, plan, o)));
        let values = lowest.into_iter().chain(self.value.iter().map(Cow::Borrowed));
        let function = output.filter(|_| lookup.table.is_some()).map(Cow::Borrowed);
        for (i, (limb, value)) in plan.value.iter().zip(values).enumerate() {
            let edge = self.edges.get(i).map(Cow::Borrowed);
            let entries = [Some(value), edge, function.clone()].into_iter().flatten().collect();
            leaves.push(Leaf { table: limb.table, entries });
        }
        if let Some(excess) = &plan.excess {
            let edges: Cow<Ints> = match self.edges.as_slice() {
                [edge] => Cow::Borrowed(edge),
                edges => Cow::Owned(sum_columns(edges)),
            };
            leaves.extend(
                excess.limbs.iter().zip(&self.excess).map(|(limb, column)| Leaf {
                    table: limb.table,
                    entries: vec![edges.clone(), Cow::Borrowed(column)],
                }),
            );
        }
        leaves
    }

    /// `y - lo - sum_{i > 0} 2^o_i v_i`.
    fn lowest_limb(&self, lookup: &Lookup, plan: &LookupPlan, output: &Ints) -> Ints {
        let limb = |i: usize| {
            let above = plan.value[1..].iter().zip(&self.value).map(|(limb, v)| v.get(i) << limb.offset);
            output.get(i) - lookup.lo - above.sum::<i64>()
        };
        Ints::from((0..output.len()).into_par_iter().map(limb).collect::<Vec<_>>())
    }
}

/// One slice of the leaves of a lookup.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    /// Place of the table in the plan.
    pub table: usize,
    /// A column for each entry of the row after the tag.
    pub entries: Vec<Cow<'a, Ints>>,
}

fn sum_columns(columns: &[Ints]) -> Ints {
    let len = columns.first().map_or(0, Ints::len);
    Ints::from((0..len).into_par_iter().map(|i| columns.iter().map(|c| c.get(i)).sum()).collect::<Vec<i64>>())
}

/// `input * multiplier + add = remainder + 2^shift * (lo + value + excess)`.
struct Split {
    remainder: i64,
    value: i64,
    excess: i64,
}

impl Split {
    fn new(lookup: &Lookup, input: i64) -> Self {
        let scaled = input * lookup.multiplier + lookup.add;
        let place = (scaled >> lookup.shift) - lookup.lo;
        let top = (1i64 << lookup.bits) - 1;
        let low = if lookup.below == Bound::Saturate { 0 } else { i64::MIN };
        let high = if lookup.above == Bound::Saturate { top } else { i64::MAX };
        let value = place.clamp(low, high);
        Self { remainder: scaled & ((1 << lookup.shift) - 1), value, excess: place - value }
    }
}

/// The limb's part of a number; the limbs of a negative number are negative.
fn limb(number: i64, limb: &Limb) -> i64 {
    let digit = (number.unsigned_abs() >> limb.offset & ((1 << limb.width) - 1)) as i64;
    digit * number.signum()
}

impl Witness {
    /// The witness that belongs to the values of the subgraph's tensors.
    pub fn new(graph: &Graph, plan: &SubgraphPlan, values: &Values) -> Self {
        let mut counts: Vec<Vec<i64>> = plan.tables.iter().map(|t| vec![0; t.rows()]).collect();
        let mut lookups = Vec::with_capacity(plan.lookups.len());
        for lookup_plan in &plan.lookups {
            let Some(lookup) = lookup_of(graph, lookup_plan) else { continue };
            let columns = LookupColumns::new(lookup, lookup_plan, held(values, lookup.input));
            let output = lookup.output.map(|t| held(values, t));
            for leaf in columns.leaves(lookup, lookup_plan, output) {
                count(&plan.tables[leaf.table], &leaf.entries, &mut counts[leaf.table]);
            }
            lookups.push(columns);
        }
        Self { lookups, multiplicities: counts.into_iter().map(Ints::from).collect() }
    }

    /// All columns, in the plan's order.
    pub fn columns(&self, plan: &SubgraphPlan, values: &Values) -> Vec<Ints> {
        let column = |column: &Column| match column {
            Column::Tensor(t) => held(values, *t).clone(),
            Column::Remainder(l) => self.lookups[l.lookup].remainder[l.limb].clone(),
            Column::Value(l) => self.lookups[l.lookup].value[l.limb - plan.lookups[l.lookup].from_output].clone(),
            Column::Edge(l) => self.lookups[l.lookup].edges[l.limb].clone(),
            Column::Excess(l) => self.lookups[l.lookup].excess[l.limb].clone(),
            Column::Multiplicities => self.table_rows(plan),
        };
        plan.columns.iter().map(column).collect()
    }

    /// The multiplicities of all tables as one column.
    pub fn table_rows(&self, plan: &SubgraphPlan) -> Ints {
        let rows = plan.segments().into_iter().flat_map(|segment| {
            let multiplicities = &self.multiplicities[segment.table];
            (0..1 << segment.width).map(move |row| multiplicities.get((segment.kind << segment.width) + row))
        });
        Ints::from(rows.collect::<Vec<i64>>())
    }
}

/// Counts the rows. One that is not in the table is counted nowhere: no verifier accepts the sum then.
fn count(table: &Table, entries: &[Cow<Ints>], counts: &mut [i64]) {
    let rows = entries[0].len();
    let stretch = rows.div_ceil(rayon::current_num_threads()).max(counts.len());
    let part = |first: usize| {
        let (mut part, mut row) = (vec![0; counts.len()], vec![0; entries.len()]);
        for i in first..rows.min(first + stretch) {
            row.iter_mut().zip(entries).for_each(|(r, column)| *r = column.get(i));
            if let Some(count) = part.get_mut(table.find(&row)) {
                *count += 1;
            }
        }
        part
    };
    let firsts: Vec<usize> = (0..rows).step_by(stretch).collect();
    let parts: Vec<Vec<i64>> = firsts.into_par_iter().map(part).collect();
    parts.iter().for_each(|part| counts.iter_mut().zip(part).for_each(|(count, more)| *count += more));
}
