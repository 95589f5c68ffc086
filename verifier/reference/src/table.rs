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
    /// The shape of its rows.
    pub fn shape(&self) -> Vec<usize> {
        match *self {
            Self::Range(width) | Self::Edged(width) | Self::Function { width, .. } => vec![1 << width],
            Self::Excess { width, below, above, .. } => {
                vec![1 + usize::from(below) + usize::from(above), 1 << width]
            }
        }
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

    /// The extensions of a row's entries at a point; `outputs` is that of a function's outputs.
    pub fn evaluate(&self, point: &[K], outputs: Option<K>) -> Result<Vec<K>, Error> {
        let shape = self.shape();
        let rows: Vec<Vec<i64>> = (0..shape.iter().product()).map(|row| self.row(row)).collect();
        let mut entries = Vec::new();
        for place in 0..rows.first().map_or(0, Vec::len) {
            let column: Vec<i64> = rows.iter().filter_map(|row| row.get(place).copied()).collect();
            entries.push(evaluate_integers(&shape, &column, point)?);
        }
        entries.extend(outputs);
        Ok(entries)
    }
}
