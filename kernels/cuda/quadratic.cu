// Rounds of a sumcheck over the product of two vectors, the least significant bit of an index as the variable.
#include "reduce.cuh"

// The constant and the leading coefficient of the product of two lines.
DEVICE void add_product(gl3& constant, gl3& leading, gl3 a0, gl3 a1, gl3 b0, gl3 b1) {
    constant = gl3_add(constant, gl3_mul(a0, b0));
    leading = gl3_add(leading, gl3_mul(gl3_sub(a1, a0), gl3_sub(b1, b0)));
}

KERNEL(quadratic_round, THREADS, (const gl3* a, const gl3* b, u64 pairs, gl3* partial)) {
    gl3 constant = gl3_of(0), leading = gl3_of(0);
    FOR_EACH(i, pairs) add_product(constant, leading, a[2 * i], a[2 * i + 1], b[2 * i], b[2 * i + 1]);
    put_partial(partial, 2, 0, constant);
    put_partial(partial, 2, 1, leading);
}

// out[i] = the line through values[2i] and values[2i + 1], at x.
KERNEL(fold, THREADS, (const gl3* values, u64 n, gl3 x, gl3* out)) {
    FOR_EACH(i, n) out[i] = gl3_line(values[2 * i], values[2 * i + 1], x);
}

// Sets the variable to x in both vectors and sums the next round of what is left, in one pass over memory.
KERNEL(quadratic_fold_round, THREADS, (const gl3* a, const gl3* b, u64 pairs, gl3 x, gl3* out_a, gl3* out_b, gl3* partial)) {
    gl3 constant = gl3_of(0), leading = gl3_of(0);
    FOR_EACH(i, pairs) {
        const gl3 *pa = a + 4 * i, *pb = b + 4 * i;
        gl3 a0 = gl3_line(pa[0], pa[1], x), a1 = gl3_line(pa[2], pa[3], x);
        gl3 b0 = gl3_line(pb[0], pb[1], x), b1 = gl3_line(pb[2], pb[3], x);
        out_a[2 * i] = a0, out_a[2 * i + 1] = a1;
        out_b[2 * i] = b0, out_b[2 * i + 1] = b1;
        add_product(constant, leading, a0, a1, b0, b1);
    }
    put_partial(partial, 2, 0, constant);
    put_partial(partial, 2, 1, leading);
}
