// BLAKE3 of matrix rows, and Merkle trees over them: what `verifier::commitment::TreeScheme` computes.
#include "blake3.cuh"
#include "goldilocks.cuh"

const u32 ROWS = 128;

// The digest of every row of `width` words, at most 128: one chunk. The matrix has `columns` words of each, from word `from` on; of those
// before it the digest's place has the chaining value. Digests are 2^log_step places apart. One thread for each row, rows through shared
// memory.
KERNEL(hash_rows, ROWS, (const u64* matrix, u64 rows, u32 from, u32 columns, u32 width, u32 log_step, u32* digests)) {
    __shared__ u64 tile[ROWS][BLOCK_WORDS / 2 + 1];
    for (u64 first = blockIdx.x * (u64)ROWS; first < rows; first += gridDim.x * (u64)ROWS) {
        u32 chain[8];
        begin(chain);
        if (from && first + threadIdx.x < rows) {
#pragma unroll
            for (u32 i = 0; i < 8; i++) chain[i] = digests[8 * ((first + threadIdx.x) << log_step) + i];
        }
        for (u32 done = 0; done < columns; done += BLOCK_WORDS / 2) {
            __syncthreads();
            for (u32 t = threadIdx.x; t < ROWS * (BLOCK_WORDS / 2); t += ROWS) {
                u32 row = t / (BLOCK_WORDS / 2), word = t % (BLOCK_WORDS / 2);
                bool inside = first + row < rows && done + word < columns;
                tile[row][word] = inside ? gl_canonical(matrix[(first + row) * columns + done + word]) : 0;
            }
            __syncthreads();
            u32 block[BLOCK_WORDS];
#pragma unroll
            for (u32 i = 0; i < BLOCK_WORDS; i++)
                block[i] = i % 2 ? ptx::hi(tile[threadIdx.x][i / 2]) : ptx::lo(tile[threadIdx.x][i / 2]);
            u32 left = width - from - done, flags = from + done == 0 ? CHUNK_START : 0;
            if (left <= BLOCK_WORDS / 2) flags |= CHUNK_END | ROOT;
            compress<7>(chain, block, 0, left < BLOCK_WORDS / 2 ? 8 * left : BLOCK_BYTES, flags);
        }
        if (first + threadIdx.x < rows)
            for (u32 i = 0; i < 8; i++) digests[8 * ((first + threadIdx.x) << log_step) + i] = chain[i];
    }
}

// The digest of every pair of digests.
KERNEL(hash_pairs, ROWS, (const uint4* children, u64 pairs, uint4* parents)) {
    FOR_EACH(i, pairs) {
        u32 chain[8], block[BLOCK_WORDS];
        begin(chain);
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            uint4 words = children[4 * i + k];
            block[4 * k] = words.x, block[4 * k + 1] = words.y, block[4 * k + 2] = words.z, block[4 * k + 3] = words.w;
        }
        compress<7>(chain, block, 0, BLOCK_BYTES, CHUNK_START | CHUNK_END | ROOT);
        parents[2 * i] = make_uint4(chain[0], chain[1], chain[2], chain[3]);
        parents[2 * i + 1] = make_uint4(chain[4], chain[5], chain[6], chain[7]);
    }
}
