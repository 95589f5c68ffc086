// What the GPU does at best, by itself: the floors of `bench`. Operations are in registers, in chains that do not wait for each other; what
// comes of them is written, once, so that none may be left out.
#include "blake3.cuh"
#include "goldilocks.cuh"

// Chains of each thread: enough that an instruction's result is there when the next of its chain wants it.
const u32 CHAINS = 8;

KERNEL(copy_memory, THREADS, (const uint4* from, u64 n, uint4* to)) { FOR_EACH(i, n) to[i] = from[i]; }

// Reads all and says next to nothing: what the cache holds then is this.
KERNEL(read_memory, THREADS, (const uint4* from, u64 n, u32* out)) {
    u32 all = 0;
    FOR_EACH(i, n) {
        uint4 words = from[i];
        all ^= words.x ^ words.y ^ words.z ^ words.w;
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = all;
}

#define START(chains, factor) \
    u64 place = blockIdx.x * (u64)blockDim.x + threadIdx.x, chains[CHAINS]; \
    _Pragma("unroll") for (u32 k = 0; k < CHAINS; k++) chains[k] = (factor) + place * CHAINS + k

#define FINISH(chains, out) \
    u64 all = 0; \
    _Pragma("unroll") for (u32 k = 0; k < CHAINS; k++) all ^= chains[k]; \
    (out)[place] = all

// 32 by 32 bits, added to 64: what products of the field consist of. The high half comes back in, so no step is less than all of it.
KERNEL(multiply_adds, THREADS, (u64 factor, u32 steps, u64* out)) {
    START(chains, factor);
#pragma unroll 4
    for (u32 step = 0; step < steps; step++)
#pragma unroll
        for (u32 k = 0; k < CHAINS; k++) chains[k] = ptx::mad_wide(ptx::lo(chains[(k + 1) % CHAINS]), ptx::lo(factor), chains[k]);
    FINISH(chains, out);
}

KERNEL(multiplications, THREADS, (u64 factor, u32 steps, u64* out)) {
    START(chains, factor);
#pragma unroll 4
    for (u32 step = 0; step < steps; step++)
#pragma unroll
        for (u32 k = 0; k < CHAINS; k++) chains[k] = gl_mul(chains[k], factor);
    FINISH(chains, out);
}

KERNEL(additions, THREADS, (u64 factor, u32 steps, u64* out)) {
    START(chains, factor);
#pragma unroll 4
    for (u32 step = 0; step < steps; step++)
#pragma unroll
        for (u32 k = 0; k < CHAINS; k++) chains[k] = gl_add(chains[k], factor);
    FINISH(chains, out);
}

// One chain: a compression has four mixtures side by side.
KERNEL(compressions, THREADS, (u64 factor, u32 steps, u64* out)) {
    u64 place = blockIdx.x * (u64)blockDim.x + threadIdx.x;
    u32 chain[8], block[BLOCK_WORDS];
    begin(chain);
#pragma unroll
    for (u32 i = 0; i < BLOCK_WORDS; i++) block[i] = ptx::lo(factor) * (i + 1) + (u32)place;
    for (u32 step = 0; step < steps; step++) compress<7>(chain, block, 0, BLOCK_BYTES, CHUNK_START | CHUNK_END | ROOT);
    out[place] = ptx::pack(chain[0] ^ chain[2] ^ chain[4] ^ chain[6], chain[1] ^ chain[3] ^ chain[5] ^ chain[7]);
}

// A warp's products of 16 x 32 bytes by 32 x 8 on a tensor core, added to sums of 32 bits, of which each lane has four.
KERNEL(byte_products, THREADS, (u64 factor, u32 steps, u64* out)) {
    u64 place = blockIdx.x * (u64)blockDim.x + threadIdx.x, all = 0;
    u32 lo = ptx::lo(factor), hi = ptx::hi(factor), left[4] = {lo, hi, lo ^ (u32)place, hi ^ (u32)place}, right[2] = {hi, lo};
    i32 chains[CHAINS][4];
#pragma unroll
    for (u32 k = 0; k < CHAINS; k++)
#pragma unroll
        for (u32 r = 0; r < 4; r++) chains[k][r] = (i32)(place + 4 * k + r);
#pragma unroll 4
    for (u32 step = 0; step < steps; step++)
#pragma unroll
        for (u32 k = 0; k < CHAINS; k++) ptx::mma(true, true, chains[k], left, right);
#pragma unroll
    for (u32 k = 0; k < CHAINS; k++)
#pragma unroll
        for (u32 r = 0; r < 4; r++) all ^= (u64)(i64)chains[k][r] << 8 * r;
    out[place] = all;
}
