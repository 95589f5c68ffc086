// Blocks of fibers. What a kernel must not do ends the process with a message: threads of a block at different barriers, threads that
// end while others wait, lanes that disagree about who takes part in a collective.
//
// Under the sanitizers every fiber is announced, and order between fibers is announced at barriers and collectives alone, so accesses
// to shared memory that no barrier separates are races.
#include "blocks.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#define IF_THREAD(code) code
#define UNCHECKED __attribute__((no_sanitize("thread")))
#else
#define IF_THREAD(code)
#define UNCHECKED
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define IF_ADDRESS(code) code
#else
#define IF_ADDRESS(code)
#endif

namespace emulator {
namespace {
const size_t STACK = 256 << 10;
const unsigned WARP = 32;

enum class State { Ready, AtBarrier, AtCollective, Done };

struct Fiber {
    Index index;
    State state;
    void* stack_pointer;
    char* stack;
    IF_THREAD(void* announced;)
    IF_ADDRESS(void* fake_stack;)
};

struct Warp {
    Given given[2][WARP];  // by the parity of the collective: a fast lane may be at the next one
    unsigned arrived, collective;
};

struct Block {
    const Launch* launch;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<char*> stacks;
    std::mt19937_64 order{1};
    unsigned alive, waiting, barriers;
    int line;
    void* scheduler;
    char order_of[3];  // what order is announced on: barriers by parity, begin and end
    IF_THREAD(void* announced; std::vector<void*> announcements;)
    IF_ADDRESS(void* fake_stack; const void* bottom; size_t size;)
};

thread_local Block* block;
thread_local Fiber* running;

UNCHECKED Fiber* current() { return __atomic_load_n(&running, __ATOMIC_RELAXED); }

[[noreturn]] void fail(const char* format, unsigned a = 0, unsigned b = 0) {
    std::fprintf(stderr, "emulator: kernel %s: ", block->launch->kernel->name);
    std::fprintf(stderr, format, a, b);
    std::fprintf(stderr, "\n");
    std::_Exit(134);
}

// Saves what a call must preserve on the stack, and goes on where the other stack was left.
extern "C" void emulator_switch(void** save, void* to);
#if defined(__x86_64__)
asm(".text\n.globl emulator_switch\n.hidden emulator_switch\n.type emulator_switch,@function\nemulator_switch:\n"
    " pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
    " movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
    " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n"
    ".size emulator_switch,.-emulator_switch\n");
void* first_frame(char* stack, void (*entry)()) {
    void** top = (void**)(((uintptr_t)stack + STACK) & ~(uintptr_t)15);
    *--top = nullptr;
    *--top = (void*)entry;
    for (int saved = 0; saved < 6; saved++) *--top = nullptr;
    return top;
}
#elif defined(__aarch64__)
asm(".text\n.globl emulator_switch\n.hidden emulator_switch\n.type emulator_switch,%function\nemulator_switch:\n"
    " sub sp,sp,#160\n stp x19,x20,[sp,#0]\n stp x21,x22,[sp,#16]\n stp x23,x24,[sp,#32]\n stp x25,x26,[sp,#48]\n"
    " stp x27,x28,[sp,#64]\n stp x29,x30,[sp,#80]\n stp d8,d9,[sp,#96]\n stp d10,d11,[sp,#112]\n stp d12,d13,[sp,#128]\n"
    " stp d14,d15,[sp,#144]\n mov x9,sp\n str x9,[x0]\n mov sp,x1\n ldp x19,x20,[sp,#0]\n ldp x21,x22,[sp,#16]\n"
    " ldp x23,x24,[sp,#32]\n ldp x25,x26,[sp,#48]\n ldp x27,x28,[sp,#64]\n ldp x29,x30,[sp,#80]\n ldp d8,d9,[sp,#96]\n"
    " ldp d10,d11,[sp,#112]\n ldp d12,d13,[sp,#128]\n ldp d14,d15,[sp,#144]\n add sp,sp,#160\n ret\n");
void* first_frame(char* stack, void (*entry)()) {
    char* frame = (char*)(((uintptr_t)stack + STACK) & ~(uintptr_t)15) - 160;
    std::memset(frame, 0, 160);
    *(void**)(frame + 88) = (void*)entry;
    return frame;
}
#else
#error "the emulator has no context switch for this processor"
#endif

UNCHECKED void to_scheduler(Fiber* fiber, bool ends) {
    (void)ends;
    IF_THREAD(__tsan_switch_to_fiber(block->announced, __tsan_switch_to_fiber_no_sync);)
    IF_ADDRESS(__sanitizer_start_switch_fiber(ends ? nullptr : &fiber->fake_stack, block->bottom, block->size);)
    emulator_switch(&fiber->stack_pointer, block->scheduler);
    IF_ADDRESS(__sanitizer_finish_switch_fiber(fiber->fake_stack, &block->bottom, &block->size);)
}

UNCHECKED void to_fiber(Fiber* fiber) {
    __atomic_store_n(&running, fiber, __ATOMIC_RELAXED);
    IF_THREAD(__tsan_switch_to_fiber(fiber->announced, __tsan_switch_to_fiber_no_sync);)
    IF_ADDRESS(__sanitizer_start_switch_fiber(&block->fake_stack, fiber->stack, STACK);)
    emulator_switch(&block->scheduler, fiber->stack_pointer);
    IF_ADDRESS(__sanitizer_finish_switch_fiber(block->fake_stack, nullptr, nullptr);)
}

UNCHECKED void fiber_main() {
    Fiber* fiber = current();
    IF_ADDRESS(__sanitizer_finish_switch_fiber(nullptr, &block->bottom, &block->size);)
    IF_THREAD(__tsan_acquire(&block->order_of[2]);)
    block->launch->kernel->call(*block->launch->kernel, block->launch->arguments.get());
    IF_THREAD(__tsan_release(&block->order_of[2]);)
    fiber->state = State::Done;
    block->alive--;
    // Waiting for a thread that has ended is what a GPU may or may not forgive.
    if (block->waiting > 0) fail("a thread ends while %u others wait at the barrier of line %u", block->waiting, block->line);
    to_scheduler(fiber, true);
    std::abort();
}

UNCHECKED void run_block(Index index) {
    const Index size = block->launch->block;
    const unsigned threads = size.x * size.y * size.z;
    block_index = index, block_size = size, grid_size = block->launch->grid;
    while (block->stacks.size() < threads) {
        void* stack = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stack == MAP_FAILED) fail("no memory for stacks");
        block->stacks.push_back((char*)stack);
    }
    IF_THREAD(while (block->announcements.size() < threads) block->announcements.push_back(__tsan_create_fiber(0));)
    block->fibers.resize(threads);
    block->warps.assign((threads + WARP - 1) / WARP, Warp{});
    block->alive = threads, block->waiting = 0;
    IF_THREAD(block->announced = __tsan_get_current_fiber();)
    std::vector<Fiber*> order;
    for (unsigned t = 0; t < threads; t++) {
        Fiber& fiber = block->fibers[t];
        fiber.index = {t % size.x, t / size.x % size.y, t / (size.x * size.y)};
        fiber.state = State::Ready;
        fiber.stack = block->stacks[t];
        fiber.stack_pointer = first_frame(fiber.stack, &fiber_main);
        IF_THREAD(fiber.announced = block->announcements[t];)
        IF_ADDRESS(fiber.fake_stack = nullptr;)
        order.push_back(&fiber);
    }
    IF_THREAD(__tsan_release(&block->order_of[2]);)
    while (block->alive) {
        std::shuffle(order.begin(), order.end(), block->order);
        bool ran = false;
        for (Fiber* fiber : order)
            if (fiber->state == State::Ready) ran = true, to_fiber(fiber);
        if (!ran) fail("%u threads wait at a barrier and %u in collectives for each other", block->waiting, block->alive - block->waiting);
    }
    IF_THREAD(__tsan_acquire(&block->order_of[2]);)
}

Kernel*& kernels() {
    static Kernel* first = nullptr;
    return first;
}
}  // namespace

