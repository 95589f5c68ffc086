// Elementwise loops over integers, and moves of them: see `IntegerDevice`.
#include "index.cuh"
#include "integers.cuh"

struct Term {
    const void* values;
    u64 bytes;
    i64 factor;
};

// out[i] = constant + sum factor * values[i], modulo 2^64.
KERNEL(combine, THREADS, (const Term* terms, u32 count, u64 constant, u64 n, void* out, u32 out_bytes)) {
    FOR_EACH(i, n) {
        u64 sum = constant;
        for (u32 t = 0; t < count; t++) sum += (u64)terms[t].factor * (u64)get(terms[t].values, terms[t].bytes, i);
        put(out, out_bytes, i, (i64)sum);
    }
}

KERNEL(row_max, THREADS, (const void* values, u32 bytes, u64 row, u64 n, void* out)) {
    FOR_EACH(i, n) {
        i64 most = get(values, bytes, i * row);
        for (u64 j = 1; j < row; j++) {
            i64 x = get(values, bytes, i * row + j);
            most = x > most ? x : most;
        }
        put(out, bytes, i, most);
    }
}

// floor(numerator / denominator); `forbidden` becomes the index of the first denominator that is not positive.
KERNEL(floor_div, THREADS,
       (const void* numerators, u32 bytes, u64 count, const void* denominators, u32 denominator_bytes, u64 n, void* out, u32 out_bytes,
        u64* forbidden)) {
    FOR_EACH(i, n) {
        i64 d = get(denominators, denominator_bytes, i);
        if (d <= 0) {
            atomicMin(forbidden, i);
            continue;
        }
        i64 x = get(numerators, bytes, i % count), quotient = x / d;
        put(out, out_bytes, i, quotient * d > x ? quotient - 1 : quotient);
    }
}

// The largest r with r^2 w <= bound.
KERNEL(inverse_root, THREADS, (const void* values, u32 bytes, u64 bound, u64 n, void* out, u32 out_bytes, u64* forbidden)) {
    FOR_EACH(i, n) {
        i64 w = get(values, bytes, i);
        if (w <= 0) {
            atomicMin(forbidden, i);
            continue;
        }
        u64 square = bound / (u64)w, root = 0;
        for (u32 bit = 32; bit-- > 0;) {
            u64 next = root | 1ull << bit;
            if (next * next <= square) root = next;
        }
        put(out, out_bytes, i, (i64)root);
    }
}

// A map of some of an index's digits by a table: offsets from `first` on, negative where there is nothing.
struct Map {
    u64 first_digit, digits, first;
};

// out[i] = the value at base, the place that the first `linear` digits say, and the offsets of all maps.
KERNEL(rearrange, THREADS,
       (const void* values, u32 bytes, const Digit* digits, u64 linear, u64 base, const Map* maps, u32 count, const i64* offsets, u64 n,
        void* out)) {
    FOR_EACH(i, n) {
        u64 place = base + project(digits, linear, i);
        bool inside = true;
        for (u32 m = 0; m < count; m++) {
            i64 offset = offsets[maps[m].first + project(digits + maps[m].first_digit, maps[m].digits, i)];
            inside = inside && offset >= 0;
            place += (u64)offset;
        }
        put(out, bytes, i, inside ? get(values, bytes, place) : 0);
    }
}

// A block of a tensor, from `start` on in the packed vector.
struct Piece {
    u64 start;
    const void* values;
    u64 bytes, base, first_digit, digits;
};

// The cells of all pieces, which lie end to end, as integers of `bytes` bytes, or as field elements where that is 8; zeros from `cells` on.
KERNEL(pack, THREADS, (const Piece* pieces, u64 count, const Digit* digits, u64 cells, u64 n, void* out, u32 bytes)) {
    FOR_EACH(i, n) {
        if (i >= cells) {
            put(out, bytes, i, 0);
            continue;
        }
        u64 low = 0, high = count;  // the last piece that starts at or before i is among these
        while (high - low > 1) {
            u64 middle = (low + high) / 2;
            if (pieces[middle].start <= i)
                low = middle;
            else
                high = middle;
        }
        const Piece& piece = pieces[low];
        u64 place = piece.base + project(digits + piece.first_digit, piece.digits, i - piece.start);
        i64 x = get(piece.values, piece.bytes, place);
        put(out, bytes, i, bytes == 8 ? (i64)gl_from_int(x) : x);
    }
}
