//! Tables of the lookup argument. A row is `(tag, a, b, c)`; all but the outputs of functions are evaluated by the
//! verifier from their structure.
//!
//! A table has `2^width` rows of each of its kinds. The rows of all tables of a subgraph are one vector: kinds by size, the
//! largest first, so that each starts at a multiple of its size.

use crate::field::K;
use crate::graph::TensorId;
use crate::multilinear::{index, ones};
use alloc::vec;
use alloc::vec::Vec;
use p3_field::PrimeCharacteristicRing;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `(v)` for `v < 2^width`.
    Range(u32),
    /// `(v, edge(v))` for `v < 2^width`: the edge is -1 at 0, 1 at `2^width - 1`, 0 between.
    Edged(u32),
    /// `(t, e)`: `t` is a sum of `limbs` edges. `e = 0` for any `t`; `0 <= e < 2^width` if all are 1 and `above`;
    /// `-2^width < e <= 0` if all are -1 and `below`.
    Excess {
        /// Bits of the magnitude.
        width: u32,
        /// Edges that are added.
        limbs: usize,
        /// Whether the low side saturates.
        below: bool,
        /// Whether the high side saturates.
        above: bool,
    },
    /// `(v, outputs[v])`, or `(v, edge(v), outputs[v])`.
    Function {
        /// A weight of shape `[2^width]`.
        outputs: TensorId,
        /// Bits of the domain.
        width: u32,
        /// Whether rows carry the edge.
        edged: bool,
    },
}

/// The rows of one kind of a table, among the rows of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The table's place in the plan.
    pub table: usize,
    /// The kind: rows `kind * 2^width ..` of the table.
    pub kind: usize,
    /// Logarithm of the number of rows.
    pub width: u32,
    /// Where they start; a multiple of their number.
    pub offset: usize,
}

/// Where the rows of all tables lie: the largest kinds first, then by table, then by kind.
pub fn segments(tables: &[Table]) -> Vec<Segment> {
    let kinds = tables.iter().enumerate().flat_map(|(place, table)| {
        (0..table.kinds()).map(move |kind| Segment { table: place, kind, width: table.width(), offset: 0 })
    });
    let mut segments: Vec<Segment> = kinds.collect();
    segments.sort_by_key(|segment| core::cmp::Reverse(segment.width));
    let mut rows = 0;
    for segment in &mut segments {
        segment.offset = rows;
        rows += 1 << segment.width;
    }
    segments
}

impl Table {
    /// Logarithm of the rows of a kind.
    pub const fn width(&self) -> u32 {
        match *self {
            Self::Range(width) | Self::Edged(width) => width,
            Self::Function { width, .. } | Self::Excess { width, .. } => width,
        }
    }

    /// Kinds of rows: of a table of excesses one for none, one for each side that saturates, the high one first.
    pub const fn kinds(&self) -> usize {
        match *self {
            Self::Excess { below, above, .. } => 1 + below as usize + above as usize,
            _ => 1,
        }
    }

    /// Rows of all kinds.
    pub const fn rows(&self) -> usize {
        self.kinds() << self.width()
    }

    /// The table that holds the outputs, if they are a constant of the model.
    pub const fn outputs(&self) -> Option<TensorId> {
        match self {
            Self::Function { outputs, .. } => Some(*outputs),
            _ => None,
        }
    }

    /// The row's entries after the tag. `output` is the function's value in this row.
    pub fn row(&self, row: usize, output: i64) -> Vec<i64> {
        match *self {
            Self::Range(_) => vec![row as i64],
            Self::Edged(width) => vec![row as i64, edge(row as i64, width)],
            Self::Function { edged: false, .. } => vec![row as i64, output],
            Self::Function { width, edged: true, .. } => vec![row as i64, edge(row as i64, width), output],
            Self::Excess { width, limbs, above, .. } => {
                let (n, v) = (limbs as i64, (row & ((1 << width) - 1)) as i64);
                match row >> width {
                    0 => vec![v.min(2 * n) - n, 0],
                    1 if above => vec![n, v],
                    _ => vec![-n, -v],
                }
            }
        }
    }

