// Sums over a block. Field addition is exact, so the order does not matter and every device gives the same.
#pragma once
#include "extension.cuh"

const u32 WARP = 32;
const u32 ALL_LANES = 0xffffffffu;

DEVICE gl3 warp_sum(gl3 x) {
#pragma unroll
    for (u32 lanes = WARP / 2; lanes > 0; lanes /= 2) {
        gl3 other{__shfl_down_sync(ALL_LANES, x.a, lanes), __shfl_down_sync(ALL_LANES, x.b, lanes), __shfl_down_sync(ALL_LANES, x.c, lanes)};
        x = gl3_add(x, other);
    }
    return x;
}

// The sum over all threads of a block of whole warps, in its first thread.
DEVICE gl3 block_sum(gl3 x) {
    __shared__ gl3 of_warp[WARP];
    x = warp_sum(x);
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    __syncthreads();  // the sums of an earlier call have been read
    if (lane == 0) of_warp[warp] = x;
    __syncthreads();
    if (warp == 0) x = warp_sum(lane < blockDim.x / WARP ? of_warp[lane] : gl3_of(0));
    return x;
}

// Writes the block's sum as number `index` of the `count` that every block has.
DEVICE void put_partial(gl3* partial, u32 count, u32 index, gl3 x) {
    x = block_sum(x);
    if (threadIdx.x == 0) partial[(u64)blockIdx.x * count + index] = x;
}

// The sum over the blocks of number `index` of the `count` that every block has, in the first thread of this block.
DEVICE gl3 partial_sum(const gl3* partial, u64 blocks, u32 count, u32 index) {
    gl3 sum = gl3_of(0);
    for (u64 block = threadIdx.x; block < blocks; block += blockDim.x) sum = gl3_add(sum, partial[block * count + index]);
    return block_sum(sum);
}
