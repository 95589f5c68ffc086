// Second steps of sums in two steps.
#include "reduce.cuh"

// out[index] = the sum over the blocks of partial[block][index], one block for each index.
KERNEL(sum_partials, THREADS, (const gl3* partial, u64 blocks, u32 count, gl3* out)) {
    gl3 sum = partial_sum(partial, blocks, count, blockIdx.x);
    if (threadIdx.x == 0) out[blockIdx.x] = gl3_canonical(sum);
}

// out[i] = sum_s parts[s][i], for long rows.
KERNEL(sum_parts, THREADS, (const gl3* parts, u64 count, u64 n, gl3* out)) {
    FOR_EACH(i, n) {
        gl3 sum = gl3_of(0);
        for (u64 part = 0; part < count; part++) sum = gl3_add(sum, parts[part * n + i]);
        out[i] = sum;
    }
}