    /// The row that holds these entries, which must be in the table.
    pub fn find(&self, entries: &[i64]) -> usize {
        match *self {
            Self::Range(_) | Self::Edged(_) | Self::Function { .. } => entries[0] as usize,
            Self::Excess { width, limbs, above, .. } => {
                let (t, e) = (entries[0], entries[1]);
                match e {
                    0 => (t + limbs as i64) as usize,
                    1.. => (1 << width) + e as usize,
                    _ => ((1 + usize::from(above)) << width) + e.unsigned_abs() as usize,
                }
            }
        }
    }

    /// Extensions of the entries of rows of one kind at a point of `width` coordinates; `outputs` is that of the function's values.
    pub fn evaluate(&self, kind: usize, point: &[K], outputs: K) -> Vec<K> {
        match *self {
            Self::Range(_) => vec![index(point)],
            Self::Edged(_) => vec![index(point), edge_at(point)],
            Self::Function { edged: false, .. } => vec![index(point), outputs],
            Self::Function { edged: true, .. } => vec![index(point), edge_at(point), outputs],
            Self::Excess { limbs, above, .. } => {
                let n = K::from_usize(limbs);
                match kind {
                    // min(v, 2n) = sum over j in 1..=2n of [v >= j]
                    0 => vec![(1..=2 * limbs).map(|j| K::ONE - ones(point, j)).sum::<K>() - n, K::ZERO],
                    1 if above => vec![n, index(point)],
                    _ => vec![-n, -index(point)],
                }
            }
        }
    }
}

/// 1 at the last place, -1 at the first, 0 between.
pub const fn edge(place: i64, width: u32) -> i64 {
    (place == (1 << width) - 1) as i64 - (place == 0) as i64
}

fn edge_at(point: &[K]) -> K {
    point.iter().copied().product::<K>() - point.iter().map(|&x| K::ONE - x).product::<K>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multilinear::evaluate;

    #[test]
    fn structured_tables_are_the_extensions_of_their_rows() {
        let outputs = TensorId(0);
        let mut tables = vec![Table::Range(5), Table::Edged(1), Table::Edged(4)];
        for edged in [false, true] {
            tables.push(Table::Function { outputs, width: 3, edged });
        }
        for (width, limbs) in [(2, 1), (4, 1), (3, 2), (3, 3)] {
            for (below, above) in [(true, false), (false, true), (true, true)] {
                tables.push(Table::Excess { width, limbs, below, above });
            }
        }
        for table in tables {
            let len = 1usize << table.width();
            let point: Vec<K> = (0..table.width() as usize).map(|i| K::from_usize(i * i + 7).exp_u64(9)).collect();
            let function = |row: usize| (row * row) as i64 - 9;
            for kind in 0..table.kinds() {
                let rows = kind * len..(kind + 1) * len;
                let values: Vec<i64> = rows.clone().map(function).collect();
                let entries = table.evaluate(kind, &point, evaluate(&[len], &values, &point));
                for (place, &entry) in entries.iter().enumerate() {
                    let column: Vec<i64> = rows.clone().map(|row| table.row(row, function(row))[place]).collect();
                    assert_eq!(entry, evaluate(&[len], &column, &point), "{table:?} kind {kind} entry {place}");
                }
            }
            for row in 0..table.rows() {
                let entries = table.row(row, function(row));
                assert_eq!(table.row(table.find(&entries), function(row)), entries, "{table:?} row {row}");
            }
        }
    }

    #[test]
    fn rows_of_all_tables_lie_end_to_end() {
        let excess = |width, below, above| Table::Excess { width, limbs: 1, below, above };
        let tables = [Table::Range(3), excess(4, true, true), Table::Edged(6), excess(3, false, true), Table::Range(1)];
        let segments = segments(&tables);
        let mut next = 0;
        for Segment { width, offset, .. } in segments.iter().copied() {
            assert_eq!((offset, offset % (1 << width)), (next, 0));
            next += 1 << width;
        }
        assert_eq!(next, tables.iter().map(Table::rows).sum::<usize>());
        let order: Vec<_> = segments.iter().map(|s| (s.table, s.kind)).collect();
        assert_eq!(order, [(2, 0), (1, 0), (1, 1), (1, 2), (0, 0), (3, 0), (3, 1), (4, 0)]);
    }
}
