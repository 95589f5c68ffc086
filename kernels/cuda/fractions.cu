// Trees of fractions p / (1 + q): their layers, and the rounds of the sumcheck over one of them.
#include "index.cuh"
#include "reduce.cuh"

// Adds the neighbours of every row; an odd end stays alone.
KERNEL(add_fractions, THREADS, (const gl3* p, const gl3* q, u64 length, u64 n, gl3* out_p, gl3* out_q)) {
    u64 half = (length + 1) / 2;
    FOR_EACH(i, n) {
        u64 row = divide(i, half), place = row * length + 2 * (i - row * half);
        gl3 sum_p = p[place], sum_q = q[place];
        if (place + 1 < (row + 1) * length) {
            gl3 p1 = p[place + 1], q1 = q[place + 1], one = gl3_of(1);
            sum_p = gl3_add(gl3_mul(sum_p, gl3_add(one, q1)), gl3_mul(p1, gl3_add(one, sum_q)));
            sum_q = gl3_add(gl3_add(sum_q, q1), gl3_mul(sum_q, q1));
        }
        out_p[i] = sum_p, out_q[i] = sum_q;
    }
}

// From eq over one more variable's prefix: entry 2i is the share of 0, 2i + 1 of 1, in rows of this length.
KERNEL(eq_extend, THREADS, (const gl3* table, gl3 x, u64 length, u64 n, gl3* out)) {
    u64 half = (length + 1) / 2;
    FOR_EACH(i, n) {
        u64 row = divide(i, length), column = i - row * length;
        gl3 parent = table[row * half + column / 2], one = gl3_mul(parent, x);
        out[i] = column % 2 ? one : gl3_sub(parent, one);
    }
}

// Of the fractions p0 / (1 + q0) and p1 / (1 + q1) of every pair of neighbours: p0 + c q0, q0, p1, q1; past an odd end is the fraction 0.
KERNEL(split_fractions, THREADS,
       (const gl3* p, const gl3* q, u64 length, u64 n, gl3 c, gl3* even, gl3* q_even, gl3* p_odd, gl3* q_odd)) {
    u64 half = (length + 1) / 2;
    FOR_EACH(i, n) {
        u64 row = divide(i, half), place = row * length + 2 * (i - row * half);
        bool odd_end = place + 1 == (row + 1) * length;
        gl3 q0 = q[place];
        even[i] = gl3_add(p[place], gl3_mul(c, q0)), q_even[i] = q0;
        p_odd[i] = odd_end ? gl3_of(0) : p[place + 1], q_odd[i] = odd_end ? gl3_of(0) : q[place + 1];
    }
}

// A linear polynomial by its values at 0 and 1.
struct Line {
    gl3 lo, hi;
};

// The line's ends in a row; past an odd end is zero.
DEVICE Line line_at(const gl3* values, u64 place, bool odd_end) { return Line{values[place], odd_end ? gl3_of(0) : values[place + 1]}; }

// Adds the product's value at 0 and its leading coefficient.
DEVICE void add_product(gl3 h[2], const Line& x, const Line& y) {
    h[0] = gl3_add(h[0], gl3_mul(x.lo, y.lo));
    h[1] = gl3_add(h[1], gl3_mul(gl3_sub(x.hi, x.lo), gl3_sub(y.hi, y.lo)));
}

// See `Device::fraction_round`: of even + p_odd + q_odd (even + c) + p_odd q_even.
KERNEL(fraction_round, THREADS,
       (const gl3* even, const gl3* q_even, const gl3* p_odd, const gl3* q_odd, const gl3* eq, u64 length, u64 n, gl3 c, gl3* partial)) {
    u64 half = (length + 1) / 2;
    gl3 sums[2] = {gl3_of(0), gl3_of(0)};
    FOR_EACH(i, n) {
        u64 row = divide(i, half), place = row * length + 2 * (i - row * half);
        bool odd_end = place + 1 == (row + 1) * length;
        Line u = line_at(even, place, odd_end), p1 = line_at(p_odd, place, odd_end);
        gl3 h[2] = {gl3_add(u.lo, p1.lo), gl3_of(0)};
        add_product(h, p1, line_at(q_even, place, odd_end));
        u = Line{gl3_add(u.lo, c), gl3_add(u.hi, c)};
        add_product(h, u, line_at(q_odd, place, odd_end));
        gl3 weight = eq[i];
#pragma unroll
        for (u32 k = 0; k < 2; k++) sums[k] = gl3_add(sums[k], gl3_mul(weight, h[k]));
    }
#pragma unroll
    for (u32 k = 0; k < 2; k++) put_partial(partial, 2, k, sums[k]);
}
