//! Packing without padding: every axis is cut into the powers of two of its length, a tensor into the products of those
//! pieces, and the pieces (blocks) of all tensors lie end to end, large ones first, in one multilinear polynomial.
//!
//! `T~(r) = sum_b c_b * packed~(offset bits of b ++ r_b)`, `c_b` = eq of the block's leading index bits, `r_b` = the rest of `r`.

use super::{Claim, OpeningError};
use crate::field::{K, K_BYTES, k_to_bytes};
use crate::multilinear::{axis_bits, eq_index, num_variables};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use p3_field::PrimeCharacteristicRing;

/// Most cells that are committed by their hash and opened by sending them: one or two bytes each is less than any opening.
const CLEAR_CELLS: usize = 1 << 14;

/// A piece of an axis: indices `start .. start + 2^log_len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AxisBlock {
    /// First index; a multiple of the length.
    pub start: usize,
    /// Logarithm of the length.
    pub log_len: usize,
}

/// A sub-cube of a tensor, stored row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The tensor it is cut from.
    pub tensor: usize,
    /// One piece per axis.
    pub axes: Vec<AxisBlock>,
    /// Where it starts in the packed polynomial; a multiple of its size.
    pub offset: usize,
    /// Logarithm of its size.
    pub num_variables: usize,
}

impl Block {
    /// Its cells in the packed polynomial.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + (1 << self.num_variables)
    }
}

/// Where every cell of every tensor lies in the packed polynomial.
#[derive(Clone, Debug)]
pub struct Layout {
    shapes: Vec<Vec<usize>>,
    blocks: Vec<Block>,
    /// Per tensor, its blocks.
    blocks_of: Vec<Vec<usize>>,
    cells: usize,
    num_variables: usize,
}

/// A block's share in a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Index into [`Opening::points`].
    pub point: usize,
    /// `c_b`.
    pub weight: K,
}

/// What has to be opened for a list of claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Distinct blocks and points within them.
    pub points: Vec<(usize, Vec<K>)>,
    /// Per claim, the sum that must equal its value.
    pub sums: Vec<Vec<Term>>,
}

/// The powers of two of `d`, from the high end.
fn axis_blocks(d: usize) -> Vec<AxisBlock> {
    let mut start = 0;
    (0..usize::BITS as usize)
        .rev()
        .filter(|&log_len| d >> log_len & 1 == 1)
        .map(|log_len| {
            let block = AxisBlock { start, log_len };
            start += 1 << log_len;
            block
        })
        .collect()
}

impl Layout {
    /// The layout of tensors of these shapes. The product of a shape's lengths, and the sum of the products, must be below `2^62`.
    pub fn new(shapes: &[Vec<usize>]) -> Self {
        let mut blocks = Vec::new();
        for (tensor, shape) in shapes.iter().enumerate() {
            let mut cubes: Vec<Vec<AxisBlock>> = vec![Vec::new()];
            for &d in shape {
                let pieces = axis_blocks(d);
                cubes = cubes
                    .into_iter()
                    .flat_map(|cube| pieces.iter().map(move |&piece| cube.iter().copied().chain([piece]).collect()))
                    .collect();
            }
            blocks.extend(cubes.into_iter().map(|axes| {
                let num_variables = axes.iter().map(|axis| axis.log_len).sum();
                Block { tensor, axes, offset: 0, num_variables }
            }));
        }
        blocks.sort_by_key(|block| core::cmp::Reverse(block.num_variables));
        let mut cells = 0;
        let mut blocks_of = vec![Vec::new(); shapes.len()];
        for (index, block) in blocks.iter_mut().enumerate() {
            block.offset = cells;
            cells += 1 << block.num_variables;
            blocks_of[block.tensor].push(index);
        }
        Self { shapes: shapes.to_vec(), blocks, blocks_of, cells, num_variables: axis_bits(cells) }
    }

    /// The tensors' shapes.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// The blocks, in packed order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Cells of all tensors together.
    pub fn cells(&self) -> usize {
        self.cells
    }

    /// Logarithm of the packed polynomial's size.
    pub fn num_variables(&self) -> usize {
        self.num_variables
    }

    /// Whether sending the cells costs less than proving about them.
    pub fn in_the_clear(&self) -> bool {
        self.cells <= CLEAR_CELLS
    }

    /// Copies the row-major cells of a tensor to their places in the packed polynomial.
    ///
    /// # Panics
    /// If `cells` or `packed` is shorter than the layout says.
    pub fn pack<T: Copy, P: Copy>(&self, packed: &mut [P], tensor: usize, cells: &[T], convert: impl Fn(T) -> P) {
        for &block in &self.blocks_of[tensor] {
            let block = &self.blocks[block];
            pack_block(&mut packed[block.range()], &self.shapes[tensor], &block.axes, cells, &convert);
        }
    }

    /// Coordinates of a point of tensor `tensor`.
    pub fn point_len(&self, tensor: usize) -> usize {
        num_variables(&self.shapes[tensor])
    }

