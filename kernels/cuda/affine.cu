// constant + sum factor * column: the leaves of a lookup argument from integer columns.
#include "extension.cuh"

struct Term {
    const void* column;
    u64 bytes;  // of an integer
    gl3 factor;
};

DEVICE i64 integer(const Term& term, u64 i) {
    switch (term.bytes) {
        case 1: return ((const i8*)term.column)[i];
        case 2: return ((const i16*)term.column)[i];
        case 4: return ((const i32*)term.column)[i];
        default: return ((const i64*)term.column)[i];
    }
}

KERNEL(affine, THREADS, (const Term* terms, u32 count, gl3 constant, u64 n, gl3* out)) {
    FOR_EACH(i, n) {
        gl3_sum sum = gl3_sum_zero();
        for (u32 t = 0; t < count; t++) gl3_sum_mac(sum, terms[t].factor, gl_from_int(integer(terms[t], i)));
        out[i] = gl3_add(gl3_sum_reduce(sum), constant);
    }
}
