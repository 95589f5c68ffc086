//! The witness of a subgraph: limbs of every lookup, and how often each row of each table is used.

use crate::Values;
use crate::values::held;
use kernels::Ints;
use rayon::prelude::*;
use verifier::argument::lookup::{Columns, lookup_of};
use verifier::graph::{Bound, Graph, Lookup};
use verifier::plan::{Column, Limb, LookupPlan, SubgraphPlan, Table};

/// The columns of one lookup, elementwise.
#[derive(Clone, Debug)]
pub struct LookupColumns {
    /// Limbs of the remainder.
    pub remainder: Vec<Ints>,
    /// Limbs of the value that are committed.
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
    /// For every table.
    pub multiplicities: Vec<Ints>,
}

impl LookupColumns {
    fn new(lookup: &Lookup, plan: &LookupPlan, input: &Ints) -> Self {
        let split: Vec<Split> = (0..input.len()).into_par_iter().map(|i| Split::new(lookup, input.get(i))).collect();
        let limbs = |limbs: &[Limb], part: fn(&Split) -> i64| -> Vec<Ints> {
            let committed = limbs.iter().filter(|l| l.column.is_some());
            committed.map(|l| Ints::from(split.iter().map(|s| limb(part(s), l)).collect::<Vec<_>>())).collect()
        };
        let edge = |l: &Limb| -> Ints {
            let edges = split.iter().map(|s| verifier::plan::edge(limb(s.value, l) as usize, l.width));
            Ints::from(edges.collect::<Vec<_>>())
        };
        let excess = plan.excess.as_ref();
        Self {
            remainder: limbs(&plan.remainder, |s| s.remainder),
            value: limbs(&plan.value, |s| s.value),
            edges: excess.map_or_else(Vec::new, |_| plan.value.iter().map(edge).collect()),
            excess: excess.map_or_else(Vec::new, |e| limbs(&e.limbs, |s| s.excess)),
        }
    }

    /// The columns of one element.
    pub fn element(&self, output: Option<&Ints>, i: usize) -> Columns<i64> {
        let at = |columns: &[Ints]| columns.iter().map(|c| c.get(i)).collect();
        Columns {
            output: output.map(|o| o.get(i)),
            remainder: at(&self.remainder),
            value: at(&self.value),
            edges: at(&self.edges),
            excess: at(&self.excess),
        }
    }
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
        let mut counts: Vec<Vec<i64>> = plan.tables.iter().map(|t| vec![0; t.shape().iter().product()]).collect();
        let mut lookups = Vec::with_capacity(plan.lookups.len());
        for lookup_plan in &plan.lookups {
            let Some(lookup) = lookup_of(graph, lookup_plan) else { continue };
            let columns = LookupColumns::new(lookup, lookup_plan, held(values, lookup.input));
            let output = lookup.output.map(|t| held(values, t));
            for i in 0..held(values, lookup.input).len() {
                let element = columns.element(output, i).element(lookup, lookup_plan, |c| c, 1);
                for (table, entries) in &element.rows {
                    count(&plan.tables[*table], entries, &mut counts[*table]);
                }
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
            Column::Value(l) => {
                let implied = plan.lookups[l.lookup].value.iter().filter(|v| v.column.is_none()).count();
                self.lookups[l.lookup].value[l.limb - implied].clone()
            }
            Column::Edge(l) => self.lookups[l.lookup].edges[l.limb].clone(),
            Column::Excess(l) => self.lookups[l.lookup].excess[l.limb].clone(),
            Column::Multiplicity(t) => self.multiplicities[*t].clone(),
        };
        plan.columns.iter().map(column).collect()
    }
}

/// A row that is not in the table is counted nowhere: no verifier accepts the sum then.
fn count(table: &Table, entries: &[i64], counts: &mut [i64]) {
    if let Some(count) = counts.get_mut(table.find(entries)) {
        *count += 1;
    }
}
