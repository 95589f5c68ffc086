// Trees of fractions p / (1 + q): their layers, and the rounds of the sumcheck over one of them.
#include "index.cuh"
#include "reduce.cuh"
#include "transcript.cuh"

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

// A tree in one round of the sumcheck over a layer of several. Of the fractions p0 / (1 + q0) and p1 / (1 + q1) that are added its children
// are p0 + c q0, q0, p1, q1, in this order.
struct Tree {
    const gl3* children[4];  // as they are; or p and q of the layer below, before they are folded
    gl3* folded[4];          // where they go once they are
    const gl3* eq;           // one for each pair
    u64 below;               // length of the rows of the layer below, if the children lie there; 0 otherwise
    u64 length, pairs;       // of the rows whose pairs the variable tells apart; none once all variables are bound
    u64 unfolded;            // length of the rows that the last challenge folds; 0 before there is one
};

// A coordinate of the claim's point, and its inverse.
struct Coordinate {
    gl3 z, inverse;
};

// What the rounds so far leave: the claim on the sum of the quadratic factor, and eq of the bound variables.
struct Claim {
    gl3 value, bound;
};

// All rounds: one for each variable and one more, in which only the last challenge is left to fold in; for each its trees.
struct Layer {
    const Tree* trees;
    const gl3* powers;  // of c^2, one for each tree
    const Coordinate* coordinates;
    Claim* claim;
    u64* transcript;
    gl3 *messages, *challenges, *values;
    u32 count, variables;
    gl3 c;
};

const u32 MESSAGE = 3;

// Child number `child` of sum `i`; past an odd end is the fraction 0.
template <u32 CHILD>
DEVICE gl3 child_at(const Tree& tree, u64 i, gl3 c) {
    if (!tree.below) return tree.children[CHILD][i];
    u64 half = (tree.below + 1) / 2, row = divide(i, half), column = 2 * (i - row * half), place = row * tree.below + column;
    if (CHILD == 0) return gl3_add(tree.children[0][place], gl3_mul(c, tree.children[1][place]));
    if (CHILD == 1) return tree.children[1][place];
    return column + 1 < tree.below ? tree.children[CHILD - 2][place + 1] : gl3_of(0);
}

// The same, folded by x if there is a challenge to fold, and then stored.
template <u32 CHILD>
DEVICE gl3 folded_child(const Tree& tree, u64 row, u64 column, gl3 c, gl3 x) {
    u64 to = row * tree.length + column;
    if (!tree.unfolded) return child_at<CHILD>(tree, to, c);
    Pair pair = pair_of(row, tree.length, column, tree.unfolded);
    gl3 even = child_at<CHILD>(tree, pair.place, c), odd = pair.odd_end ? gl3_of(0) : child_at<CHILD>(tree, pair.place + 1, c);
    return tree.folded[CHILD][to] = gl3_line(even, odd, x);
}

// A linear polynomial by its values at 0 and 1.
struct Line {
    gl3 lo, hi;
};

template <u32 CHILD>
DEVICE Line child_line(const Tree& tree, u64 row, u64 column, gl3 c, gl3 x) {
    Line line{folded_child<CHILD>(tree, row, column, c, x), gl3_of(0)};
    if (column + 1 < tree.length) line.hi = folded_child<CHILD>(tree, row, column + 1, c, x);
    return line;
}

// Adds the product's value at 0 and its leading coefficient.
DEVICE void add_product(gl3 h[2], const Line& x, const Line& y) {
    h[0] = gl3_add(h[0], gl3_mul(x.lo, y.lo));
    h[1] = gl3_add(h[1], gl3_mul(gl3_sub(x.hi, x.lo), gl3_sub(y.hi, y.lo)));
}

// The sums of this thread: of u + p1 + p1 q0 + q1 (u + c), with u the first of the children, its value at 0 and its leading coefficient.
DEVICE void fraction_sums(const Layer& layer, u32 number, u32 index, gl3 sums[2]) {
    const Tree& tree = layer.trees[(u64)number * layer.count + index];
    u64 half = (tree.length + 1) / 2;
    gl3 c = layer.c, x = number > 0 ? layer.challenges[number - 1] : gl3_of(0);
    sums[0] = gl3_of(0), sums[1] = gl3_of(0);
    FOR_EACH(i, tree.pairs) {
        u64 row = divide(i, half), column = 2 * (i - row * half);
        Line p = child_line<2>(tree, row, column, c, x);
        gl3 h[2] = {p.lo, gl3_of(0)};
        add_product(h, p, child_line<1>(tree, row, column, c, x));
        Line u = child_line<0>(tree, row, column, c, x);
        h[0] = gl3_add(h[0], u.lo);
        u = Line{gl3_add(u.lo, c), gl3_add(u.hi, c)};
        add_product(h, u, child_line<3>(tree, row, column, c, x));
        gl3 weight = tree.eq[i];
#pragma unroll
        for (u32 k = 0; k < 2; k++) sums[k] = gl3_add(sums[k], gl3_mul(weight, h[k]));
    }
}

