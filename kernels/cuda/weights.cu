// Sums against eq tables and powers of roots of unity, and their accumulation. A table over n variables is the product of one over the
// first ("outer") and one over the last of them ("inner"), so no large one is built.
#include "dot.cuh"
#include "index.cuh"
#include "reduce.cuh"
#include "roots.cuh"

// out[i] = scale * eq(point, i), the first coordinate for the most significant bit.
KERNEL(eq_table, THREADS, (const gl3* point, u32 variables, gl3 scale, gl3* out)) {
    FOR_EACH(i, 1ull << variables) {
        gl3 product = scale;
        for (u32 v = 0; v < variables; v++) {
            gl3 x = point[v];
            product = gl3_mul(product, i >> (variables - 1 - v) & 1 ? x : gl3_sub(gl3_of(1), x));
        }
        out[i] = product;
    }
}

// One row of partial sums for each block: over its share of the outer table, sum_i outer * inner * values[row][column].
// A block has 2^log_columns threads side by side; blockIdx.y says which columns. The inner table, of at most 2^16 entries, sums up to 1.
template <class T>
DEVICE void bind_rows(const T* values, u32 log_width, u32 log_stride, const gl3* outer, u64 outer_len, const gl3* inner, u32 log_inner,
                      u32 log_columns, gl3* partial) {
    __shared__ gl3 sums[THREADS];
    u64 column = threadIdx.x & ((1u << log_columns) - 1), group = threadIdx.x >> log_columns, groups = blockDim.x >> log_columns;
    u64 place = ((u64)blockIdx.y << log_columns) + column;
    gl3 sum = gl3_of(0);
    for (u64 o = blockIdx.x * groups + group; o < outer_len; o += gridDim.x * groups) {
        Dot<T> dot;
        for (u64 i = 0; i < 1ull << log_inner; i++)
            dot.add(values[((((o << log_inner) + i) << log_stride) << log_width) + place], inner[i]);
        gl3 total = dot.total();
        if (Dot<T>::BIAS) total.a = gl_sub(total.a, Dot<T>::BIAS);
        sum = gl3_add(sum, gl3_mul(outer[o], total));
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (group != 0) return;
    for (u64 g = 1; g < groups; g++) sum = gl3_add(sum, sums[(g << log_columns) + column]);
    partial[((u64)blockIdx.x << log_width) + place] = sum;
}

// out[row] = base + sum_j weights[j] * values[row][j], at most 2^16 of them: one thread for each row, rows through shared memory, 64 bytes
// of each at a time. Narrow integers are shifted in `Dot`, and `base` shifts back.
template <class T>
DEVICE void bind_columns(const T* values, u64 rows, u32 width, const gl3* weights, gl3 base, gl3* out) {
    // Padding by one bank, or by a word of two, has threads read from different ones.
    const u32 COLUMNS = 64 / sizeof(T), PADDING = sizeof(T) < 4 ? 4 / sizeof(T) : 1;
    __shared__ T tile[THREADS][COLUMNS + PADDING];
    for (u64 first = blockIdx.x * (u64)THREADS; first < rows; first += gridDim.x * (u64)THREADS) {
        Dot<T> dot;
        for (u32 from = 0; from < width; from += COLUMNS) {
            u32 columns = width - from < COLUMNS ? width - from : COLUMNS;
            __syncthreads();
            for (u32 t = threadIdx.x; t < THREADS * columns; t += THREADS) {
                u32 row = t / columns, column = t - row * columns;
                if (first + row < rows) tile[row][column] = values[(first + row) * width + from + column];
            }
            __syncthreads();
            if (first + threadIdx.x < rows)
                for (u32 j = 0; j < columns; j++) dot.add(tile[threadIdx.x][j], weights[from + j]);
        }
        if (first + threadIdx.x < rows) out[first + threadIdx.x] = gl3_add(dot.total(), base);
    }
}

#define BIND(T) \
    KERNEL(bind_rows_##T, THREADS, \
           (const T* values, u32 log_width, u32 log_stride, const gl3* outer, u64 outer_len, const gl3* inner, u32 log_inner, \
            u32 log_columns, gl3* partial)) { \
        bind_rows<T>(values, log_width, log_stride, outer, outer_len, inner, log_inner, log_columns, partial); \
    } \
    KERNEL(bind_columns_##T, THREADS, (const T* values, u64 rows, u32 width, const gl3* weights, gl3 base, gl3* out)) { \
        bind_columns<T>(values, rows, width, weights, base, out); \
    }
BIND(i8)
BIND(i16)
BIND(i32)
BIND(u64)

// sum_i outer[o] * inner[i] * values[o][i].
KERNEL(evaluate, THREADS, (const gl3* values, const gl3* outer, u64 outer_len, const gl3* inner, u64 inner_len, gl3* partial)) {
    gl3 sum = gl3_of(0);
    for (u64 o = blockIdx.x; o < outer_len; o += gridDim.x) {
        gl3 part = gl3_of(0);
        for (u64 i = threadIdx.x; i < inner_len; i += blockDim.x) part = gl3_add(part, gl3_mul(inner[i], values[o * inner_len + i]));
        sum = gl3_add(sum, gl3_mul(outer[o], part));
    }
    put_partial(partial, 1, 0, sum);
}

// out[(first + i) * 2^log_stride] += outer * inner.
KERNEL(add_eq, THREADS, (gl3* out, u64 first, u32 log_stride, const gl3* outer, const gl3* inner, u32 log_inner, u64 n)) {
    FOR_EACH(i, n) {
        gl3* place = out + ((first + i) << log_stride);
        *place = gl3_add(*place, gl3_mul(outer[i >> log_inner], inner[i & ((1ull << log_inner) - 1)]));
    }
}

// out[(first + i) * 2^log_stride] += values[i].
KERNEL(add_at, THREADS, (gl3* out, u64 first, u32 log_stride, const gl3* values, u64 n)) {
    FOR_EACH(i, n) {
        gl3* place = out + ((first + i) << log_stride);
        *place = gl3_add(*place, values[i]);
    }
}

// out[i][j] += rows[i] * columns[j], in rows of this length.
KERNEL(add_outer, THREADS, (gl3* out, const gl3* rows, const gl3* columns, u64 length, u64 n)) {
    FOR_EACH(i, n) {
        u64 row = divide(i, length);
        out[i] = gl3_add(out[i], gl3_mul(rows[row], columns[i - row * length]));
    }
}

// out[i] += sum_j scales[j] * g^(exponents[j] * i).
KERNEL(add_powers, THREADS, (gl3* out, u64 n, Roots roots, const u64* exponents, const gl3* scales, u32 count)) {
    u64 mask = (1ull << roots.log_order) - 1;
    FOR_EACH(i, n) {
        gl3_sum sum = gl3_sum_zero();
        for (u32 j = 0; j < count; j++) gl3_sum_mac(sum, scales[j], root(roots, exponents[j] * i & mask));
        out[i] = gl3_add(out[i], gl3_sum_reduce(sum));
    }
}
