// Contractions of integer tensors, modulo 2^64: see `IntegerDevice::einsum`. Sums are added to `out` by atomic additions, which do not
// depend on their order, so an axis may be cut into parts (blockIdx.y) that are summed side by side.
#include "integers.cuh"
#include "matrices.cuh"

struct Factor {
    const void* values;
    u64 bytes, first_digit, digits;
};

// out[i] += coefficient * sum_s prod_f factor_f, one thread for each element and part. Where the element lies in a factor is said by
// digits, where the summand lies from there by inner[f][s].
KERNEL(einsum_each, THREADS,
       (const Factor* factors, u32 count, const Digit* digits, const u64* inner, u64 summed, u64 span, u64 coefficient, u64 n, u64* out)) {
    const u32 MOST = 2;
    u64 first = blockIdx.y * span, end = first + span < summed ? first + span : summed;
    FOR_EACH(i, n) {
        u64 places[MOST];
#pragma unroll
        for (u32 f = 0; f < MOST; f++)
            if (f < count) places[f] = project(digits + factors[f].first_digit, factors[f].digits, i);
        u64 sum = 0;
        for (u64 s = first; s < end; s++) {
            u64 product = 1;
#pragma unroll
            for (u32 f = 0; f < MOST; f++)
                if (f < count) product *= (u64)get(factors[f].values, factors[f].bytes, places[f] + inner[f * summed + s]);
            sum += product;
        }
        atomicAdd(out + i, coefficient * sum);
    }
}

const u32 DEPTH = 16;  // summands that are in shared memory at a time
const u32 LANES = 16;  // threads along a side of a tile, for SIDE / LANES rows or columns each
const u32 EACH = SIDE / LANES;

template <class T>
DEVICE void load(T part[DEPTH][SIDE + 1], const Lines& lines, u64 bytes, u64 from, u64 summed) {
#pragma unroll
    for (u32 t = threadIdx.x; t < SIDE * DEPTH; t += THREADS) {
        u32 depth = t % DEPTH, line = t / DEPTH;
        bool inside = line < lines.count && from + depth < summed;
        part[depth][line] = inside ? (T)get(lines.values, bytes, lines.outer[line] + lines.inner[from + depth]) : 0;
    }
}

DEVICE u64 times(i32 a, i32 b) { return (u64)((i64)a * b); }
DEVICE u64 times(i64 a, i64 b) { return (u64)a * (u64)b; }

// One tile of the result for each block.
template <class T>
DEVICE void multiply(const Product& p, const u64* offsets, u64* out) {
    __shared__ T left[DEPTH][SIDE + 1];
    __shared__ T right[DEPTH][SIDE + 1];
    Tile tile(p, offsets, out);
    u64 sums[EACH][EACH] = {};
    u32 x = threadIdx.x % LANES, y = threadIdx.x / LANES;
    for (u64 from = 0; from < tile.summed; from += DEPTH) {
        __syncthreads();  // what was there before has been read
        load<T>(left, tile.left, p.left_bytes, from, tile.summed);
        load<T>(right, tile.right, p.right_bytes, from, tile.summed);
        __syncthreads();
#pragma unroll 2
        for (u32 k = 0; k < DEPTH; k++) {
            T a[EACH], b[EACH];
#pragma unroll
            for (u32 e = 0; e < EACH; e++) a[e] = left[k][y + e * LANES], b[e] = right[k][x + e * LANES];
#pragma unroll
            for (u32 i = 0; i < EACH; i++)
#pragma unroll
                for (u32 j = 0; j < EACH; j++) sums[i][j] += times(a[i], b[j]);
        }
    }
#pragma unroll
    for (u32 i = 0; i < EACH; i++)
#pragma unroll
        for (u32 j = 0; j < EACH; j++) tile.add(y + i * LANES, x + j * LANES, p.coefficient * sums[i][j]);
}

// For integers of at most 32 bits: products of 64.
KERNEL(einsum_narrow, THREADS, (Product product, const u64* offsets, u64* out)) { multiply<i32>(product, offsets, out); }
KERNEL(einsum_wide, THREADS, (Product product, const u64* offsets, u64* out)) { multiply<i64>(product, offsets, out); }
