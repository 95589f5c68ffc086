//! Section 6, tables: rows `(tag, entries)`, their extensions by summing over all rows.

use crate::error::Error;
use crate::extension::evaluate_integers;
use crate::field::K;
use crate::graph::TensorId;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `(v)`.
    Range(u32),
    /// `(v, edge(v))`.
    Edged(u32),
    /// `(sum of edges, excess)`.
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
    /// `(v, outputs[v])` or `(v, edge(v), outputs[v])`.
    Function {
        /// The weight that holds the outputs.
        outputs: TensorId,
        /// Bits of the domain.
        width: u32,
        /// Whether rows carry the edge.
        edged: bool,
    },
}

/// Where `2^width` rows of a table, from `first` on, lie among the rows of all tables.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The table's place.
    pub table: usize,
    /// The first row.
    pub first: usize,
    /// Logarithm of their number.
    pub width: u32,
    /// Its place among all rows.
    pub offset: usize,
}

/// Kinds of all tables end to end: wide ones first; of one width table by table, kind by kind.
pub fn stretches(tables: &[Table]) -> Vec<Stretch> {
    let (mut all, mut offset) = (Vec::new(), 0);
    let widest = tables.iter().map(|table| table.size().1).max().unwrap_or(0);
    for width in (0..=widest).rev() {
        for (place, table) in tables.iter().enumerate().filter(|(_, table)| table.size().1 == width) {
            for kind in 0..table.size().0 {
                all.push(Stretch { table: place, first: kind << width, width, offset });
                offset += 1 << width;
            }
        }
    }
    all
}

/// 1 at the last place, -1 at the first, 0 between.
fn edge(place: usize, width: u32) -> i64 {
    if place == 0 {
        -1
    } else if place == (1 << width) - 1 {
        1
    } else {
        0
    }
}

impl Table {
    /// Kinds of rows, and the logarithm of the rows of each.
    fn size(&self) -> (usize, u32) {
        match *self {
            Self::Range(width) | Self::Edged(width) | Self::Function { width, .. } => (1, width),
            Self::Excess { width, below, above, .. } => (1 + usize::from(below) + usize::from(above), width),
        }
    }

    /// Rows of all kinds.
    pub fn rows(&self) -> usize {
        let (kinds, width) = self.size();
        kinds << width
    }

    /// The weight that holds its outputs.
    pub fn outputs(&self) -> Option<TensorId> {
        if let Self::Function { outputs, .. } = self { Some(*outputs) } else { None }
    }

    /// The entries of a row that the key fixes: all but a function's output.
    fn row(&self, row: usize) -> Vec<i64> {
        match *self {
            Self::Range(_) | Self::Function { edged: false, .. } => vec![row as i64],
            Self::Edged(width) | Self::Function { width, edged: true, .. } => vec![row as i64, edge(row, width)],
            Self::Excess { width, limbs, above, .. } => {
                let (kind, v, n) = (row >> width, (row & ((1 << width) - 1)) as i64, limbs as i64);
                match kind {
                    0 => vec![v.min(2 * n) - n, 0],
                    1 if above => vec![n, v],
                    _ => vec![-n, -v],
                }
            }
        }
    }

    /// The extensions of the entries of `2^width` rows, from `first` on; `outputs` is that of a function's outputs.
    pub fn evaluate(&self, first: usize, point: &[K], outputs: Option<K>) -> Result<Vec<K>, Error> {
        let shape = [1 << self.size().1];
        let rows: Vec<Vec<i64>> = (first..first + shape[0]).map(|row| self.row(row)).collect();
        let mut entries = Vec::new();
        for place in 0..rows.first().map_or(0, Vec::len) {
            let column: Vec<i64> = rows.iter().filter_map(|row| row.get(place).copied()).collect();
            entries.push(evaluate_integers(&shape, &column, point)?);
        }
        entries.extend(outputs);
        Ok(entries)
    }
}
