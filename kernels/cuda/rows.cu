// Rows of a matrix.
#include "platform.cuh"

// out[i] = the `width` words of row indices[i].
KERNEL(gather, THREADS, (const u64* matrix, u32 width, const u64* indices, u64 n, u64* out)) {
    FOR_EACH(i, n * width) {
        u64 row = i / width;
        out[i] = matrix[indices[row] * width + (i - row * width)];
    }
}
