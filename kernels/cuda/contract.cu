// Contraction of one axis of a tensor with weights, and what comes before and after it: see `Device::contract`.
#include "dot.cuh"
#include "index.cuh"
#include "reduce.cuh"

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
