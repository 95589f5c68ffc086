// BLAKE3's compression function.
#pragma once
#include "platform.cuh"

__constant__ u32 IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
const u32 CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8;
const u32 BLOCK_WORDS = 16, BLOCK_BYTES = 64;

DEVICE u32 rotate(u32 x, u32 bits) { return __funnelshift_r(x, x, bits); }

DEVICE void mix(u32& a, u32& b, u32& c, u32& d, u32 x, u32 y) {
    a += b + x, d = rotate(d ^ a, 16), c += d, b = rotate(b ^ c, 12);
    a += b + y, d = rotate(d ^ a, 8), c += d, b = rotate(b ^ c, 7);
}

DEVICE void begin(u32 chain[8]) {
#pragma unroll
    for (u32 i = 0; i < 8; i++) chain[i] = IV[i];
}

// The chaining value after one more block, of this many bytes, of chunk number `chunk`. UNROLL rounds at a time: all seven where many
// threads hash, one where a single thread does, which would wait for the instructions.
template <u32 UNROLL>
DEVICE void compress(u32 chain[8], const u32 block[BLOCK_WORDS], u64 chunk, u32 bytes, u32 flags) {
    u32 m[16], s[16];
#pragma unroll
    for (u32 i = 0; i < 16; i++) m[i] = block[i];
#pragma unroll
    for (u32 i = 0; i < 8; i++) s[i] = chain[i];
#pragma unroll
    for (u32 i = 0; i < 4; i++) s[8 + i] = IV[i];
    s[12] = (u32)chunk, s[13] = (u32)(chunk >> 32), s[14] = bytes, s[15] = flags;
#pragma unroll UNROLL
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
