// Contraction of one axis of a tensor with weights, and what comes before and after it: see `Device::contract`.
#include "index.cuh"
#include "reduce.cuh"

// A sum of products of a tensor's elements with weights. Elements may be shifted to be positive: `base` takes it off again.
template <class T>
struct Dot {
    gl3_sum sum;
    DEVICE Dot() : sum(gl3_sum_zero()) {}
    DEVICE void add(T x, gl3 weight) { gl3_sum_mac(sum, weight, gl_from_int(x)); }
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
template <class T, u32 BIAS>
struct Narrow {
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

// One warp for each row and part of it: parts[part][row].
template <class T>
DEVICE void contract_rows(const T* values, u64 rows, u64 length, const gl3* weights, u64 span, u64 parts, gl3 base, gl3* out) {
    u64 lane = threadIdx.x % WARP, warps = gridDim.x * (u64)(blockDim.x / WARP);
    for (u64 task = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP; task < rows * parts; task += warps) {
        u64 part = divide(task, rows), row = task - part * rows;
        u64 end = (part + 1) * span < length ? (part + 1) * span : length;
        Dot<T> dot;
        for (u64 j = part * span + lane; j < end; j += WARP) dot.add(values[row * length + j], weights[j]);
        gl3 sum = warp_sum(dot.total());
        if (lane == 0) out[part * rows + row] = part == 0 ? gl3_add(sum, base) : sum;
    }
}

// One thread for each element of the result and part of the axis: parts[part][element].
template <class T>
DEVICE void contract_columns(const T* values, u64 n, u64 length, u64 inner, const gl3* weights, u64 span, u64 parts, gl3 base, gl3* out) {
    FOR_EACH(task, n * parts) {
        u64 part = divide(task, n), element = task - part * n, before = divide(element, inner);
        u64 end = (part + 1) * span < length ? (part + 1) * span : length;
        Dot<T> dot;
        for (u64 j = part * span; j < end; j++) dot.add(values[(before * length + j) * inner + (element - before * inner)], weights[j]);
        out[task] = part == 0 ? gl3_add(dot.total(), base) : dot.total();
    }
}

#define CONTRACT(T) \
    KERNEL(contract_rows_##T, THREADS, \
           (const T* values, u64 rows, u64 length, const gl3* weights, u64 span, u64 parts, gl3 base, gl3* out)) { \
        contract_rows<T>(values, rows, length, weights, span, parts, base, out); \
    } \
    KERNEL(contract_columns_##T, THREADS, \
           (const T* values, u64 n, u64 length, u64 inner, const gl3* weights, u64 span, u64 parts, gl3 base, gl3* out)) { \
        contract_columns<T>(values, n, length, inner, weights, span, parts, base, out); \
    }
CONTRACT(i8)
CONTRACT(i16)
CONTRACT(i32)
CONTRACT(i64)
CONTRACT(gl3)

#define LIFT(T) \
    KERNEL(lift_##T, THREADS, (const T* values, u64 n, gl3* out)) { FOR_EACH(i, n) out[i] = gl3_of(gl_from_int(values[i])); }
LIFT(i8)
LIFT(i16)
LIFT(i32)
LIFT(i64)

// out[i] = values at the place of i under the digits.
KERNEL(permute, THREADS, (const gl3* values, const Digit* digits, u64 count, u64 n, gl3* out)) {
    FOR_EACH(i, n) out[i] = values[project(digits, count, i)];
}
