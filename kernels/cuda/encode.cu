// Reed-Solomon encoding: transforms of a matrix's columns, of 2^log_message coefficients, on the subgroup 2^log_cosets times as large.
//
// Zeros are neither stored nor read: the values on the subgroup of order h are those of 2^log_cosets transforms of the message's own size,
// of coefficients c_j g^(s j) for coset s. Each is cut into passes; a pass does a transform of 2^log_radix points in shared memory, for as
// many neighbouring columns as fit, and multiplies by the twiddles between passes (Bailey's four steps, repeated). A launch takes some of the
// columns and, of the cosets, all or one.
#include "roots.cuh"

const u32 TILE = 4096;        // words of shared memory, without padding
const u32 MAX_LOG_RADIX = 9;  // of the points of a pass

struct Pass {
    u32 width;                      // columns of this launch
    u32 from_pitch, to_pitch;       // words from a row to the next, where they are read and where they are written
    u32 columns;                    // of a tile
    u32 log_message, log_cosets;    // of this launch: the cosets from `first_coset` on
    u32 first_coset;
    u32 log_size, log_radix;        // of the transforms that this pass takes part in, and of its own
    u32 first, last;
    u32 radices;                    // logarithms of those of the passes before, a byte each, the first lowest
};

// One word of padding for each 16 keeps strides of powers of two off the same banks.
DEVICE u32 padded(u32 word) { return word + word / 16; }

DEVICE u32 reverse(u32 bits, u32 count) { return count ? __brev(bits) >> (32 - count) : 0; }

// 2^LOG points in place, decimated in frequency: number `slot` of the result is the value at `slot` with its bits reversed. The eighth root
// of unity of the field's generator is -2^24, so this multiplies by powers of two alone.
template <u32 LOG>
DEVICE void transform(u64* v) {
    if (LOG == 3) {
#pragma unroll
        for (u32 q = 0; q < 4; q++) {
            u64 a = v[q], b = v[q + 4];
            v[q] = gl_add(a, b);
            u64 difference = q % 2 ? gl_sub(b, a) : gl_sub(a, b);
            if (q % 2) difference = gl_shift<24>(difference);
            if (q / 2) difference = gl_shift<48>(difference);
            v[q + 4] = difference;
        }
        transform<2>(v), transform<2>(v + 4);
    } else if (LOG == 2) {
#pragma unroll
        for (u32 q = 0; q < 2; q++) {
            u64 a = v[q], b = v[q + 2], difference = gl_sub(a, b);
            v[q] = gl_add(a, b);
            v[q + 2] = q ? gl_shift<48>(difference) : difference;
        }
        transform<1>(v), transform<1>(v + 2);
    } else {
        u64 a = v[0], b = v[1];
        v[0] = gl_add(a, b), v[1] = gl_sub(a, b);
    }
}

// LOG levels of the tile's transforms, from blocks of 2^log_block points down. `twiddles` has the powers of the root of order 2^log_radix.
template <u32 LOG>
DEVICE void levels(u64* tile, const u64* twiddles, u32 log_radix, u32 log_block, u32 columns) {
    u32 log_step = log_block - LOG, step = 1u << log_step;
    for (u32 t = threadIdx.x; t < (columns << (log_radix - LOG)); t += blockDim.x) {
        u32 group = t / columns, column = t - group * columns, within = group & (step - 1);
        u32 first = ((group >> log_step) << log_block) + within;
        u64 v[1 << LOG];
#pragma unroll
        for (u32 q = 0; q < 1u << LOG; q++) v[q] = tile[padded((first + (q << log_step)) * columns + column)];
        transform<LOG>(v);
#pragma unroll
        for (u32 q = 0; q < 1u << LOG; q++) {
            u32 power = within * reverse(q, LOG) << (log_radix - log_block);
            tile[padded((first + (q << log_step)) * columns + column)] = q ? gl_mul(v[q], twiddles[power]) : v[q];
        }
    }
    __syncthreads();
}

// One pass. The first reads the message, of integers or of field elements; those after it read words.
template <class T>
DEVICE void encode_pass(const T* source, u64* target, const Pass& pass, const Roots& roots) {
    __shared__ u64 tile[TILE + TILE / 16];
    __shared__ u64 twiddles[1 << MAX_LOG_RADIX];
    u32 radix = 1u << pass.log_radix, log_rest = pass.log_size - pass.log_radix, columns = pass.columns;
    for (u32 i = threadIdx.x; i < radix; i += blockDim.x) twiddles[i] = root(roots, (u64)i << (roots.log_order - pass.log_radix));

    u64 column_tiles = (pass.width + columns - 1) / columns;
    u64 tasks = column_tiles << (pass.log_message + pass.log_cosets - pass.log_radix);
    for (u64 task = blockIdx.x; task < tasks; task += gridDim.x) {
        u64 rest = task / column_tiles;
        u32 from = (u32)(task - rest * column_tiles) * columns;
        u64 j = rest & ((1ull << log_rest) - 1);
        rest >>= log_rest;
        u64 block = rest & ((1ull << (pass.log_message - pass.log_size)) - 1);
        u64 coset = rest >> (pass.log_message - pass.log_size);

        __syncthreads();  // the tile of the task before has been written, and the twiddles
        for (u32 t = threadIdx.x; t < radix * columns; t += blockDim.x) {
            u32 i = t / columns, column = from + t - i * columns;
            u64 row = (block << pass.log_size) + ((u64)i << log_rest) + j, value = 0;
            if (column < pass.width) {
                u64 at = pass.first ? row : (coset << pass.log_message) + row;
                value = gl_word(source[at * pass.from_pitch + column]);
                if (pass.first && pass.first_coset + coset) value = gl_mul(value, root(roots, (pass.first_coset + coset) * row));
            }
            tile[padded(t)] = value;
        }
        __syncthreads();

        u32 log_block = pass.log_radix;
        for (; log_block >= 3; log_block -= 3) levels<3>(tile, twiddles, pass.log_radix, log_block, columns);
        if (log_block == 2) levels<2>(tile, twiddles, pass.log_radix, log_block, columns);
        if (log_block == 1) levels<1>(tile, twiddles, pass.log_radix, log_block, columns);

        // The last pass puts rows where they belong: the digits of a block's number in reverse, then this transform's.
        u64 reversed = 0;
        u32 below = pass.log_message - pass.log_size, shift = 0;
        for (u32 before = pass.radices; before; before >>= 8) {
            u32 log_radix = before & 255;
            below -= log_radix;
            reversed |= (block >> below & ((1ull << log_radix) - 1)) << shift;
            shift += log_radix;
        }
        for (u32 t = threadIdx.x; t < radix * columns; t += blockDim.x) {
            u32 i = t / columns, column = from + t - i * columns;
            if (column >= pass.width) continue;
            u64 value = tile[padded(reverse(i, pass.log_radix) * columns + column - from)], at;
            if (pass.last) {
                at = ((reversed | (u64)i << shift) << pass.log_cosets) + coset;
            } else {
                value = gl_mul(value, root(roots, j * i << (roots.log_order - pass.log_size)));
                at = (coset << pass.log_message) + (block << pass.log_size) + ((u64)i << log_rest) + j;
            }
            target[at * pass.to_pitch + column] = value;
        }
    }
}

#define ENCODE_PASS(T) \
    KERNEL(encode_pass_##T, THREADS, (const T* source, u64* target, Pass pass, Roots roots)) { encode_pass<T>(source, target, pass, roots); }
ENCODE_PASS(i8)
ENCODE_PASS(i16)
ENCODE_PASS(i32)
ENCODE_PASS(u64)
