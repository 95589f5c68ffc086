// Sums of products of a vector's elements, integers or field elements, with weights in the challenge field.
#pragma once
#include "extension.cuh"

// Elements may be shifted by BIAS to be positive: who adds them up takes BIAS times the sum of the weights off again.
template <class T>
struct Dot {
    static constexpr u32 BIAS = 0;
    gl3_sum sum;
    DEVICE Dot() : sum(gl3_sum_zero()) {}
    DEVICE void add(T x, gl3 weight) { gl3_sum_mac(sum, weight, gl_word(x)); }
    DEVICE gl3 total() const { return gl3_sum_reduce(sum); }
};

template <>
struct Dot<gl3> {
    gl3 sum;
    DEVICE Dot() : sum(gl3_of(0)) {}
    DEVICE void add(gl3 x, gl3 weight) { sum = gl3_add(sum, gl3_mul(x, weight)); }
    DEVICE gl3 total() const { return sum; }
};

// Narrow integers times half words are below 2^48: up to 2^16 of them fit a word, with no carry to follow.
template <class T, u32 SHIFT>
struct Narrow {
    static constexpr u32 BIAS = SHIFT;
    u64 lo[3], hi[3];
    DEVICE Narrow() : lo{0, 0, 0}, hi{0, 0, 0} {}
    DEVICE void add(T x, gl3 weight) {
        u64 shifted = (u32)((i32)x + (i32)BIAS), words[3] = {weight.a, weight.b, weight.c};
#pragma unroll
        for (u32 k = 0; k < 3; k++) lo[k] += shifted * ptx::lo(words[k]), hi[k] += shifted * ptx::hi(words[k]);
    }
    DEVICE u64 word(u32 k) const {
        u32 r1 = ptx::add_cc(ptx::hi(lo[k]), ptx::lo(hi[k])), r2 = ptx::addc(ptx::hi(hi[k]), 0);
        return gl_reduce(ptx::lo(lo[k]), r1, r2, 0);
    }
    DEVICE gl3 total() const { return gl3{word(0), word(1), word(2)}; }
};

template <>
struct Dot<i8> : Narrow<i8, 1u << 7> {};
template <>
struct Dot<i16> : Narrow<i16, 1u << 15> {};
