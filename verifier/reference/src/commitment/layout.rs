//! Packing: every axis is cut into the powers of two of its length, from the high end; a tensor into the products of those
//! pieces (blocks, the first axis slowest); blocks of all tensors lie end to end, large ones first.

use crate::claims::Claim;
use crate::error::Error;
use crate::extension::{bits, eq_index, split};
use crate::field::{K, count};

/// Most cells that are sent in the clear.
const CLEAR_CELLS: usize = 1 << 14;

/// A piece of an axis: indices `start .. start + 2^log_length`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    log_length: usize,
}

/// A sub-cube of a tensor.
#[derive(Clone, Debug)]
struct Block {
    tensor: usize,
    pieces: Vec<Piece>,
    offset: usize,
}

impl Block {
    fn variables(&self) -> usize {
        self.pieces.iter().map(|piece| piece.log_length).sum()
    }
}

/// Where every cell of every tensor lies.
#[derive(Clone, Debug)]
pub struct Layout {
    shapes: Vec<Vec<usize>>,
    blocks: Vec<Block>,
    /// Of all tensors together.
    pub cells: usize,
}

/// What an opening has to show: values at points of the packed polynomial, and sums of them that are the claims' values.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// A block, a point within it, and the same point in the packed polynomial.
    points: Vec<(usize, Vec<K>, Vec<K>)>,
    /// For each claim: points by place, with weights.
    sums: Vec<Vec<(usize, K)>>,
}

impl Layout {
    /// The layout of tensors of these shapes.
    pub fn new(shapes: &[Vec<usize>]) -> Self {
        let mut blocks = Vec::new();
        for (tensor, shape) in shapes.iter().enumerate() {
            let mut cubes: Vec<Vec<Piece>> = vec![Vec::new()];
            for &d in shape {
                let mut longer = Vec::new();
                for cube in &cubes {
                    longer.extend(pieces(d).into_iter().map(|piece| [cube.as_slice(), &[piece]].concat()));
                }
                cubes = longer;
            }
            blocks.extend(cubes.into_iter().map(|pieces| Block { tensor, pieces, offset: 0 }));
        }
        // Stable: blocks of one size keep their order.
        blocks.sort_by_key(|block| usize::MAX - block.variables());
        let mut cells = 0;
        for block in &mut blocks {
            block.offset = cells;
            cells += 1 << block.variables();
        }
        Self { shapes: shapes.to_vec(), blocks, cells }
    }

    /// Variables of the packed polynomial.
    pub fn variables(&self) -> usize {
        bits(self.cells)
    }

    /// Whether it is opened by sending the cells.
    pub fn in_the_clear(&self) -> bool {
        self.cells <= CLEAR_CELLS
    }

    /// The distinct points that the claims need, in the order in which they arise.
    pub fn points(&self, claims: &[(usize, Claim)]) -> Result<Points, Error> {
        let mut opened = Points::default();
        for (tensor, claim) in claims {
            let shape = self.shapes.get(*tensor).ok_or(Error::Internal("a claim is about no tensor"))?;
            let axes = split(shape, &claim.point)?;
            let mut sum = Vec::new();
            for (index, block) in self.blocks.iter().enumerate().filter(|(_, block)| block.tensor == *tensor) {
                let (mut weight, mut local) = (K::ONE, Vec::new());
                for (axis, piece) in axes.iter().zip(&block.pieces) {
                    let (leading, trailing) = axis
                        .split_at_checked(axis.len() - piece.log_length)
                        .ok_or(Error::Internal("a block is longer than its axis"))?;
                    weight = weight * eq_index(leading, piece.start >> piece.log_length);
                    local.extend_from_slice(trailing);
                }
                sum.push((opened.place(index, self.packed(block, &local), local), weight));
            }
            opened.sums.push(sum);
        }
        Ok(opened)
    }

    /// The point of the packed polynomial at which a block's point lies.
    fn packed(&self, block: &Block, local: &[K]) -> Vec<K> {
        let offset = (block.variables()..self.variables()).rev().map(|bit| count(block.offset >> bit & 1));
        offset.chain(local.iter().copied()).collect()
    }
}

impl Points {
    fn place(&mut self, block: usize, packed: Vec<K>, local: Vec<K>) -> usize {
        if let Some(place) = self.points.iter().position(|(b, l, _)| *b == block && *l == local) {
            return place;
        }
        self.points.push((block, local, packed));
        self.points.len() - 1
    }

    /// Points of the packed polynomial.
    pub fn packed(&self) -> Vec<&[K]> {
        self.points.iter().map(|(_, _, packed)| packed.as_slice()).collect()
    }

    /// Whether the values at the points add up to what the claims say.
    pub fn hold(&self, claims: &[(usize, Claim)], values: &[K]) -> bool {
        let value = |sum: &[(usize, K)]| -> Option<K> {
            sum.iter().map(|&(place, weight)| values.get(place).map(|&value| weight * value)).sum()
        };
        claims.iter().zip(&self.sums).all(|((_, claim), sum)| value(sum) == Some(claim.value))
    }
}

/// The powers of two of `d`, from the high end.
fn pieces(d: usize) -> Vec<Piece> {
    let mut start = 0;
    let mut pieces = Vec::new();
    for log_length in (0..usize::BITS as usize).rev().filter(|&l| d >> l & 1 == 1) {
        pieces.push(Piece { start, log_length });
        start += 1 << log_length;
    }
    pieces
}
