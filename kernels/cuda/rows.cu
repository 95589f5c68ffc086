// Rows of any length: an odd end is paired with zero.
#include "index.cuh"

// out[row][i] = the line through values[row][2i] and values[row][2i + 1], at x.
KERNEL(fold_rows, THREADS, (const gl3* values, u64 length, u64 n, gl3 x, gl3* out)) {
    u64 half = (length + 1) / 2;
    FOR_EACH(i, n) {
        u64 row = divide(i, half), place = row * length + 2 * (i - row * half);
        out[i] = gl3_line(values[place], place + 1 < (row + 1) * length ? values[place + 1] : gl3_of(0), x);
    }
}

// out[i] = the `width` words of row indices[i].
KERNEL(gather, THREADS, (const u64* matrix, u32 width, const u64* indices, u64 n, u64* out)) {
    FOR_EACH(i, n * width) {
        u64 row = i / width;
        out[i] = matrix[indices[row] * width + (i - row * width)];
    }
}
