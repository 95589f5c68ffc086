//! Section 6, limbs: `x m + a = sum 2^o r + 2^s (lo + sum 2^o v + sum 2^o e)`.

use crate::error::Error;
use crate::graph::{Bound, Graph, Lookup, Op};
use crate::plan::SubgraphPlan;
use crate::table::Table;
use std::collections::BTreeSet;

/// A limb below `2^width` that counts `2^offset`.
#[derive(Clone, Copy, Debug)]
pub struct Limb {
    /// Its weight's logarithm.
    pub offset: u32,
    /// Where it is committed; `None` if it follows from the output or the input.
    pub column: Option<usize>,
    /// The table that it is looked up in.
    pub table: usize,
}

/// The limbs of a lookup.
#[derive(Clone, Debug)]
pub struct LookupPlan {
    /// The node.
    pub node: u32,
    /// `r`.
    pub remainder: Vec<Limb>,
    /// `v`.
    pub value: Vec<Limb>,
    /// Lowest limbs of `v` that follow from the output: one or none.
    pub from_output: usize,
    /// Columns of `g`, one for each limb of the value; none without excess.
    pub edges: Vec<usize>,
    /// `e`; none if the input's interval reaches no side that saturates.
    pub excess: Vec<Limb>,
}

impl LookupPlan {
    /// Plans a lookup: its columns and tables are added to the subgraph's.
    pub fn new(
        graph: &Graph,
        node: u32,
        lookup: &Lookup,
        limb_bits: u32,
        plan: &mut SubgraphPlan,
    ) -> Result<Self, Error> {
        let shape = graph.tensor(lookup.input)?.shape.clone();
        let widths = Widths::new(graph, lookup, limb_bits)?;
        let (below, above) = reach(graph, lookup)?;

        // One limb is the input less the others: the first that is looked up and does not follow from the output.
        let mut free = true;
        let columns = columns(plan, &shape, widths.remainder.len(), &mut free);
        let remainder = limbs(plan, &widths.remainder, &offsets(&widths.remainder), &columns, Table::Range);

        // With an output and no table the lowest limb is the output less the others.
        let from_output = usize::from(lookup.output.is_some() && lookup.table.is_none());
        let mut places = vec![None; from_output];
        places.extend(self::columns(plan, &shape, widths.value.len() - from_output, &mut free));
        let edged = !widths.excess.is_empty();
        let value = limbs(plan, &widths.value, &offsets(&widths.value), &places, |width| match lookup.table {
            Some(outputs) => Table::Function { outputs, width, edged },
            None if edged => Table::Edged(width),
            None => Table::Range(width),
        });

        let edges = if edged { value.len() } else { 0 };
        let edges = (0..edges).map(|_| plan.column(&shape)).collect();
        let columns = self::columns(plan, &shape, widths.excess.len(), &mut free);
        let number = value.len();
        // Limbs stand where unwidened ones would.
        let offsets = offsets(&limb_widths(bit_length(below.max(above)), limb_bits));
        let excess = limbs(plan, &widths.excess, &offsets, &columns, |width| Table::Excess {
            width,
            limbs: number,
            below: below > 0,
            above: above > 0,
        });
        Ok(Self { node, remainder, value, from_output, edges, excess })
    }

    /// Rows looked up for every element.
    pub fn leaves(&self) -> usize {
        self.remainder.len() + self.value.len() + self.excess.len()
    }
}

/// A column for each limb, but none for the first of all while one limb is `free` to follow from the input.
fn columns(plan: &mut SubgraphPlan, shape: &[usize], number: usize, free: &mut bool) -> Vec<Option<usize>> {
    let column = |_| if std::mem::take(free) { None } else { Some(plan.column(shape)) };
    (0..number).map(column).collect()
}

fn limbs(
    plan: &mut SubgraphPlan,
    widths: &[u32],
    offsets: &[u32],
    columns: &[Option<usize>],
    table: impl Fn(u32) -> Table,
) -> Vec<Limb> {
    let places = widths.iter().zip(offsets).zip(columns);
    places.map(|((&width, &offset), &column)| Limb { offset, column, table: plan.table(table(width)) }).collect()
}

/// Widths of a lookup's limbs.
struct Widths {
    remainder: Vec<u32>,
    value: Vec<u32>,
    excess: Vec<u32>,
}

impl Widths {
    fn new(graph: &Graph, lookup: &Lookup, limb_bits: u32) -> Result<Self, Error> {
        let (below, above) = reach(graph, lookup)?;
        let value = if lookup.table.is_some() { vec![lookup.bits] } else { limb_widths(lookup.bits, limb_bits) };
        // A table of excesses needs a row for each sum of the edges.
        let least = bit_length(2 * value.len() as u64);
        let mut excess = limb_widths(bit_length(below.max(above)), limb_bits);
        excess.iter_mut().for_each(|w| *w = (*w).max(least));
        Ok(Self { remainder: limb_widths(lookup.shift, limb_bits), value, excess })
    }
}

/// Full limbs, then the rest.
fn limb_widths(bits: u32, limb_bits: u32) -> Vec<u32> {
    let mut widths = vec![limb_bits; (bits / limb_bits) as usize];
    if !bits.is_multiple_of(limb_bits) {
        widths.push(bits % limb_bits);
    }
    widths
}

fn offsets(widths: &[u32]) -> Vec<u32> {
    (0..widths.len()).map(|i| widths.iter().take(i).sum()).collect()
}

fn bit_length(x: u64) -> u32 {
    64 - x.leading_zeros()
}

/// How far the input's interval reaches beyond the sides that saturate: below, above.
fn reach(graph: &Graph, l: &Lookup) -> Result<(u64, u64), Error> {
    let input = graph.tensor(l.input)?;
    let head = |x: i64| (i128::from(x) * i128::from(l.multiplier) + i128::from(l.add)) >> l.shift;
    let (bottom, top) = (i128::from(l.lo), i128::from(l.lo) + (1 << l.bits) - 1);
    let beyond = |bound: Bound, distance: i128| match bound {
        Bound::Saturate => u64::try_from(distance.max(0)).unwrap_or(u64::MAX),
        Bound::Forbid => 0,
    };
    Ok((beyond(l.below, bottom - head(input.lo)), beyond(l.above, head(input.hi) - top)))
}

/// The limb width, 6 to 20 bits, for which leaves and rows of tables are fewest; the least such.
pub fn choose_limb_bits(graph: &Graph, ops: &[&Op]) -> Result<u32, Error> {
    let mut best = (u64::MAX, 0);
    for limb_bits in 6..=20 {
        let mut leaves = 0;
        let mut tables = BTreeSet::new();
        for op in ops {
            let Op::Lookup(l) = op else { continue };
            let Widths { remainder, value, excess } = Widths::new(graph, l, limb_bits)?;
            let elements: usize = graph.tensor(l.input)?.shape.iter().product();
            leaves += (elements * (remainder.len() + value.len() + excess.len())) as u64;
            tables.extend(remainder.iter().map(|&w| ("range", w)));
            // Counted as if both sides saturated.
            tables.extend(excess.iter().map(|&w| ("excess", w + 2)));
            if l.table.is_none() {
                let kind = if excess.is_empty() { "range" } else { "edged" };
                tables.extend(value.iter().map(|&w| (kind, w)));
            }
        }
        let cost = leaves + tables.iter().map(|&(_, w)| 1u64 << w).sum::<u64>();
        best = best.min((cost, limb_bits));
    }
    Ok(best.1)
}
