// Roots of unity from two short tables: the powers g^0, g^1, .. and g^0, g^(2^split), ..
#pragma once
#include "goldilocks.cuh"

struct Roots {
    const u64 *low, *high;
    u32 log_order, split;
};

// g^exponent, for exponents below the order.
DEVICE u64 root(const Roots& roots, u64 exponent) {
    u64 low = roots.low[exponent & ((1ull << roots.split) - 1)], high = roots.high[exponent >> roots.split];
    return gl_mul(low, high);
}
