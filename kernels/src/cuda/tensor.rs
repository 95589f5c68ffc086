//! See `tensor.cu`: which products of matrices run on tensor cores, and how they read their factors.

use super::gpu::Gpu;
use super::launch::{Grid, Pointer, Product};

/// Summands that a tile reads at a time.
pub const DEPTH: usize = 64;
/// Least rows and columns of a result: a quarter of a tile's. With fewer, most of what a tile multiplies is zeros, and every integer that it
/// reads is in so few products that faster ones can save little. By reckoning: nothing here was measured.
const LEAST_SIDE: usize = 16;
/// Least summands: what an instruction takes.
const LEAST_SUMMED: usize = 32;
/// The widest integers, in bytes: four times two would be eight products of bytes, and more sums than there are registers for.
const MOST_BYTES: usize = 2;

/// Whether a product of so many batches, rows, columns and summands is for tensor cores, of factors that are kept in so many bytes.
pub fn pays([_, rows, columns, summed]: [usize; 4], bytes: [usize; 2]) -> bool {
    let is_narrow = bytes.iter().all(|&bytes| bytes <= MOST_BYTES);
    is_narrow && rows.min(columns) >= LEAST_SIDE && summed >= LEAST_SUMMED
}

/// Integers that are read together.
const RUN: usize = 4;
/// Of [`form`]: they are of as many rows or columns, not of as many summands; and they are one word in memory.
const ACROSS: u32 = 1;
const WHOLE: u32 = 2;

/// How a factor is read, whose batches, rows or columns, and summands have these offsets: the one of the last two is taken together that
/// lies together.
pub fn form([batches, outer, inner]: [&Vec<usize>; 3]) -> u32 {
    let are_words = |along: &[usize], others: [&[usize]; 2]| {
        along.len().is_multiple_of(RUN)
            && along.chunks(RUN).all(|run| run[0].is_multiple_of(RUN) && run.is_sorted_by(|a, b| a + 1 == *b))
            && others.iter().all(|places| places.iter().all(|place| place.is_multiple_of(RUN)))
    };
    let are_neighbours = |places: &[usize]| places.get(1) == Some(&1);
    if are_words(inner, [batches, outer]) {
        WHOLE
    } else if are_words(outer, [batches, inner]) {
        ACROSS | WHOLE
    } else if are_neighbours(outer) {
        ACROSS
    } else {
        0
    }
}

/// Launches the kernel for factors of these widths and forms.
pub fn multiply(gpu: &Gpu, grid: Grid, product: Product, [left, right]: [u32; 2], offsets: Pointer, out: Pointer) {
    match (product.left_bytes, product.right_bytes) {
        (1, 1) => gpu.tensor_1x1(grid, product, left, right, offsets, out),
        (1, _) => gpu.tensor_1x2(grid, product, left, right, offsets, out),
        (_, 1) => gpu.tensor_2x1(grid, product, left, right, offsets, out),
        _ => gpu.tensor_2x2(grid, product, left, right, offsets, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::offsets;

    /// The form of a factor with these labels: of batches, of rows or columns, and of summands.
    fn form_of(dims: [usize; 3], labels: [u8; 3]) -> u32 {
        form([0, 1, 2].map(|label| offsets(&dims, &labels, &[label])).each_ref())
    }

    #[test]
    fn what_lies_together_is_read_together() {
        assert_eq!(form_of([3, 5, 8], [0, 1, 2]), WHOLE);
        assert_eq!(form_of([3, 5, 8], [1, 0, 2]), WHOLE);
        assert_eq!(form_of([3, 8, 5], [0, 2, 1]), ACROSS | WHOLE);
        // Words that others are not aligned to.
        assert_eq!(form_of([3, 5, 6], [0, 1, 2]), 0);
        assert_eq!(form_of([3, 6, 5], [0, 2, 1]), ACROSS);
        assert_eq!(form_of([4, 8, 8], [1, 2, 0]), 0);
    }

    #[test]
    fn summands_of_two_axes_are_words_in_the_order_in_which_they_lie() {
        let (dims, rows) = ([6, 4, 8], offsets(&[6, 4, 8], &[0, 1, 2], &[0]));
        let form_of = |order: [u8; 2]| form([&vec![0], &rows, &offsets(&dims, &[0, 1, 2], &order)]);
        assert_eq!((form_of([1, 2]), form_of([2, 1])), (WHOLE, 0));
    }
}