    /// The block openings that the claims need; identical ones appear once.
    ///
    /// # Errors
    /// If a claim does not fit the layout.
    pub fn opening(&self, claims: &[Claim]) -> Result<Opening, OpeningError> {
        let mut index: BTreeMap<(usize, Vec<[u8; K_BYTES]>), usize> = BTreeMap::new();
        let mut opening = Opening { points: Vec::new(), sums: Vec::with_capacity(claims.len()) };
        for &Claim { tensor, ref point, .. } in claims {
            let shape =
                self.shapes.get(tensor).ok_or(OpeningError::NoSuchTensor { tensor, tensors: self.shapes.len() })?;
            let expected = self.point_len(tensor);
            if point.len() != expected {
                return Err(OpeningError::PointLength { tensor, expected, actual: point.len() });
            }
            let mut sum = Vec::with_capacity(self.blocks_of[tensor].len());
            for &block in &self.blocks_of[tensor] {
                let (weight, local) = restrict(shape, &self.blocks[block].axes, point);
                let key = (block, local.iter().map(|&x| k_to_bytes(x)).collect());
                let next = opening.points.len();
                let point = *index.entry(key).or_insert(next);
                if point == next {
                    opening.points.push((block, local));
                }
                sum.push(Term { point, weight });
            }
            opening.sums.push(sum);
        }
        Ok(opening)
    }

    /// The point of the whole packed polynomial at which a block's point lies.
    pub fn packed_point(&self, block: usize, local: &[K]) -> Vec<K> {
        let Block { offset, num_variables, .. } = self.blocks[block];
        let bits = (num_variables..self.num_variables).rev().map(|bit| K::from_bool(offset >> bit & 1 == 1));
        bits.chain(local.iter().copied()).collect()
    }
}

impl Opening {
    /// Checks every claim against the opened values, one per point.
    pub(super) fn check(&self, claims: &[Claim], values: &[K]) -> Result<(), OpeningError> {
        for (claim, sum) in claims.iter().zip(&self.sums) {
            if sum.iter().map(|term| term.weight * values[term.point]).sum::<K>() != claim.value {
                return Err(OpeningError::Value { tensor: claim.tensor });
            }
        }
        Ok(())
    }
}

/// `(c_b, r_b)`.
fn restrict(shape: &[usize], axes: &[AxisBlock], mut point: &[K]) -> (K, Vec<K>) {
    let (mut weight, mut local) = (K::ONE, Vec::new());
    for (&d, axis) in shape.iter().zip(axes) {
        let (coordinates, rest) = point.split_at(axis_bits(d));
        let (leading, trailing) = coordinates.split_at(coordinates.len() - axis.log_len);
        weight *= eq_index(leading, axis.start >> axis.log_len);
        local.extend_from_slice(trailing);
        point = rest;
    }
    (weight, local)
}

fn pack_block<T: Copy, P: Copy>(
    target: &mut [P],
    shape: &[usize],
    axes: &[AxisBlock],
    source: &[T],
    convert: &impl Fn(T) -> P,
) {
    let Some((axis, inner_axes)) = axes.split_first() else {
        target[0] = convert(source[0]);
        return;
    };
    let inner_shape = &shape[1..];
    let stride: usize = inner_shape.iter().product();
    let rows = source.chunks_exact(stride).skip(axis.start).take(1 << axis.log_len);
    if inner_axes.is_empty() {
        for (cell, row) in target.iter_mut().zip(rows) {
            *cell = convert(row[0]);
        }
        return;
    }
    let len = target.len() >> axis.log_len;
    for (chunk, row) in target.chunks_exact_mut(len).zip(rows) {
        pack_block(chunk, inner_shape, inner_axes, row, convert);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes() -> Vec<Vec<usize>> {
        vec![vec![25, 3], vec![], vec![768], vec![1, 1], vec![2, 3, 5], vec![16, 8]]
    }

    #[test]
    fn blocks_are_aligned_and_leave_no_gap() {
        let layout = Layout::new(&shapes());
        let mut next = 0;
        for block in layout.blocks() {
            assert_eq!(block.offset, next);
            assert_eq!(block.offset % (1 << block.num_variables), 0);
            next = block.range().end;
        }
        assert_eq!(next, layout.cells());
        assert_eq!(next, 75 + 1 + 768 + 1 + 30 + 128);
        assert_eq!(layout.num_variables(), 10);
        assert_eq!(layout.blocks()[0].axes, [AxisBlock { start: 0, log_len: 9 }]);
    }

    #[test]
    fn every_cell_is_packed_once() {
        let shapes = shapes();
        let layout = Layout::new(&shapes);
        let mut packed = vec![None; layout.cells()];
        for (tensor, shape) in shapes.iter().enumerate() {
            let cells: Vec<usize> = (0..shape.iter().product()).collect();
            layout.pack(&mut packed, tensor, &cells, |cell| Some((tensor, cell)));
        }
        let mut places: Vec<_> = packed.into_iter().flatten().collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), layout.cells());
    }

    #[test]
    fn a_point_of_a_cell_leads_to_its_place() {
        // The cell (24, 2) of the 25 x 3 tensor is a block of its own.
        let layout = Layout::new(&shapes());
        let bits = [1, 1, 0, 0, 0, 1, 0].map(K::from_usize);
        let claim = Claim { tensor: 0, point: bits.to_vec(), value: K::ZERO };
        let opening = layout.opening(&[claim.clone(), claim]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(opening.sums[0], opening.sums[1], "the same points are opened once");
        let taken: Vec<_> = opening.sums[0].iter().filter(|term| term.weight == K::ONE).collect();
        assert_eq!(taken.len(), 1);
        let (block, local) = &opening.points[taken[0].point];
        assert_eq!(layout.blocks()[*block].num_variables, 0);
        assert!(local.is_empty());
        assert_eq!(layout.packed_point(*block, local).len(), layout.num_variables());
    }
}
