// `verifier::transcript::Challenger` on the device. One thread of a block absorbs and draws.
//
// A transcript is the number of bytes that the next digest is of (the last digest, and what was absorbed since), then these bytes as
// little-endian words, zeros after the last of them; there is room for one more message.
#pragma once
#include "blake3.cuh"
#include "extension.cuh"

const u64 CHUNK_BYTES = 1024;
const u32 DEPTH = 32;

DEVICE u32 reverse_bytes(u32 x) { return x >> 24 | (x >> 8 & 0xff00) | (x << 8 & 0xff0000) | x << 24; }

// Replaces the chaining value of a right child by the parent's.
DEVICE void to_parent(const u32* left, u32 chain[8], u32 flags) {
    u32 block[BLOCK_WORDS];
#pragma unroll
    for (u32 i = 0; i < 8; i++) block[i] = left[i], block[8 + i] = chain[i];
    begin(chain);
    compress<1>(chain, block, 0, BLOCK_BYTES, PARENT | flags);
}

// BLAKE3 of the bytes: chunks are the leaves of a binary tree, as full on the left as can be.
DEVICE void digest(const u64* words, u64 bytes, u32 chain[8]) {
    __shared__ u32 finished[DEPTH][8];  // subtrees that lack their right sibling
    u64 chunks = bytes > CHUNK_BYTES ? (bytes + CHUNK_BYTES - 1) / CHUNK_BYTES : 1;
    u32 depth = 0;
    for (u64 chunk = 0;; chunk++) {
        bool last = chunk + 1 == chunks;
        u64 end = last ? bytes : (chunk + 1) * CHUNK_BYTES, at = chunk * CHUNK_BYTES;
        u32 flags = CHUNK_START;
        begin(chain);
        do {
            u64 left = end - at;
            u32 block[BLOCK_WORDS];
#pragma unroll
            for (u32 i = 0; i < BLOCK_WORDS / 2; i++) {
                u64 word = 8 * i < left ? words[at / 8 + i] : 0;
                block[2 * i] = ptx::lo(word), block[2 * i + 1] = ptx::hi(word);
            }
            if (left <= BLOCK_BYTES) flags |= CHUNK_END | (chunks == 1 ? ROOT : 0);
            compress<1>(chain, block, chunk, left < BLOCK_BYTES ? (u32)left : BLOCK_BYTES, flags);
            flags = 0, at += BLOCK_BYTES;
        } while (at < end);
        if (last) break;
        for (u64 done = chunk + 1; done % 2 == 0; done /= 2) to_parent(finished[--depth], chain, 0);
        for (u32 i = 0; i < 8; i++) finished[depth][i] = chain[i];
        depth++;
    }
    while (depth > 0) depth--, to_parent(finished[depth], chain, depth == 0 ? ROOT : 0);
}

// Absorbs elements that are canonical.
DEVICE void absorb(u64* transcript, const gl3* elements, u32 count) {
    u64* words = transcript + 1 + transcript[0] / 8;
    u32 shift = 8 * (u32)(transcript[0] % 8);
    u64 rest = shift ? *words : 0;
    const u64* from = (const u64*)elements;
    for (u32 i = 0; i < 3 * count; i++) {
        *words++ = rest | from[i] << shift;
        rest = shift ? from[i] >> (64 - shift) : 0;
    }
    if (shift) *words = rest;
    transcript[0] += 24 * count;
}

// A challenge: three words below the bound, which is the modulus but in tests, as they come; bytes are drawn from a digest's end backwards.
template <u64 BOUND>
DEVICE gl3 draw(u64* transcript) {
    u64* words = transcript + 1;
    gl3 drawn = gl3_of(0);
    u32 count = 0;
    do {
        u32 chain[8];
        digest(words, transcript[0], chain);
        transcript[0] = 32;
#pragma unroll
        for (u32 i = 0; i < 4; i++) words[i] = ptx::pack(chain[2 * i], chain[2 * i + 1]);
#pragma unroll
        for (u32 i = 4; i-- > 0;) {
            u64 word = ptx::pack(reverse_bytes(chain[2 * i + 1]), reverse_bytes(chain[2 * i]));
            if (word < BOUND && count < 3) drawn = gl3{drawn.b, drawn.c, word}, count++;
        }
    } while (count < 3);
    return drawn;
}
