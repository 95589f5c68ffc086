// Kernels with a mistake each, which the tests of the emulator must find. They are no part of the images.
#include "../platform.cuh"

// The sum of a block's words in a tree; `missing` leaves the barrier between its levels out.
DEVICE void tree_sum(const u64* x, u64* out, bool missing) {
    __shared__ u64 sums[THREADS];
    sums[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        if (!missing) __syncthreads();
    }
    if (threadIdx.x == 0) out[0] = sums[0];
}

KERNEL(planted_none, THREADS, (const u64* x, u64* out)) { tree_sum(x, out, false); }
KERNEL(planted_race, THREADS, (const u64* x, u64* out)) { tree_sum(x, out, true); }
KERNEL(planted_out_of_bounds, THREADS, (const u64* x, u64* out)) {
    if (threadIdx.x == 0) out[0] = x[THREADS];
}
KERNEL(planted_divergence, THREADS, (const u64* x, u64* out)) {
    if (threadIdx.x < THREADS / 2)
        __syncthreads();
    else
        out[0] = x[0];
}
