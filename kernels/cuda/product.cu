// Sums over products of tensors that share axes, and the sumcheck over them: see `Device::product_sumcheck`.
#include "index.cuh"
#include "integers.cuh"
#include "reduce.cuh"
#include "transcript.cuh"

// A factor in one round.
struct Factor {
    const void* values;
    u64 bytes;     // of an integer; 0 for field elements
    gl3* folded;   // where they go once they are folded
    u64 unfolded;  // length of the rows that the last challenge folds; 0 if it folds none
    u64 in_row;    // whether it has the axis whose last bit is the variable
    u64 first_digit, digits;
};

// Indices over the axes before the variable's, and the length of the variable's.
struct Round {
    u64 outer, length;
};

// All rounds: one for each variable and one more, in which only the last challenge is left to fold in; for each its factors.
struct Sumcheck {
    const Round* rounds;
    const Factor* factors;
    const Digit* digits;
    u64* transcript;
    gl3 *messages, *challenges, *values;
    u32 count, degree, variables;
    gl3 scale;
};

DEVICE gl3 cell(const Factor& factor, u64 place) {
    return factor.bytes ? gl3_of(gl_from_int(get(factor.values, factor.bytes, place))) : ((const gl3*)factor.values)[place];
}

KERNEL(product_total, THREADS, (const Factor* factors, u32 count, const Digit* digits, u64 joint, gl3* partial)) {
    gl3 sum = gl3_of(0);
    FOR_EACH(i, joint) {
        gl3 product = gl3_of(1);
        for (u32 f = 0; f < count; f++) {
            const Factor& factor = factors[f];
            gl3 value = cell(factor, project(digits + factor.first_digit, factor.digits, i));
            product = f == 0 ? value : gl3_mul(product, value);
        }
        sum = gl3_add(sum, product);
    }
    put_partial(partial, 1, 0, sum);
}

// Entry `i` of row `row`, folded by x if there is a challenge to fold; past an odd end is zero.
DEVICE gl3 entry(const Factor& factor, u64 row, u64 length, u64 i, gl3 x) {
    if (!factor.unfolded) return cell(factor, row * length + i);
    Pair pair = pair_of(row, length, i, factor.unfolded);
    return gl3_line(cell(factor, pair.place), pair.odd_end ? gl3_of(0) : cell(factor, pair.place + 1), x);
}

// Points whose values are summed in one go: registers for more would spill.
const u32 POINTS = 3;

// The sums of this thread at the points number first .. of 0, 2, 3, ..: all but 0 are one more than their numbers. What the last challenge
// folds is folded on the way, and stored with the first points, of several threads that meet one place by the one with the least index.
DEVICE void product_sums(const Sumcheck& sumcheck, u32 number, u32 first, gl3 sums[POINTS]) {
    const Factor* factors = sumcheck.factors + (u64)number * sumcheck.count;
    u64 outer = sumcheck.rounds[number].outer, length = sumcheck.rounds[number].length, half = (length + 1) / 2;
    gl3 x = number > 0 ? sumcheck.challenges[number - 1] : gl3_of(0);
#pragma unroll
    for (u32 k = 0; k < POINTS; k++) sums[k] = gl3_of(0);
    FOR_EACH(i, outer * half) {
        u64 row = divide(i, half), column = 2 * (i - row * half);
        gl3 products[POINTS];
        for (u32 f = 0; f < sumcheck.count; f++) {
            const Factor& factor = factors[f];
            Place at = locate(sumcheck.digits + factor.first_digit, factor.digits, row);
            u64 in_row = factor.in_row ? length : 1, from = factor.in_row ? column : 0;
            bool pair = from + 1 < in_row;
            gl3 value = entry(factor, at.place, in_row, from, x);
            gl3 next = pair ? entry(factor, at.place, in_row, from + 1, x) : gl3_of(0);
            if (factor.unfolded && first == 0 && at.is_least && (factor.in_row || column == 0)) {
                gl3* folded = factor.folded + at.place * in_row + from;
                folded[0] = value;
                if (pair) folded[1] = next;
            }
            gl3 step = factor.in_row ? gl3_sub(next, value) : gl3_of(0);
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
}

// The partial sums of a round's message; blockIdx.y says at which points.
KERNEL(product_round, THREADS, (Sumcheck sumcheck, u32 number, gl3* partial)) {
    u32 first = POINTS * blockIdx.y;
    gl3 sums[POINTS];
    product_sums(sumcheck, number, first, sums);
#pragma unroll
    for (u32 k = 0; k < POINTS; k++)
        if (first + k < sumcheck.degree) put_partial(partial, sumcheck.degree, first + k, sums[k]);
}

// Writes one of the message's values, given the sum.
DEVICE void put_value(const Sumcheck& sumcheck, u32 number, u32 index, gl3 sum) {
    sumcheck.messages[(u64)number * sumcheck.degree + index] = gl3_canonical(gl3_mul(sumcheck.scale, sum));
}

// Absorbs the message that the block's first thread has written and draws the challenge, for the block to read.
DEVICE void product_challenge(const Sumcheck& sumcheck, u32 number) {
    if (threadIdx.x == 0) {
        absorb(sumcheck.transcript, sumcheck.messages + (u64)number * sumcheck.degree, sumcheck.degree);
        sumcheck.challenges[number] = draw<GL_P>(sumcheck.transcript);
    }
    __syncthreads();
}

// The message from the partial sums, and the challenge: one block.
KERNEL(product_message, THREADS, (Sumcheck sumcheck, u32 number, const gl3* partial, u32 blocks)) {
    for (u32 index = 0; index < sumcheck.degree; index++) {
        gl3 sum = partial_sum(partial, blocks, sumcheck.degree, index);
        if (threadIdx.x == 0) put_value(sumcheck, number, index, sum);
    }
    product_challenge(sumcheck, number);
}

// All rounds from this one on, and what is left of the factors: one block, for what many would only wait for each other for.
KERNEL(product_rest, THREADS, (Sumcheck sumcheck, u32 number)) {
    for (; number < sumcheck.variables; number++) {
        for (u32 first = 0; first < sumcheck.degree; first += POINTS) {
            gl3 sums[POINTS];
            product_sums(sumcheck, number, first, sums);
#pragma unroll
            for (u32 k = 0; k < POINTS; k++) {
                if (first + k >= sumcheck.degree) break;
                gl3 sum = block_sum(sums[k]);
                if (threadIdx.x == 0) put_value(sumcheck, number, first + k, sum);
            }
        }
        product_challenge(sumcheck, number);
    }
    for (u32 f = threadIdx.x; f < sumcheck.count; f += blockDim.x) {
        const Factor& factor = sumcheck.factors[(u64)number * sumcheck.count + f];
        gl3 x = number > 0 ? sumcheck.challenges[number - 1] : gl3_of(0);
        sumcheck.values[f] = gl3_canonical(entry(factor, 0, 1, 0, x));
    }
}
