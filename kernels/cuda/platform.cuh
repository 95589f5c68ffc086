// What every kernel is written in: entry points, and the PTX instructions with a carry.
//
// The same sources are compiled for the GPU by NVRTC and for the processor by any C++17 compiler (emulator/cuda.h); each instruction has
// one wrapper with both bodies, so that the very same carry chains run in the tests.
#pragma once

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

#define DEVICE __device__ __forceinline__
// KERNEL(name, threads, (parameters)) { body }: an entry point for blocks of at most so many threads, two of them at least on a
// multiprocessor: registers for that are enough that none spill.
#ifdef EMULATOR
#define KERNEL(name, threads, parameters) \
    extern "C" void name parameters; \
    static emulator::Entry<void(*) parameters> entry_##name(#name, threads, &name); \
    extern "C" void name parameters
#else
#define KERNEL(name, threads, parameters) extern "C" __global__ void __launch_bounds__(threads, 2) name parameters
#endif

// Threads of a block, for all kernels.
const u32 THREADS = 256;

// The items that a thread takes of n, one stride of the grid apart: neighbours go to neighbours.
#define FOR_EACH(i, n) for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < (n); i += (u64)gridDim.x * blockDim.x)

namespace ptx {
#ifdef __CUDA_ARCH__
// Volatile keeps the order, so the carry flag flows from one to the next.
#define BINARY(name, instruction) \
    DEVICE u32 name(u32 a, u32 b) { \
        u32 r; \
        asm volatile(instruction " %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b)); \
        return r; \
    }
#define TERNARY(name, instruction) \
    DEVICE u32 name(u32 a, u32 b, u32 c) { \
        u32 r; \
        asm volatile(instruction " %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c)); \
        return r; \
    }
BINARY(add_cc, "add.cc.u32")
BINARY(addc_cc, "addc.cc.u32")
BINARY(addc, "addc.u32")
BINARY(sub_cc, "sub.cc.u32")
BINARY(subc_cc, "subc.cc.u32")
BINARY(subc, "subc.u32")
TERNARY(mad_lo_cc, "mad.lo.cc.u32")
TERNARY(madc_lo_cc, "madc.lo.cc.u32")
TERNARY(madc_hi_cc, "madc.hi.cc.u32")
TERNARY(madc_hi, "madc.hi.u32")
DEVICE u64 mad_wide(u32 a, u32 b, u64 c) {
    u64 r;
    asm("mad.wide.u32 %0, %1, %2, %3;" : "=l"(r) : "r"(a), "r"(b), "l"(c));
    return r;
}
DEVICE u64 pack(u32 lo, u32 hi) {
    u64 r;
    asm("mov.b64 %0, {%1, %2};" : "=l"(r) : "r"(lo), "r"(hi));
    return r;
}
#undef BINARY
#undef TERNARY
// c += a b by a warp's tensor core, all its lanes together: a 16 x 32 matrix of bytes by a 32 x 8 one, each of bytes that are signed or
// are not, which is known when a kernel is compiled. Sums wrap.
DEVICE void mma(bool a_signed, bool b_signed, i32 (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#define MMA(types) \
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32." types ".s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3]) \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
    if (a_signed && b_signed) MMA("s8.s8");
    else if (a_signed) MMA("s8.u8");
    else if (b_signed) MMA("u8.s8");
    else MMA("u8.u8");
#undef MMA
}
#else
// The carry flag; after a subtraction, the borrow.
static thread_local u32 carry;
DEVICE u32 add_cc(u32 a, u32 b) { u64 r = (u64)a + b; carry = (u32)(r >> 32); return (u32)r; }
DEVICE u32 addc_cc(u32 a, u32 b) { u64 r = (u64)a + b + carry; carry = (u32)(r >> 32); return (u32)r; }
DEVICE u32 addc(u32 a, u32 b) { return a + b + carry; }
DEVICE u32 sub_cc(u32 a, u32 b) { u64 r = (u64)a - b; carry = (u32)(r >> 63); return (u32)r; }
DEVICE u32 subc_cc(u32 a, u32 b) { u64 r = (u64)a - b - carry; carry = (u32)(r >> 63); return (u32)r; }
DEVICE u32 subc(u32 a, u32 b) { return a - b - carry; }
DEVICE u32 mad_lo_cc(u32 a, u32 b, u32 c) { return add_cc(a * b, c); }
DEVICE u32 madc_lo_cc(u32 a, u32 b, u32 c) { return addc_cc(a * b, c); }
DEVICE u32 madc_hi_cc(u32 a, u32 b, u32 c) { return addc_cc((u32)((u64)a * b >> 32), c); }
DEVICE u32 madc_hi(u32 a, u32 b, u32 c) { return addc((u32)((u64)a * b >> 32), c); }
DEVICE u64 mad_wide(u32 a, u32 b, u64 c) { return (u64)a * b + c; }
DEVICE u64 pack(u32 lo, u32 hi) { return (u64)hi << 32 | lo; }
DEVICE void mma(bool a_signed, bool b_signed, i32 (&c)[4], const u32 (&a)[4], const u32 (&b)[2]) { mma_m16n8k32(a_signed, b_signed, c, a, b); }
#endif
DEVICE u32 lo(u64 x) { return (u32)x; }
DEVICE u32 hi(u64 x) { return (u32)(x >> 32); }
}  // namespace ptx
