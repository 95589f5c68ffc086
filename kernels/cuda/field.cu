// The arithmetic by itself, for its tests: eight canonical words for each pair of words, four for each pair of extension elements; the
// transcript; and tensor cores.
#include "transcript.cuh"

KERNEL(field_ops, THREADS, (const u64* a, const u64* b, u64 n, u64* out)) {
    FOR_EACH(i, n) {
        u64 x = a[i], y = b[i];
        gl_sum sum = gl_sum_zero();
        gl_sum_mac(sum, x, y), gl_sum_mac(sum, x, x), gl_sum_mac(sum, y, y), gl_sum_mac(sum, y, x);
        gl_sum twice = sum;
        gl_sum_add(twice, sum);
        u64 results[8] = {gl_mul(x, y),         gl_add(x, y),        gl_sub(x, y),   gl_shift<24>(x),
                          gl_shift<48>(x),      gl_sum_reduce(sum),  gl_sum_reduce(twice), gl_pow(x, y % 1000)};
        for (u32 k = 0; k < 8; k++) out[8 * i + k] = gl_canonical(results[k]);
    }
}

KERNEL(extension_ops, THREADS, (const gl3* a, const gl3* b, u64 n, gl3* out)) {
    FOR_EACH(i, n) {
        gl3_sum sum = gl3_sum_zero();
        gl3_sum_mac(sum, a[i], b[i].a), gl3_sum_mac(sum, b[i], b[i].b);
        out[4 * i] = gl3_canonical(gl3_mul(a[i], b[i]));
        out[4 * i + 1] = gl3_canonical(gl3_line(a[i], b[i], gl3{b[i].c, a[i].b, 3}));
        out[4 * i + 2] = gl3_canonical(gl3_sum_reduce(sum));
        out[4 * i + 3] = gl3_canonical(gl3_scale(a[i], b[i].a));
    }
}

// Absorbs `count` elements in each round and draws a challenge, of words whose first bit is zero: every second one is passed over.
KERNEL(transcript_ops, THREADS, (u64* transcript, const gl3* elements, u32 count, u32 rounds, gl3* out)) {
    if (threadIdx.x > 0) return;
    for (u32 round = 0; round < rounds; round++) {
        absorb(transcript, elements + round * count, count);
        out[round] = draw<1ull << 63>(transcript);
    }
}

// Products of n pairs of matrices, each a warp's: what lane after lane holds of them, four words and two, and the four sums of each lane that
// become of 1, 2, 3, 4, once for each pair of signs.
KERNEL(mma_ops, THREADS, (const u32* a, const u32* b, u64 n, i32* out)) {
    u64 pair = (blockIdx.x * (u64)blockDim.x + threadIdx.x) / 32, lane = pair * 32 + threadIdx.x % 32;
    if (pair >= n) return;
    u32 left[4], right[2];
    for (u32 r = 0; r < 4; r++) left[r] = a[4 * lane + r];
    for (u32 r = 0; r < 2; r++) right[r] = b[2 * lane + r];
    i32 sums[4][4] = {{1, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3, 4}};
    ptx::mma(false, false, sums[0], left, right), ptx::mma(false, true, sums[1], left, right);
    ptx::mma(true, false, sums[2], left, right), ptx::mma(true, true, sums[3], left, right);
    for (u32 signs = 0; signs < 4; signs++)
        for (u32 r = 0; r < 4; r++) out[16 * lane + 4 * signs + r] = sums[signs][r];
}
