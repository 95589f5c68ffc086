// BLAKE3 of matrix rows, and Merkle trees over them: what `verifier::commitment::TreeScheme` computes.
#include "goldilocks.cuh"

__constant__ u32 IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
const u32 CHUNK_START = 1, CHUNK_END = 2, ROOT = 8;
const u32 BLOCK_WORDS = 16;

DEVICE u32 rotate(u32 x, u32 bits) { return __funnelshift_r(x, x, bits); }

DEVICE void mix(u32& a, u32& b, u32& c, u32& d, u32 x, u32 y) {
    a += b + x, d = rotate(d ^ a, 16), c += d, b = rotate(b ^ c, 12);
    a += b + y, d = rotate(d ^ a, 8), c += d, b = rotate(b ^ c, 7);
}

// The chaining value after one more block of a message's first chunk.
DEVICE void compress(u32 chain[8], const u32 block[BLOCK_WORDS], u32 bytes, u32 flags) {
    u32 m[16], s[16];
#pragma unroll
    for (u32 i = 0; i < 16; i++) m[i] = block[i];
#pragma unroll
    for (u32 i = 0; i < 8; i++) s[i] = chain[i];
#pragma unroll
    for (u32 i = 0; i < 4; i++) s[8 + i] = IV[i];
    s[12] = 0, s[13] = 0, s[14] = bytes, s[15] = flags;
#pragma unroll
    for (u32 round = 0; round < 7; round++) {
        mix(s[0], s[4], s[8], s[12], m[0], m[1]), mix(s[1], s[5], s[9], s[13], m[2], m[3]);
        mix(s[2], s[6], s[10], s[14], m[4], m[5]), mix(s[3], s[7], s[11], s[15], m[6], m[7]);
        mix(s[0], s[5], s[10], s[15], m[8], m[9]), mix(s[1], s[6], s[11], s[12], m[10], m[11]);
        mix(s[2], s[7], s[8], s[13], m[12], m[13]), mix(s[3], s[4], s[9], s[14], m[14], m[15]);
        u32 permuted[16] = {m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]};
#pragma unroll
        for (u32 i = 0; i < 16; i++) m[i] = permuted[i];
    }
#pragma unroll
    for (u32 i = 0; i < 8; i++) chain[i] = s[i] ^ s[8 + i];
}

const u32 ROWS = 128;

// The digest of every row of `width` words, at most 128: one chunk. One thread for each row, rows through shared memory.
KERNEL(hash_rows, ROWS, (const u64* matrix, u64 rows, u32 width, u32* digests)) {
    __shared__ u64 tile[ROWS][BLOCK_WORDS / 2 + 1];
    for (u64 first = blockIdx.x * (u64)ROWS; first < rows; first += gridDim.x * (u64)ROWS) {
        u32 chain[8];
#pragma unroll
        for (u32 i = 0; i < 8; i++) chain[i] = IV[i];
        for (u32 from = 0; from < width; from += BLOCK_WORDS / 2) {
            __syncthreads();
            for (u32 t = threadIdx.x; t < ROWS * (BLOCK_WORDS / 2); t += ROWS) {
                u32 row = t / (BLOCK_WORDS / 2), word = t % (BLOCK_WORDS / 2);
                bool inside = first + row < rows && from + word < width;
                tile[row][word] = inside ? gl_canonical(matrix[(first + row) * width + from + word]) : 0;
            }
            __syncthreads();
            u32 block[BLOCK_WORDS];
#pragma unroll
            for (u32 i = 0; i < BLOCK_WORDS; i++)
                block[i] = i % 2 ? ptx::hi(tile[threadIdx.x][i / 2]) : ptx::lo(tile[threadIdx.x][i / 2]);
            u32 left = width - from, flags = from == 0 ? CHUNK_START : 0;
            if (left <= BLOCK_WORDS / 2) flags |= CHUNK_END | ROOT;
            compress(chain, block, left < BLOCK_WORDS / 2 ? 8 * left : 64, flags);
        }
        if (first + threadIdx.x < rows)
            for (u32 i = 0; i < 8; i++) digests[8 * (first + threadIdx.x) + i] = chain[i];
    }
}

// The digest of every pair of digests.
KERNEL(hash_pairs, ROWS, (const uint4* children, u64 pairs, uint4* parents)) {
    FOR_EACH(i, pairs) {
        u32 chain[8], block[BLOCK_WORDS];
#pragma unroll
        for (u32 k = 0; k < 8; k++) chain[k] = IV[k];
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            uint4 words = children[4 * i + k];
            block[4 * k] = words.x, block[4 * k + 1] = words.y, block[4 * k + 2] = words.z, block[4 * k + 3] = words.w;
        }
        compress(chain, block, 64, CHUNK_START | CHUNK_END | ROOT);
        parents[2 * i] = make_uint4(chain[0], chain[1], chain[2], chain[3]);
        parents[2 * i + 1] = make_uint4(chain[4], chain[5], chain[6], chain[7]);
    }
}
