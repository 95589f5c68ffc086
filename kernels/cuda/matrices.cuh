// A contraction of two tensors as products of matrices, in whatever order their axes lie: what einsum.cu and tensor.cu share.
#pragma once
#include "index.cuh"

// out[b, i, j] += coefficient * sum_k left[b, i, k] right[b, j, k], of integers of so many bytes.
struct Product {
    const void *left, *right;
    u64 left_bytes, right_bytes;
    u64 batches, rows, columns, summed, span, coefficient;
};

const u32 SIDE = 64;  // rows and columns of a tile of the result

// A factor's part in a tile: at most SIDE rows or columns, here lines. Line i has its summand k at values[outer[i] + inner[k]].
struct Lines {
    const u8* values;
    const u64 *outer, *inner;
    u32 count;
};

// The tile that a block computes, and the part of the sum: `summed` summands. The sum is cut into parts of `span`, one for each blockIdx.y.
// Tables of offsets say where things lie. They lie end to end: for b those of left, right and out, for i those of left and out, for j
// those of right and out, for k those of left and right.
struct Tile {
    Lines left, right;
    u64 summed;
    u64* out;
    const u64 *rows, *columns;

    DEVICE Tile(const Product& p, const u64* offsets, u64* result) {
        u64 across = (p.columns + SIDE - 1) / SIDE, down = (p.rows + SIDE - 1) / SIDE;
        u64 rest = divide(blockIdx.x, across), batch = divide(rest, down);
        u64 row = (rest - batch * down) * SIDE, column = (blockIdx.x - rest * across) * SIDE, begin = blockIdx.y * p.span;
        const u64 *left_rows = offsets + 3 * p.batches, *out_rows = left_rows + p.rows;
        const u64 *right_columns = out_rows + p.rows, *out_columns = right_columns + p.columns;
        const u64 *left_inner = out_columns + p.columns, *right_inner = left_inner + p.summed;
        left = Lines{(const u8*)p.left + p.left_bytes * offsets[batch], left_rows + row, left_inner + begin, least(p.rows - row, SIDE)};
        right = Lines{(const u8*)p.right + p.right_bytes * offsets[p.batches + batch], right_columns + column, right_inner + begin,
                      least(p.columns - column, SIDE)};
        out = result + offsets[2 * p.batches + batch], rows = out_rows + row, columns = out_columns + column;
        summed = begin + p.span < p.summed ? p.span : p.summed - begin;
    }

    static DEVICE u32 least(u64 a, u32 b) { return a < b ? (u32)a : b; }

    // Adds a sum to the element of the result that is in this row and column of the tile, if there is one.
    DEVICE void add(u32 row, u32 column, u64 sum) const {
        if (row < left.count && column < right.count) atomicAdd(out + rows[row] + columns[column], sum);
    }
};
