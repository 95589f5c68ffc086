//! Views: `output[o] = input[map(o)]`, or 0 where the map leads nowhere.
//!
//! The map is a product of maps, one for each group of axes, so its multilinear extension is a product of small sums
//! that the verifier evaluates by itself: reshape, transpose, slice, pad, window, broadcast and gather in one form.

use super::TensorId;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Moves indices, computes nothing.
///
/// The groups split the axes of the input, and those of the output: each axis is in exactly one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Tensor read.
    pub input: TensorId,
    /// Tensor computed.
    pub output: TensorId,
    /// Independent maps.
    pub groups: Vec<AxisGroup>,
}

/// A map from the indices of some output axes to those of some input axes.
///
/// With `d` the lengths of `input_axes`, an input index is the row-major flat index over `d`, in `0..prod d` (a group
/// without input axes has the single index 0: a broadcast).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisGroup {
    /// Axes of the input, most significant first.
    pub input_axes: Vec<usize>,
    /// Axes of the output, most significant first.
    pub output_axes: Vec<usize>,
    /// From output indices to flat input indices.
    pub map: IndexMap,
}

/// See [`AxisGroup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexMap {
    /// `offset + sum_j strides[j] * o_j` over the output axes; outside the input's range the element is 0.
    Affine {
        /// Index of the first element.
        offset: i64,
        /// One for each output axis.
        strides: Vec<i64>,
    },
    /// The flat input index for each flat (row-major) output index of the group; a negative one means 0.
    Table(Vec<i64>),
}

impl AxisGroup {
    /// The flat input index for every flat output index of the group, `None` where the element is 0.
    ///
    /// `input_shape` and `output_shape` are those of the whole tensors.
    pub fn indices(&self, input_shape: &[usize], output_shape: &[usize]) -> Vec<Option<usize>> {
        let range: usize = self.input_axes.iter().map(|&a| input_shape[a]).product();
        let in_range = |i: i64| usize::try_from(i).ok().filter(|&i| i < range);
        match &self.map {
            IndexMap::Table(table) => table.iter().map(|&i| in_range(i)).collect(),
            IndexMap::Affine { offset, strides } => {
                let mut indices = alloc::vec![*offset];
                for (&axis, &stride) in self.output_axes.iter().zip(strides) {
                    indices = indices
                        .iter()
                        .flat_map(|&i| (0..output_shape[axis] as i64).map(move |o| i + stride * o))
                        .collect();
                }
                indices.into_iter().map(in_range).collect()
            }
        }
    }
}