thread_local Index block_index, block_size, grid_size;

UNCHECKED Index thread_index() { return current()->index; }

UNCHECKED void barrier(int line) {
    Fiber* fiber = current();
    if (block->waiting > 0 && block->line != line) fail("threads are at the barriers of line %u and of line %u", block->line, line);
    if (block->alive < block->fibers.size()) fail("a thread waits at the barrier of line %u when others have ended", line);
    block->line = line;
    block->waiting++;
    char* order = &block->order_of[block->barriers & 1];
    (void)order;
    IF_THREAD(__tsan_release(order);)
    if (block->waiting == block->alive) {
        block->waiting = 0, block->barriers++;
        for (Fiber& other : block->fibers)
            if (other.state == State::AtBarrier) other.state = State::Ready;
    } else {
        fiber->state = State::AtBarrier;
        to_scheduler(fiber, false);
    }
    IF_THREAD(__tsan_acquire(order);)
}

UNCHECKED const Given* exchange(uint32_t mask, const Given& given) {
    Fiber* fiber = current();
    unsigned thread = (unsigned)(fiber - block->fibers.data()), first = thread / WARP * WARP;
    if (mask != 0xffffffffu || first + WARP > block->fibers.size()) fail("a collective of part of a warp");
    Warp& warp = block->warps[thread / WARP];
    Given* all = warp.given[warp.collective & 1];
    all[thread % WARP] = given;
    IF_THREAD(__tsan_release(all);)
    if (++warp.arrived == WARP) {
        warp.arrived = 0, warp.collective++;
        for (unsigned lane = 0; lane < WARP; lane++) {
            Fiber& other = block->fibers[first + lane];
            if (other.state == State::AtCollective) other.state = State::Ready;
        }
    } else {
        fiber->state = State::AtCollective;
        to_scheduler(fiber, false);
    }
    IF_THREAD(__tsan_acquire(all);)
    return all;
}

void add(Kernel* kernel) {
    kernel->next = kernels();
    kernels() = kernel;
}

const Kernel* find(const char* name) {
    Kernel* kernel = kernels();
    while (kernel && std::strcmp(kernel->name, name)) kernel = kernel->next;
    return kernel;
}

void run(const Launch& launch) {
    const Index grid = launch.grid;
    const uint64_t total = (uint64_t)grid.x * grid.y * grid.z;
    std::atomic<uint64_t> next{0};
    auto work = [&](Block* own) {
        block = own;
        block->launch = &launch;
        for (uint64_t i; (i = next.fetch_add(1)) < total;)
            run_block({(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / ((uint64_t)grid.x * grid.y))});
    };
    unsigned threads = (unsigned)std::min<uint64_t>(total, std::max(1u, std::thread::hardware_concurrency()));
    // Fibers and their stacks are kept: making them is what takes time. Launches come one by one.
    static std::vector<std::unique_ptr<Block>> blocks;
    while (blocks.size() < threads) blocks.push_back(std::make_unique<Block>());
    if (threads == 1) return work(blocks[0].get());
    std::vector<std::thread> others;
    for (unsigned i = 0; i < threads; i++) others.emplace_back(work, blocks[i].get());
    for (std::thread& other : others) other.join();
}
}  // namespace emulator
