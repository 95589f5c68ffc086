// The base field, p = 2^64 - 2^32 + 1. A value is any u64 that is congruent to it; gl_canonical() before one is compared, hashed or
// handed to the host.
#pragma once
#include "platform.cuh"

#define GL_P 0xffffffff00000001ULL
#define GL_EPSILON 0xffffffffu  // 2^64 = 2^32 - 1 modulo p

DEVICE u64 gl_canonical(u64 a) {
    // a + epsilon carries exactly if a >= p.
    u32 l = ptx::add_cc(ptx::lo(a), GL_EPSILON), h = ptx::addc_cc(ptx::hi(a), 0), carry = ptx::addc(0, 0);
    return carry ? ptx::pack(l, h) : a;
}

// The first fold of a carry can wrap once more, if both values were at least p; the second cannot.
DEVICE u64 gl_add(u64 a, u64 b) {
    u32 l = ptx::add_cc(ptx::lo(a), ptx::lo(b)), h = ptx::addc_cc(ptx::hi(a), ptx::hi(b)), carry = ptx::addc(0, 0);
    l = ptx::mad_lo_cc(carry, GL_EPSILON, l), h = ptx::madc_hi_cc(carry, GL_EPSILON, h), carry = ptx::addc(0, 0);
    l = ptx::mad_lo_cc(carry, GL_EPSILON, l), h = ptx::madc_hi(carry, GL_EPSILON, h);
    return ptx::pack(l, h);
}

DEVICE u64 gl_sub(u64 a, u64 b) {
    u32 l = ptx::sub_cc(ptx::lo(a), ptx::lo(b)), h = ptx::subc_cc(ptx::hi(a), ptx::hi(b)), mask = ptx::subc(0, 0);
    l = ptx::sub_cc(l, mask), h = ptx::subc_cc(h, 0), mask = ptx::subc(0, 0);
    l = ptx::sub_cc(l, mask), h = ptx::subc(h, 0);
    return ptx::pack(l, h);
}

// r1:r0 + carry * 2^64 for a carry in {-1, 0, 1}; the sum with carry * epsilon must not wrap.
DEVICE u64 gl_fold(u32 r0, u32 r1, u32 carry) {
    u32 sign = (u32)(-(int)carry >> 1);  // all ones if the carry is 1
    r0 = ptx::sub_cc(r0, carry), r1 = ptx::subc(r1, sign);
    return ptx::pack(r0, r1);
}

// r3:r2:r1:r0, as r1:r0 + (r2 << 32) - (r2 + r3). No multiplication: those are what the field is short of on a GPU.
// With carry 1 the rest is at most 2^64 - 2^33, with carry -1 at least that.
DEVICE u64 gl_reduce(u32 r0, u32 r1, u32 r2, u32 r3) {
    u32 t0 = ptx::add_cc(r2, r3), t1 = ptx::addc(0, 0);
    r0 = ptx::sub_cc(r0, t0), r1 = ptx::subc_cc(r1, t1);
    u32 carry = ptx::subc(0, 0);
    r1 = ptx::add_cc(r1, r2), carry = ptx::addc(carry, 0);
    return gl_fold(r0, r1, carry);
}

DEVICE u64 gl_mul(u64 a, u64 b) {
    u64 l = a * b, h = __umul64hi(a, b);
    return gl_reduce(ptx::lo(l), ptx::hi(l), ptx::lo(h), ptx::hi(h));
}

// a * 2^BITS, 0 < BITS < 64.
template <int BITS>
DEVICE u64 gl_shift(u64 a) {
    u64 l = a << BITS, h = a >> (64 - BITS);
    return gl_reduce(ptx::lo(l), ptx::hi(l), ptx::lo(h), ptx::hi(h));
}

// The integer, for |x| < p.
DEVICE u64 gl_from_int(i64 x) { return x < 0 ? GL_P + (u64)x : (u64)x; }

// An element of a vector of integers, or of field elements, as one.
template <class T>
DEVICE u64 gl_word(T x) { return gl_from_int(x); }
template <>
DEVICE u64 gl_word<u64>(u64 x) { return x; }

// base^exponent.
DEVICE u64 gl_pow(u64 base, u64 exponent) {
    u64 power = 1;
    for (; exponent; exponent >>= 1, base = gl_mul(base, base))
        if (exponent & 1) power = gl_mul(power, base);
    return power;
}

// A sum of products, unreduced in two chains that are aligned to the words: e holds a0 b0 + a1 b1 2^64, o holds the mixed products, to be
// shifted by 2^32. Room for 2^32 - 1 products.
struct gl_sum {
    u32 e0, e1, e2, e3, e4, o0, o1, o2;
};

DEVICE gl_sum gl_sum_zero() { return gl_sum{0, 0, 0, 0, 0, 0, 0, 0}; }

DEVICE void gl_sum_mac(gl_sum& s, u64 a, u64 b) {
    u32 a0 = ptx::lo(a), a1 = ptx::hi(a), b0 = ptx::lo(b), b1 = ptx::hi(b);
    s.e0 = ptx::mad_lo_cc(a0, b0, s.e0), s.e1 = ptx::madc_hi_cc(a0, b0, s.e1);
    s.e2 = ptx::madc_lo_cc(a1, b1, s.e2), s.e3 = ptx::madc_hi_cc(a1, b1, s.e3), s.e4 = ptx::addc(s.e4, 0);
    s.o0 = ptx::mad_lo_cc(a0, b1, s.o0), s.o1 = ptx::madc_hi_cc(a0, b1, s.o1), s.o2 = ptx::addc(s.o2, 0);
    s.o0 = ptx::mad_lo_cc(a1, b0, s.o0), s.o1 = ptx::madc_hi_cc(a1, b0, s.o1), s.o2 = ptx::addc(s.o2, 0);
}

DEVICE void gl_sum_add(gl_sum& s, const gl_sum& t) {
    s.e0 = ptx::add_cc(s.e0, t.e0), s.e1 = ptx::addc_cc(s.e1, t.e1), s.e2 = ptx::addc_cc(s.e2, t.e2);
    s.e3 = ptx::addc_cc(s.e3, t.e3), s.e4 = ptx::addc(s.e4, t.e4);
    s.o0 = ptx::add_cc(s.o0, t.o0), s.o1 = ptx::addc_cc(s.o1, t.o1), s.o2 = ptx::addc(s.o2, t.o2);
}

// As gl_reduce; the fifth word's 2^128 = -2^32 is taken off the second.
DEVICE u64 gl_sum_reduce(gl_sum s) {
    s.e1 = ptx::add_cc(s.e1, s.o0), s.e2 = ptx::addc_cc(s.e2, s.o1), s.e3 = ptx::addc_cc(s.e3, s.o2), s.e4 = ptx::addc(s.e4, 0);
    u32 r0 = s.e0, r1 = s.e1;
    u32 t0 = ptx::add_cc(s.e2, s.e3), t1 = ptx::addc(s.e4, 0);
    r0 = ptx::sub_cc(r0, t0), r1 = ptx::subc_cc(r1, t1);
    u32 carry = ptx::subc(0, 0);
    r1 = ptx::add_cc(r1, s.e2), carry = ptx::addc(carry, 0);
    return gl_fold(r0, r1, carry);
}
