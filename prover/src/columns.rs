//! The witness of a subgraph: limbs of every lookup, and how often each row of each table is used.

use crate::values::held;
use kernels::{IntegerDevice, Ints, Part};
use std::borrow::Cow;
use verifier::argument::lookup::lookup_of;
use verifier::graph::{Graph, Lookup};
use verifier::plan::{Column, Limb, LookupPlan, SubgraphPlan, Table};

/// The columns of one lookup, elementwise.
#[derive(Clone, Debug)]
pub struct LookupColumns<I = Ints> {
    /// Limbs of the remainder.
    pub remainder: Vec<I>,
    /// Limbs of the value that do not follow from the output.
    pub value: Vec<I>,
    /// Edges of the limbs of the value.
    pub edges: Vec<I>,
    /// Limbs of the excess.
    pub excess: Vec<I>,
}

/// The columns of a whole subgraph.
#[derive(Clone, Debug)]
pub struct Witness<I = Ints> {
    /// For every lookup.
    pub lookups: Vec<LookupColumns<I>>,
    /// For every table, for each of its rows.
    pub multiplicities: Vec<I>,
}

impl<I: Clone> LookupColumns<I> {
    fn new<D: IntegerDevice<Integers = I>>(device: &D, lookup: &Lookup, plan: &LookupPlan, input: &I) -> Self {
        let limb = |part: Part| move |limb: &Limb| device.limbs(input, lookup, part, limb);
        // Those that follow from the output are not kept; an edge is wanted of each.
        let wanted = if plan.excess.is_some() { 0 } else { plan.from_output };
        let mut value: Vec<I> = plan.value[wanted..].iter().map(limb(Part::Value)).collect();
        let edges = plan.excess.iter().flat_map(|_| plan.value.iter().zip(&value));
        let edges = edges.map(|(limb, column)| device.edges(column, limb.width)).collect();
        value.drain(..plan.from_output - wanted);
        let excess = plan.excess.iter().flat_map(|excess| &excess.limbs);
        Self {
            remainder: plan.remainder.iter().map(limb(Part::Remainder)).collect(),
            value,
            edges,
            excess: excess.map(limb(Part::Excess)).collect(),
        }
    }

    /// The rows looked up: for each leaf its table, and the columns of the entries after the tag.
    pub fn leaves<'a, D: IntegerDevice<Integers = I>>(
        &'a self,
        device: &D,
        lookup: &Lookup,
        plan: &LookupPlan,
        output: Option<&'a I>,
    ) -> Vec<Leaf<'a, I>> {
        let mut leaves: Vec<Leaf<I>> = plan
            .remainder
            .iter()
            .zip(&self.remainder)
            .map(|(limb, column)| Leaf { table: limb.table, entries: vec![Cow::Borrowed(column)] })
            .collect();
        let lowest = output.filter(|_| plan.from_output > 0);
        let lowest = lowest.map(|output| Cow::Owned(self.lowest_limb(device, lookup, plan, output)));
        let values = lowest.into_iter().chain(self.value.iter().map(Cow::Borrowed));
        let function = output.filter(|_| lookup.table.is_some()).map(Cow::Borrowed);
        for (i, (limb, value)) in plan.value.iter().zip(values).enumerate() {
            let edge = self.edges.get(i).map(Cow::Borrowed);
            let entries = [Some(value), edge, function.clone()].into_iter().flatten().collect();
            leaves.push(Leaf { table: limb.table, entries });
        }
        if let Some(excess) = &plan.excess {
            let edges: Cow<I> = match self.edges.as_slice() {
                [edge] => Cow::Borrowed(edge),
                edges => {
                    let most = edges.len() as i64;
                    let terms: Vec<_> = edges.iter().map(|edge| (1, edge)).collect();
                    Cow::Owned(device.combine(0, &terms, -most..=most))
                }
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
    fn lowest_limb<D: IntegerDevice<Integers = I>>(
        &self,
        device: &D,
        lookup: &Lookup,
        plan: &LookupPlan,
        output: &I,
    ) -> I {
        let above = plan.value[1..].iter().zip(&self.value).map(|(limb, value)| (-(1i64 << limb.offset), value));
        let terms: Vec<_> = [(1, output)].into_iter().chain(above).collect();
        // Of values that contradict each other it is any integer.
        device.combine(-lookup.lo, &terms, i64::MIN..=i64::MAX)
    }
}

/// One slice of the leaves of a lookup.
#[derive(Clone, Debug)]
pub struct Leaf<'a, I: Clone = Ints> {
    /// Place of the table in the plan.
    pub table: usize,
    /// A column for each entry of the row after the tag.
    pub entries: Vec<Cow<'a, I>>,
}

impl<I: Clone> Witness<I> {
    /// The witness that belongs to the values of the subgraph's tensors.
    pub fn new<D: IntegerDevice<Integers = I>>(
        device: &D,
        graph: &Graph,
        plan: &SubgraphPlan,
        values: &[Option<I>],
    ) -> Self {
        let zeros = |table: &Table| device.upload_integers(Ints::I64(vec![0; table.rows()]));
        let mut multiplicities: Vec<I> = plan.tables.iter().map(zeros).collect();
        let mut lookups = Vec::with_capacity(plan.lookups.len());
        let mut looked_up = 0;
        for lookup_plan in &plan.lookups {
            let Some(lookup) = lookup_of(graph, lookup_plan) else { continue };
            let columns = LookupColumns::new(device, lookup, lookup_plan, held(values, lookup.input));
            let output = lookup.output.map(|t| held(values, t));
            for leaf in columns.leaves(device, lookup, lookup_plan, output) {
                let entries: Vec<&I> = leaf.entries.iter().map(AsRef::as_ref).collect();
                looked_up += entries.first().map_or(0, |column| device.count(column)) as i64;
                device.count_rows(&plan.tables[leaf.table], &entries, &mut multiplicities[leaf.table]);
            }
            lookups.push(columns);
        }
        // Counted in 64 bits, and far fewer: the polynomial that they are committed in is as wide as its widest column.
        let narrow = |counts: &I| device.combine(0, &[(1, counts)], 0..=looked_up);
        let multiplicities = multiplicities.iter().map(narrow).collect();
        Self { lookups, multiplicities }
    }

    /// All columns, in the plan's order.
    pub fn columns<'a, D: IntegerDevice<Integers = I>>(
        &'a self,
        device: &D,
        plan: &SubgraphPlan,
        values: &'a [Option<I>],
    ) -> Vec<Cow<'a, I>> {
        let column = |column: &Column| {
            Cow::Borrowed(match column {
                Column::Tensor(t) => held(values, *t),
                Column::Remainder(l) => &self.lookups[l.lookup].remainder[l.limb],
                Column::Value(l) => &self.lookups[l.lookup].value[l.limb - plan.lookups[l.lookup].from_output],
                Column::Edge(l) => &self.lookups[l.lookup].edges[l.limb],
                Column::Excess(l) => &self.lookups[l.lookup].excess[l.limb],
                Column::Multiplicities => return Cow::Owned(self.table_rows(device, plan)),
            })
        };
        plan.columns.iter().map(column).collect()
    }

    /// The multiplicities of all tables as one column.
    pub fn table_rows<D: IntegerDevice<Integers = I>>(&self, device: &D, plan: &SubgraphPlan) -> I {
        let segments = plan.segments();
        let rows = segments.iter().map(|segment| {
            let first = segment.kind << segment.width;
            (&self.multiplicities[segment.table], first..first + (1 << segment.width))
        });
        device.concat(&rows.collect::<Vec<_>>())
    }
}
