// Lookups, and what of their witness follows from their inputs: see `IntegerDevice`.
#include "integers.cuh"

// (x * multiplier + add) >> shift, in a domain of 2^bits values from lo on.
struct Scale {
    i64 multiplier, add, lo;
    u32 shift, bits;
    u32 below, above;  // whether that side saturates
};

DEVICE i64 scaled(const Scale& scale, i64 x) { return (i64)((u64)x * (u64)scale.multiplier + (u64)scale.add); }

// `forbidden` becomes the index of the first element beyond a side that does not saturate. Without a table the value itself is found.
KERNEL(look_up, THREADS,
       (const void* input, u32 bytes, u64 n, Scale scale, const void* table, u32 table_bytes, void* out, u32 out_bytes, u64* forbidden)) {
    i64 top = (1ll << scale.bits) - 1;
    FOR_EACH(i, n) {
        i64 place = (scaled(scale, get(input, bytes, i)) >> scale.shift) - scale.lo;
        if ((place < 0 && !scale.below) || (place > top && !scale.above)) {
            atomicMin(forbidden, i);
            continue;
        }
        place = place < 0 ? 0 : place > top ? top : place;
        put(out, out_bytes, i, table ? get(table, table_bytes, (u64)place) : scale.lo + place);
    }
}

const u32 REMAINDER = 0, VALUE = 1;

// A limb of the remainder, the value or the excess (see `Part`), with the sign of the number that it is a limb of.
KERNEL(limbs, THREADS, (const void* input, u32 bytes, u64 n, Scale scale, u32 part, u32 offset, u32 width, void* out, u32 out_bytes)) {
    i64 top = (1ll << scale.bits) - 1;
    FOR_EACH(i, n) {
        i64 x = scaled(scale, get(input, bytes, i)), place = (x >> scale.shift) - scale.lo, value = place;
        if (scale.below && value < 0) value = 0;
        if (scale.above && value > top) value = top;
        i64 number = part == REMAINDER ? x & ((1ll << scale.shift) - 1) : part == VALUE ? value : place - value;
        u64 magnitude = number < 0 ? 0 - (u64)number : (u64)number;
        i64 digit = (i64)(magnitude >> offset & ((1ull << width) - 1));
        put(out, out_bytes, i, number < 0 ? -digit : digit);
    }
}

DEVICE i64 edge(i64 place, u32 width) { return (place == (1ll << width) - 1) - (place == 0); }

KERNEL(edges, THREADS, (const void* limbs, u32 bytes, u64 n, u32 width, void* out)) {
    FOR_EACH(i, n) put(out, 1, i, edge(get(limbs, bytes, i), width));
}

// A column of a table's rows, by its form: a v, the edge of v, min(v, 2 a) - a, or a.
KERNEL(table_entries, THREADS, (u32 form, i64 a, u32 width, u64 n, void* out, u32 out_bytes)) {
    FOR_EACH(i, n) {
        i64 v = (i64)i, entry = a;
        if (form == 0) entry = a * v;
        if (form == 1) entry = edge(v, width);
        if (form == 2) entry = (v < 2 * a ? v : 2 * a) - a;
        put(out, out_bytes, i, entry);
    }
}

// How the row is found that holds two entries: the first is its number, or both say which kind of excess it is.
struct Rows {
    u64 count;
    i64 limbs;       // of the value; 0 if the first entry is the number
    u64 high, low;   // where the rows of either sign begin
};

DEVICE u64 find(const Rows& rows, i64 first, i64 second) {
    if (rows.limbs == 0) return (u64)first;
    if (second == 0) return (u64)(first + rows.limbs);
    return second > 0 ? rows.high + (u64)second : rows.low + (0 - (u64)second);
}

const u32 COUNTED = 8192;  // rows whose counts fit a block's shared memory

DEVICE u64 find_at(const Rows& rows, const void* first, u32 first_bytes, const void* second, u32 second_bytes, u64 i) {
    return find(rows, get(first, first_bytes, i), rows.limbs ? get(second, second_bytes, i) : 0);
}

// Adds to the counts how often each row is found; one that does not exist is counted nowhere. Rows that many elements share would queue at
// one address, so a block counts by itself where it can.
KERNEL(count_rows, THREADS,
       (const void* first, u32 first_bytes, const void* second, u32 second_bytes, u64 n, Rows rows, u64* counts)) {
    __shared__ u32 own[COUNTED];
    if (rows.count > COUNTED) {
        FOR_EACH(i, n) {
            u64 row = find_at(rows, first, first_bytes, second, second_bytes, i);
            if (row < rows.count) atomicAdd(counts + row, 1ull);
        }
        return;
    }
    for (u32 row = threadIdx.x; row < rows.count; row += blockDim.x) own[row] = 0;
    __syncthreads();
    FOR_EACH(i, n) {
        u64 row = find_at(rows, first, first_bytes, second, second_bytes, i);
        if (row < rows.count) atomicAdd(own + row, 1u);
    }
    __syncthreads();
    for (u32 row = threadIdx.x; row < rows.count; row += blockDim.x)
        if (own[row]) atomicAdd(counts + row, (u64)own[row]);
}
