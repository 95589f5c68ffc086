// constant + sum factor * column: the leaves of a lookup argument from integer columns.
#include "extension.cuh"
#include "integers.cuh"

struct Term {
    const void* column;
    u64 bytes;  // of an integer
    gl3 factor;
};

KERNEL(affine, THREADS, (const Term* terms, u32 count, gl3 constant, u64 n, gl3* out)) {
    FOR_EACH(i, n) {
        gl3_sum sum = gl3_sum_zero();
        for (u32 t = 0; t < count; t++) gl3_sum_mac(sum, terms[t].factor, gl_from_int(get(terms[t].column, terms[t].bytes, i)));
        out[i] = gl3_add(gl3_sum_reduce(sum), constant);
    }
}
