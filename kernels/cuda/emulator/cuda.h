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

// Every lane of a full warp gives a value; all see all 32 of them.
const uint64_t* exchange(uint32_t mask, uint64_t value);

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
    const uint64_t* all = emulator::exchange(mask, value);
    return lane + lanes < 32 ? all[lane + lanes] : value;
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
