//! How a lookup becomes columns and rows of tables.
//!
//! `x * multiplier + add = R + 2^shift * (lo + V + E)`: `R = sum 2^o_i r_i` is the remainder, `V = sum 2^o_i v_i` the
//! value's place in the domain, `E = sum 2^o_i e_i` what saturation takes away. Range tables make the limbs unique;
//! the limbs of `E` can be positive only where every limb of `V` is full, negative only where every one is empty.
//!
//! The equation determines one limb from the input and the others: the first in the order `r, v, e` that does not follow from the
//! output. It is looked up, but not committed: the input was fixed before the challenges, and its claim pins the limb's.

use super::{Builder, Column, LookupLimb, Table, limb_widths};
use crate::graph::{Bound, Graph, Lookup, Op};
use alloc::vec::Vec;
use core::ops::Range;

/// A limb: a number below `2^width` that counts `2^offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limb {
    /// Bits.
    pub width: u32,
    /// Weight, as a power of two.
    pub offset: u32,
    /// Where it is committed; `None` if it follows from the input or the output and the other limbs.
    pub column: Option<usize>,
    /// The table that bounds it.
    pub table: usize,
}

/// The part of a lookup that saturates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Column of the edge of every limb of the value.
    pub edges: Vec<usize>,
    /// Signed limbs, magnitudes below `2^width`.
    pub limbs: Vec<Limb>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupPlan {
    /// The node.
    pub node: u32,
    /// Limbs of the remainder.
    pub remainder: Vec<Limb>,
    /// Limbs of the value; exactly one if the lookup has a table.
    pub value: Vec<Limb>,
    /// How many of these, the lowest or none, follow from the output and the others.
    pub from_output: usize,
    /// Present if the input's interval reaches a side that saturates.
    pub excess: Option<Excess>,
}

impl LookupPlan {
    /// Leaves of the lookup argument for each element.
    pub fn leaves(&self) -> usize {
        self.remainder.len() + self.value.len() + self.excess.as_ref().map_or(0, |e| e.limbs.len())
    }
}

/// How far the input's interval reaches beyond the domain on the sides that saturate: below, above.
fn overflow(graph: &Graph, l: &Lookup) -> (u64, u64) {
    let input = graph.tensor(l.input);
    let head = |x: i64| (i128::from(x) * i128::from(l.multiplier) + i128::from(l.add)) >> l.shift;
    let top = i128::from(l.lo) + (1i128 << l.bits) - 1;
    let reach = |bound: Bound, beyond: i128| match bound {
        Bound::Saturate => u64::try_from(beyond.max(0)).unwrap_or(u64::MAX),
        Bound::Forbid => 0,
    };
    (reach(l.below, i128::from(l.lo) - head(input.lo)), reach(l.above, head(input.hi) - top))
}

/// Limb widths to choose from; from 6 bits on a table of excesses has room for every sum of edges in its top limb.
const LIMB_BITS: core::ops::RangeInclusive<u32> = 6..=20;

const fn bit_length(x: u64) -> u32 {
    u64::BITS - x.leading_zeros()
}

/// Widths of the limbs of the excess; the top limb is widened to make room for the table's rows without excess.
fn excess_widths(reach: u64, limb_bits: u32, value_limbs: usize) -> Vec<u32> {
    let least = bit_length(2 * value_limbs as u64);
    let mut widths = limb_widths(bit_length(reach), limb_bits);
    widths.iter_mut().for_each(|w| *w = (*w).max(least));
    widths
}