// The partial sums of a round; blockIdx.y says of which tree.
KERNEL(fraction_round, THREADS, (Layer layer, u32 number, gl3* partial)) {
    gl3 sums[2];
    fraction_sums(layer, number, blockIdx.y, sums);
    partial += (u64)blockIdx.y * gridDim.x * 2;
#pragma unroll
    for (u32 k = 0; k < 2; k++) put_partial(partial, 2, k, sums[k]);
}

// Writes the message that follows from the sums over all trees, absorbs it and draws the challenge, for the block to read. The whole
// polynomial is bound * eq(z, x) * h(x) with a quadratic h, whose value at 1 follows from the claim (Gruen 2024/108, section 3).
DEVICE void fraction_challenge(const Layer& layer, u32 number, gl3 at_zero, gl3 top) {
    if (threadIdx.x == 0) {
        gl3 z = layer.coordinates[number].z, rest = gl3_sub(gl3_of(1), z);
        Claim claim = *layer.claim;
        gl3 at_one = gl3_mul(gl3_sub(claim.value, gl3_mul(rest, at_zero)), layer.coordinates[number].inverse);
        gl3 linear = gl3_sub(gl3_sub(at_one, at_zero), top);
        gl3* message = layer.messages + (u64)number * MESSAGE;
        for (u32 k = 0; k < MESSAGE; k++) {
            u32 x = k == 0 ? 0 : k + 1;
            gl3 h = gl3_add(at_zero, gl3_scale(gl3_add(linear, gl3_scale(top, x)), x));
            gl3 eq = gl3_add(rest, gl3_scale(gl3_sub(z, rest), x));
            message[k] = gl3_canonical(gl3_mul(gl3_mul(claim.bound, eq), h));
        }
        absorb(layer.transcript, message, MESSAGE);
        gl3 x = draw<GL_P>(layer.transcript);
        layer.challenges[number] = x;
        claim.value = gl3_add(at_zero, gl3_mul(x, gl3_add(linear, gl3_mul(x, top))));
        claim.bound = gl3_mul(claim.bound, gl3_line(rest, z, x));
        *layer.claim = claim;
    }
    __syncthreads();
}

// The message from the partial sums, and the challenge: one block.
KERNEL(fraction_message, THREADS, (Layer layer, u32 number, const gl3* partial, u32 blocks)) {
    gl3 sums[2] = {gl3_of(0), gl3_of(0)};
    for (u32 i = threadIdx.x; i < blocks * layer.count; i += blockDim.x) {
        gl3 power = layer.powers[i / blocks];
#pragma unroll
        for (u32 k = 0; k < 2; k++) sums[k] = gl3_add(sums[k], gl3_mul(power, partial[2 * i + k]));
    }
    gl3 at_zero = block_sum(sums[0]), top = block_sum(sums[1]);
    fraction_challenge(layer, number, at_zero, top);
}

template <u32 CHILD>
DEVICE void put_child(const Layer& layer, u32 index, gl3 x) {
    const Tree& tree = layer.trees[(u64)layer.variables * layer.count + index];
    layer.values[4 * index + CHILD] = gl3_canonical(folded_child<CHILD>(tree, 0, 0, layer.c, x));
}

// All rounds from this one on, and what is left of the children: one block, for what many would only wait for each other for.
KERNEL(fraction_rest, THREADS, (Layer layer, u32 number)) {
    for (; number < layer.variables; number++) {
        gl3 sums[2] = {gl3_of(0), gl3_of(0)};
        for (u32 index = 0; index < layer.count; index++) {
            gl3 of_tree[2], power = layer.powers[index];
            fraction_sums(layer, number, index, of_tree);
#pragma unroll
            for (u32 k = 0; k < 2; k++) sums[k] = gl3_add(sums[k], gl3_mul(power, of_tree[k]));
        }
        gl3 at_zero = block_sum(sums[0]), top = block_sum(sums[1]);
        fraction_challenge(layer, number, at_zero, top);
    }
    gl3 x = number > 0 ? layer.challenges[number - 1] : gl3_of(0);
    for (u32 index = threadIdx.x; index < layer.count; index += blockDim.x)
        put_child<0>(layer, index, x), put_child<1>(layer, index, x), put_child<2>(layer, index, x), put_child<3>(layer, index, x);
}
