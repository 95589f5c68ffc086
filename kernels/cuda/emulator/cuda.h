// CUDA's device side on the processor: a .cu file is compiled by any C++17 compiler that includes this first.
//
// Every thread of a block is a fiber of one thread of the operating system; barriers and warp collectives are exact, and what one must not
// do at them is found. Blocks run side by side. driver.cpp runs them, and stands in for the driver.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#define EMULATOR
#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __constant__ static const
#define __shared__ static thread_local  // a copy for each running block

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace emulator {
struct Index {
    unsigned x, y, z;
};
extern thread_local Index block_index, block_size, grid_size;

// The running fiber's place.
Index thread_index();

// __syncthreads; the line tells two barriers apart.
void barrier(int line);

// What a lane gives the others of its warp.
struct Given {
    uint64_t words[3];
};

// Every lane of a full warp gives something; all see all 32 of it.
const Given* exchange(uint32_t mask, const Given& given);

// A kernel, under its name: how to copy the arguments of a launch, and how to call it with them.
struct Kernel {
    const char* name;
    unsigned threads;
    std::shared_ptr<void> (*copy)(void** arguments);
    void (*call)(const Kernel& kernel, void* arguments);
    void* function;
    Kernel* next;
};
void add(Kernel* kernel);

template <class F>
struct Entry;
template <class... A>
struct Entry<void (*)(A...)> {
    using Arguments = std::tuple<std::decay_t<A>...>;
    Kernel kernel;

    Entry(const char* name, unsigned threads, void (*function)(A...)) : kernel{name, threads, copy, call, (void*)function, nullptr} {
        add(&kernel);
    }

    static std::shared_ptr<void> copy(void** arguments) { return copy(arguments, std::index_sequence_for<A...>{}); }
    template <size_t... I>
    static std::shared_ptr<void> copy(void** arguments, std::index_sequence<I...>) {
        return std::make_shared<Arguments>(*static_cast<std::decay_t<A>*>(arguments[I])...);
    }
    static void call(const Kernel& kernel, void* arguments) {
        std::apply(reinterpret_cast<void (*)(A...)>(kernel.function), *static_cast<Arguments*>(arguments));
    }
};
}  // namespace emulator

#define threadIdx (emulator::thread_index())
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size
#define __syncthreads() emulator::barrier(__LINE__)

static inline unsigned long long __shfl_down_sync(uint32_t mask, unsigned long long value, unsigned lanes) {
    unsigned lane = threadIdx.x % 32;
    const emulator::Given* all = emulator::exchange(mask, {{value, 0, 0}});
    return lane + lanes < 32 ? all[lane + lanes].words[0] : value;
}
// mma.sync.m16n8k32 of bytes: sums of 32 bits, which wrap, that a warp adds to. Of the left matrix, 16 x 32, row r and columns 4 c .. 4 c + 3
// are with lane 4 (r % 8) + c % 4, in word r / 8 + 2 (c / 4), the first column lowest; of the right one, 32 x 8, column r and rows 4 c ..
// 4 c + 3 are with the same lane, in word c / 4. Its sums are those of rows lane / 4 and lane / 4 + 8, each at columns 2 (lane % 4) and the next.
static inline void mma_m16n8k32(bool a_signed, bool b_signed, int (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    auto pair = [](unsigned lo, unsigned hi) { return (uint64_t)hi << 32 | lo; };
    auto word = [](uint64_t pair, unsigned high) { return (unsigned)(pair >> 32 * high); };
    auto byte = [](unsigned word, unsigned i, bool is_signed) {
        unsigned char byte = (unsigned char)(word >> 8 * i);
        return is_signed ? (int)(signed char)byte : (int)byte;
    };
    unsigned lane = threadIdx.x % 32;
    const emulator::Given* all = emulator::exchange(0xffffffff, {{pair(a[0], a[1]), pair(a[2], a[3]), pair(b[0], b[1])}});
    for (unsigned c = 0; c < 8; c++) {
        unsigned rows[2], columns[2];
        for (unsigned half = 0; half < 2; half++) {
            rows[half] = word(all[lane / 4 * 4 + c % 4].words[c / 4], half);
            columns[half] = word(all[(lane % 4 * 2 + half) * 4 + c % 4].words[2], c / 4);
        }
        for (unsigned sum = 0; sum < 4; sum++)
            for (unsigned i = 0; i < 4; i++)
                sums[sum] = (int)((unsigned)sums[sum] + (unsigned)(byte(rows[sum / 2], i, a_signed) * byte(columns[sum % 2], i, b_signed)));
    }
}
static inline unsigned __byte_perm(unsigned lo, unsigned hi, unsigned selector) {
    uint64_t bytes = (uint64_t)hi << 32 | lo;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= (unsigned)(bytes >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return r;
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++, x >>= 1) r = r << 1 | (x & 1);
    return r;
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift) {
    shift &= 31;
    return shift ? lo >> shift | hi << (32 - shift) : lo;
}
static inline unsigned long long atomicAdd(unsigned long long* at, unsigned long long x) { return __atomic_fetch_add(at, x, __ATOMIC_RELAXED); }
static inline unsigned atomicAdd(unsigned* at, unsigned x) { return __atomic_fetch_add(at, x, __ATOMIC_RELAXED); }
static inline unsigned long long atomicMin(unsigned long long* at, unsigned long long x) {
    unsigned long long old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (x < old && !__atomic_compare_exchange_n(at, &old, x, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
