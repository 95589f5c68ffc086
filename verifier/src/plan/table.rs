//! Tables of the lookup argument. A row is `(tag, a, b, c)`; all but the outputs of functions are evaluated by the
//! verifier from their structure.

use crate::field::K;
use crate::graph::TensorId;
use crate::multilinear::{eq_index, index, ones};
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

impl Table {
    /// Shape of the table's column of multiplicities: its rows.
    pub fn shape(&self) -> Vec<usize> {
        match *self {
            Self::Range(width) | Self::Edged(width) | Self::Function { width, .. } => vec![1 << width],
            Self::Excess { width, below, above, .. } => {
                vec![1 + usize::from(below) + usize::from(above), 1 << width]
            }
        }
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

    /// Extensions of the row's entries at a point of the table's shape; `outputs` is that of the function's values.
    pub fn evaluate(&self, point: &[K], outputs: K) -> Vec<K> {
        match *self {
            Self::Range(_) => vec![index(point)],
            Self::Edged(_) => vec![index(point), edge_at(point)],
            Self::Function { edged: false, .. } => vec![index(point), outputs],
            Self::Function { edged: true, .. } => vec![index(point), edge_at(point), outputs],
            Self::Excess { width, limbs, below, above } => {
                let (kind, v) = point.split_at(point.len() - width as usize);
                let n = K::from_usize(limbs);
                // min(v, 2n) = sum over j in 1..=2n of [v >= j]
                let clipped: K = (1..=2 * limbs).map(|j| K::ONE - ones(v, j)).sum();
                let side = |present: bool, place: usize| if present { eq_index(kind, place) } else { K::ZERO };
                let (up, down) = (side(above, 1), side(below, 1 + usize::from(above)));
                vec![eq_index(kind, 0) * (clipped - n) + (up - down) * n, (up - down) * index(v)]
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
    use crate::field::k_from_i64;
    use crate::multilinear::{evaluate, num_variables};

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
            let shape = table.shape();
            let rows: usize = shape.iter().product();
            let point: Vec<K> = (0..num_variables(&shape)).map(|i| K::from_usize(i * i + 7).exp_u64(9)).collect();
            let function = |row: usize| (row * row) as i64 - 9;
            let values: Vec<i64> = (0..rows).map(function).collect();
            let entries = table.evaluate(&point, evaluate(&shape, &values, &point));
            for (place, &entry) in entries.iter().enumerate() {
                let column: Vec<i64> = (0..rows).map(|row| table.row(row, function(row))[place]).collect();
                assert_eq!(entry, evaluate(&shape, &column, &point), "{table:?} entry {place}");
            }
            for row in 0..rows {
                let entries = table.row(row, function(row));
                assert_eq!(table.row(table.find(&entries), function(row)), entries, "{table:?} row {row}");
            }
            assert_eq!(k_from_i64(-1) + K::ONE, K::ZERO);
        }
    }
}
