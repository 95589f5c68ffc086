// The challenge field F[x] / (x^3 - x - 1): three words side by side, as the host has them.
#pragma once
#include "goldilocks.cuh"

struct gl3 {
    u64 a, b, c;
};

DEVICE gl3 gl3_of(u64 a) { return gl3{a, 0, 0}; }
DEVICE gl3 gl3_add(gl3 x, gl3 y) { return gl3{gl_add(x.a, y.a), gl_add(x.b, y.b), gl_add(x.c, y.c)}; }
DEVICE gl3 gl3_sub(gl3 x, gl3 y) { return gl3{gl_sub(x.a, y.a), gl_sub(x.b, y.b), gl_sub(x.c, y.c)}; }
DEVICE gl3 gl3_scale(gl3 x, u64 y) { return gl3{gl_mul(x.a, y), gl_mul(x.b, y), gl_mul(x.c, y)}; }
DEVICE gl3 gl3_canonical(gl3 x) { return gl3{gl_canonical(x.a), gl_canonical(x.b), gl_canonical(x.c)}; }

// Nine products and three reductions; sums of products are not reduced.
DEVICE gl3 gl3_mul(gl3 x, gl3 y) {
    gl_sum cubes = gl_sum_zero();  // x^3 = x + 1
    gl_sum_mac(cubes, x.b, y.c), gl_sum_mac(cubes, x.c, y.b);
    gl_sum squares = gl_sum_zero();  // and x^4 = x^2 + x
    gl_sum_mac(squares, x.c, y.c);
    gl_sum linear = cubes;
    gl_sum_add(linear, squares);
    gl_sum_mac(linear, x.a, y.b), gl_sum_mac(linear, x.b, y.a);
    gl_sum_mac(cubes, x.a, y.a);
    gl_sum_mac(squares, x.a, y.c), gl_sum_mac(squares, x.c, y.a), gl_sum_mac(squares, x.b, y.b);
    return gl3{gl_sum_reduce(cubes), gl_sum_reduce(linear), gl_sum_reduce(squares)};
}

// The line through lo at 0 and hi at 1, at x.
DEVICE gl3 gl3_line(gl3 lo, gl3 hi, gl3 x) { return gl3_add(lo, gl3_mul(gl3_sub(hi, lo), x)); }

// A sum of multiples by base field elements.
struct gl3_sum {
    gl_sum a, b, c;
};

DEVICE gl3_sum gl3_sum_zero() { return gl3_sum{gl_sum_zero(), gl_sum_zero(), gl_sum_zero()}; }
DEVICE void gl3_sum_mac(gl3_sum& s, gl3 x, u64 y) { gl_sum_mac(s.a, x.a, y), gl_sum_mac(s.b, x.b, y), gl_sum_mac(s.c, x.c, y); }
DEVICE gl3 gl3_sum_reduce(const gl3_sum& s) { return gl3{gl_sum_reduce(s.a), gl_sum_reduce(s.b), gl_sum_reduce(s.c)}; }