/// The limb width that makes the subgraph's lookups cheapest: leaves fall with it, tables grow.
pub(super) fn choose_limb_bits(graph: &Graph, ops: &[&Op]) -> u32 {
    let lookups: Vec<_> = ops.iter().filter_map(|op| if let Op::Lookup(l) = op { Some(l) } else { None }).collect();
    let cost = |limb_bits: u32| -> u64 {
        let mut widths = alloc::collections::BTreeSet::new();
        let mut leaves = 0;
        for l in &lookups {
            let (below, above) = overflow(graph, l);
            let value = if l.table.is_some() { alloc::vec![l.bits] } else { limb_widths(l.bits, limb_bits) };
            let edged = below.max(above) > 0;
            let excess = excess_widths(below.max(above), limb_bits, value.len());
            let excess = if edged { excess } else { Vec::new() };
            let remainder = limb_widths(l.shift, limb_bits);
            leaves += (graph.tensor(l.input).len() * (remainder.len() + value.len() + excess.len())) as u64;
            widths.extend(remainder.iter().map(|&w| (0, w)));
            widths.extend(excess.iter().map(|&w| (1, w + 2)));
            if l.table.is_none() {
                widths.extend(value.iter().map(|&w| (if edged { 2 } else { 0 }, w)));
            }
        }
        leaves + widths.iter().map(|&(_, w)| 1u64 << w).sum::<u64>()
    };
    LIMB_BITS.min_by_key(|&bits| cost(bits)).unwrap_or(8)
}

impl Builder<'_> {
    pub(super) fn lookup(&mut self, node: u32, l: &Lookup, limb_bits: u32) {
        let lookup = self.plan.lookups.len();
        let shape = self.graph.tensor(l.input).shape.clone();
        let offsets = |widths: &[u32]| -> Vec<u32> {
            widths.iter().scan(0, |sum, &w| Some(core::mem::replace(sum, *sum + w))).collect()
        };
        let mut determined = false;
        let mut columns = |plan: &mut Self, limbs: Range<usize>, column: fn(LookupLimb) -> Column| {
            let place = |limb| {
                let committed = core::mem::replace(&mut determined, true);
                committed.then(|| plan.column(column(LookupLimb { lookup, limb }), shape.clone()))
            };
            limbs.map(place).collect::<Vec<_>>()
        };

        let widths = limb_widths(l.shift, limb_bits);
        let places = columns(self, 0..widths.len(), Column::Remainder);
        let remainder = self.limbs(&widths, &offsets(&widths), places, Table::Range);

        let (below, above) = overflow(self.graph, l);
        let edged = below.max(above) > 0;
        let widths = if l.table.is_some() { alloc::vec![l.bits] } else { limb_widths(l.bits, limb_bits) };
        // With an output and no table the lowest limb is the output less the others.
        let from_output = usize::from(l.table.is_none() && l.output.is_some()).min(widths.len());
        let mut places = alloc::vec![None; from_output];
        places.extend(columns(self, from_output..widths.len(), Column::Value));
        let value = self.limbs(&widths, &offsets(&widths), places, |width| match l.table {
            Some(outputs) => Table::Function { outputs, width, edged },
            None if edged => Table::Edged(width),
            None => Table::Range(width),
        });

        let excess = edged.then(|| {
            let limbs = value.len();
            let edge = |limb| self.column(Column::Edge(LookupLimb { lookup, limb }), shape.clone());
            let edges = (0..limbs).map(edge).collect();
            let widths = excess_widths(below.max(above), limb_bits, limbs);
            let places = columns(self, 0..widths.len(), Column::Excess);
            // Offsets count the nominal width: magnitudes may overlap at the top, signs cannot, and the sum is pinned.
            let nominal = limb_widths(bit_length(below.max(above)), limb_bits);
            let limbs = self.limbs(&widths, &offsets(&nominal), places, |width| Table::Excess {
                width,
                limbs,
                below: below > 0,
                above: above > 0,
            });
            Excess { edges, limbs }
        });
        self.plan.lookups.push(LookupPlan { node, remainder, value, from_output, excess });
    }

    fn limbs(
        &mut self,
        widths: &[u32],
        offsets: &[u32],
        columns: Vec<Option<usize>>,
        table: impl Fn(u32) -> Table,
    ) -> Vec<Limb> {
        let limbs = widths.iter().zip(offsets).zip(columns);
        limbs
            .map(|((&width, &offset), column)| Limb { width, offset, column, table: self.table(table(width)) })
            .collect()
    }
}
