// Sums over products of tensors that share axes, and their rounds: see `Device::product_round`.
#include "index.cuh"
#include "reduce.cuh"

struct Factor {
    const gl3* values;
    u64 in_row;  // whether it has the axis whose last bit is the variable
    u64 first_digit, digits;
};

KERNEL(product_total, THREADS, (const Factor* factors, u32 count, const Digit* digits, u64 joint, gl3* partial)) {
    gl3 sum = gl3_of(0);
    FOR_EACH(i, joint) {
        gl3 product = gl3_of(1);
        for (u32 f = 0; f < count; f++) {
            const Factor& factor = factors[f];
            gl3 value = factor.values[project(digits + factor.first_digit, factor.digits, i)];
            product = f == 0 ? value : gl3_mul(product, value);
        }
        sum = gl3_add(sum, product);
    }
    put_partial(partial, 1, 0, sum);
}

// Points whose values one block sums: registers for more would spill.
const u32 POINTS = 3;

// The values number POINTS * blockIdx.y .. of those at 0, 2, 3, ..: the points of all are 0 and one more than their numbers.
KERNEL(product_round, THREADS,
       (const Factor* factors, u32 count, const Digit* digits, u64 outer, u64 length, u32 degree, gl3* partial)) {
    u32 first = POINTS * blockIdx.y;
    u64 half = (length + 1) / 2;
    gl3 sums[POINTS] = {gl3_of(0), gl3_of(0), gl3_of(0)};
    FOR_EACH(i, outer * half) {
        u64 row = divide(i, half), column = 2 * (i - row * half);
        gl3 products[POINTS];
        for (u32 f = 0; f < count; f++) {
            const Factor& factor = factors[f];
            u64 place = project(digits + factor.first_digit, factor.digits, row);
            gl3 value = factor.values[factor.in_row ? place * length + column : place], step = gl3_of(0);
            if (factor.in_row) {
                gl3 next = column + 1 < length ? factor.values[place * length + column + 1] : gl3_of(0);
                step = gl3_sub(next, value);
            }
            if (first > 0) value = gl3_add(value, gl3_scale(step, first + 1));
#pragma unroll
            for (u32 k = 0; k < POINTS; k++) {
                if (k > 0) value = gl3_add(value, step);
                if (k == 1 && first == 0) value = gl3_add(value, step);
                products[k] = f == 0 ? value : gl3_mul(products[k], value);
            }
        }
#pragma unroll
        for (u32 k = 0; k < POINTS; k++) sums[k] = gl3_add(sums[k], products[k]);
    }
#pragma unroll
    for (u32 k = 0; k < POINTS; k++)
        if (first + k < degree) put_partial(partial, degree, first + k, sums[k]);
}
