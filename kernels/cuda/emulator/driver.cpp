// What cudarc calls of the CUDA driver, as a library of the driver's name. Streams run when something waits for them, so that a host that
// forgets to wait reads what was there before; fresh memory is filled with a pattern, so that kernels that read what nobody wrote give
// nonsense. The pool keeps what is freed, and gives it again for what is nearly as large; until it is trimmed that is memory in use.
// Copies from and to memory of the host that is page-locked run in the stream's order, as the driver's do: such memory that is written
// again too early, or read too early, gives what is wrong.
//
//   PROOFMILL_EMULATOR_MEMORY=n    bytes of device memory
//   PROOFMILL_EMULATOR_LOCKED=n    bytes of the host's memory that may be page-locked
//   PROOFMILL_EMULATOR_DEVICES=n   number of devices
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "blocks.h"

namespace {
typedef uint64_t Pointer;
enum Result { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_HANDLE = 400, NOT_FOUND = 500, NOT_READY = 600 };
const unsigned char PATTERN = 0xa5;
const size_t ALIGNMENT = 256;

struct Stream {
    std::deque<std::function<void()>> queue;
    void step() {
        auto work = std::move(queue.front());
        queue.pop_front();
        work();
    }
    void wait() {
        while (!queue.empty()) step();
    }
};

// A place in a stream that an event was recorded at.
struct Record {
    Stream* stream;
    bool reached = false;
    double milliseconds = 0;
    void wait() {
        while (!reached) stream->step();
    }
};
struct Event {
    std::shared_ptr<Record> record;
};

// A block of the pool.
struct Block {
    size_t bytes;            // of it
    size_t used;             // of those that were asked for
    Stream* freed_in;        // for which it is free at once
    std::shared_ptr<bool> free;  // for all, once that stream is there
};

std::recursive_mutex mutex;
Stream default_stream;
std::map<void*, std::unique_ptr<Stream>> streams;
std::map<Pointer, Block> allocated;
std::vector<Block> kept;
std::map<void*, std::unique_ptr<Event>> events;
std::map<const char*, size_t> page_locked;
size_t reserved = 0, used = 0, used_high = 0;  // bytes of all blocks; bytes that were asked for, now and at most
size_t locked = 0;
thread_local void* context = nullptr;

size_t setting(const char* name, size_t otherwise) {
    const char* value = std::getenv(name);
    return value ? std::strtoull(value, nullptr, 10) : otherwise;
}
size_t memory() { return setting("PROOFMILL_EMULATOR_MEMORY", (size_t)8 << 30); }
int devices() { return (int)setting("PROOFMILL_EMULATOR_DEVICES", 1); }
Stream& stream_of(void* stream) { return stream ? *(Stream*)stream : default_stream; }

bool is_page_locked(const void* place) {
    auto after = page_locked.upper_bound((const char*)place);
    return after != page_locked.begin() && (const char*)place < (--after)->first + after->second;
}

// A block for so many bytes: the smallest kept one that is not larger by more than a quarter, else a new one; of no bytes where there is no room.
Block take(size_t bytes, const Stream* stream) {
    auto fits = [=](const Block& block) { return block.bytes >= bytes && 4 * block.bytes <= 5 * bytes && (block.freed_in == stream || *block.free); };
    auto best = kept.end();
    for (auto block = kept.begin(); block != kept.end(); block++)
        if (fits(*block) && (best == kept.end() || block->bytes < best->bytes)) best = block;
    Block block{bytes, bytes, nullptr, nullptr};
    if (best != kept.end()) {
        block.bytes = best->bytes;
        kept.erase(best);
    } else if (reserved + bytes > memory()) {
        return {};
    } else {
        reserved += bytes;
    }
    used += bytes;
    used_high = std::max(used_high, used);
    return block;
}
}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int
#define LOCK std::lock_guard<std::recursive_mutex> lock(mutex)

API cuInit(unsigned) { return SUCCESS; }
API cuDriverGetVersion(int* version) { return *version = 12000, SUCCESS; }
API cuGetErrorName(int error, const char** name) {
    switch (error) {
        case OUT_OF_MEMORY: return *name = "CUDA_ERROR_OUT_OF_MEMORY", SUCCESS;
        case INVALID_DEVICE: return *name = "CUDA_ERROR_INVALID_DEVICE", SUCCESS;
        case NOT_FOUND: return *name = "CUDA_ERROR_NOT_FOUND", SUCCESS;
        case INVALID_HANDLE: return *name = "CUDA_ERROR_INVALID_HANDLE", SUCCESS;
        case NOT_READY: return *name = "CUDA_ERROR_NOT_READY", SUCCESS;
        default: return *name = "CUDA_ERROR_INVALID_VALUE", SUCCESS;
    }
}
API cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

API cuDeviceGetCount(int* count) { return *count = devices(), SUCCESS; }
API cuDeviceGet(int* device, int ordinal) { return ordinal < 0 || ordinal >= devices() ? INVALID_DEVICE : (*device = ordinal, SUCCESS); }
API cuDeviceGetName(char* name, int size, int) { return std::snprintf(name, size, "emulator"), SUCCESS; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = memory(), SUCCESS; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 16: return *value = 2, SUCCESS;  // multiprocessors
        case 38: return *value = 1 << 16, SUCCESS;  // bytes of cache
        case 75: return *value = 9, SUCCESS;  // compute capability
        case 115: return *value = 1, SUCCESS; // memory pools
        default: return *value = 0, SUCCESS;
    }
}
API cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
API cuMemPoolSetAttribute(void*, int attribute, void*) {
    LOCK;
    if (attribute == 8) used_high = used;  // most bytes used, from now on
    return SUCCESS;
}
API cuMemPoolGetAttribute(void*, int attribute, void* value) {
    LOCK;
    switch (attribute) {
        case 5: return *(uint64_t*)value = reserved, SUCCESS;
        case 7: return *(uint64_t*)value = used, SUCCESS;
        case 8: return *(uint64_t*)value = used_high, SUCCESS;  // most bytes used
        default: return INVALID_VALUE;
    }
}
API cuMemPoolTrimTo(void*, size_t keep) {
    LOCK;
    for (auto block = kept.begin(); block != kept.end() && reserved > keep;)
        if (*block->free) reserved -= block->bytes, block = kept.erase(block);
        else block++;
    return SUCCESS;
}
API cuDevicePrimaryCtxRetain(void** retained, int device) { return *retained = (void*)(uintptr_t)(1 + device), SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
API cuCtxGetCurrent(void** current) { return *current = context, SUCCESS; }
API cuCtxSetCurrent(void* current) { return context = current, SUCCESS; }
API cuMemGetInfo_v2(size_t* free, size_t* total) {
    LOCK;
    return *total = memory(), *free = *total - reserved, SUCCESS;
}

API cuStreamCreate(void** stream, unsigned) {
    LOCK;
    auto created = std::make_unique<Stream>();
    *stream = created.get();
    streams.emplace(*stream, std::move(created));
    return SUCCESS;
}
API cuStreamSynchronize(void* stream) {
    LOCK;
    return stream_of(stream).wait(), SUCCESS;
}
API cuStreamDestroy_v2(void* stream) {
    LOCK;
    stream_of(stream).wait();
    streams.erase(stream);
    return SUCCESS;
}
API cuCtxSynchronize() {
    LOCK;
    default_stream.wait();
    for (auto& stream : streams) stream.second->wait();
    return SUCCESS;
}

API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    LOCK;
    if (auto record = ((Event*)event)->record) stream_of(stream).queue.push_back([=] { record->wait(); });
    return SUCCESS;
}

API cuEventCreate(void** event, unsigned) {
    LOCK;
    auto created = std::make_unique<Event>();
    *event = created.get();
    events.emplace(*event, std::move(created));
    return SUCCESS;
}
API cuEventDestroy_v2(void* event) {
    LOCK;
    return events.erase(event) ? SUCCESS : INVALID_HANDLE;
}
API cuEventRecord(void* event, void* stream) {
    LOCK;
    auto record = std::make_shared<Record>();
    record->stream = &stream_of(stream);
    ((Event*)event)->record = record;
    record->stream->queue.push_back([=] {
        record->reached = true;
        record->milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
    });
    return SUCCESS;
}
API cuEventSynchronize(void* event) {
    LOCK;
    if (auto record = ((Event*)event)->record) record->wait();
    return SUCCESS;
}
API cuEventQuery(void* event) {
    LOCK;
    auto record = ((Event*)event)->record;
    return !record || record->reached ? SUCCESS : NOT_READY;
}
API cuEventElapsedTime(float* milliseconds, void* start, void* end) {
    LOCK;
    auto from = ((Event*)start)->record, to = ((Event*)end)->record;
    if (!from || !to) return INVALID_HANDLE;
    if (!from->reached || !to->reached) return NOT_READY;
    return *milliseconds = (float)(to->milliseconds - from->milliseconds), SUCCESS;
}

API cuMemHostAlloc(void** place, size_t bytes, unsigned) {
    LOCK;
    if (locked + bytes > setting("PROOFMILL_EMULATOR_LOCKED", SIZE_MAX) || posix_memalign(place, ALIGNMENT, bytes)) return OUT_OF_MEMORY;
    std::memset(*place, PATTERN, bytes);
    locked += bytes;
    page_locked[(char*)*place] = bytes;
    return SUCCESS;
}
API cuMemFreeHost(void* place) {
    LOCK;
    auto found = page_locked.find((char*)place);
    if (found == page_locked.end()) return INVALID_VALUE;
    locked -= found->second;
    page_locked.erase(found);
    return std::free(place), SUCCESS;
}
API cuMemAllocAsync(Pointer* pointer, size_t bytes, void* stream) {
    LOCK;
    bytes = std::max(bytes, (size_t)1);
    Block block = take(bytes, &stream_of(stream));
    void* place = nullptr;
    if (!block.bytes || posix_memalign(&place, ALIGNMENT, bytes)) return OUT_OF_MEMORY;
    std::memset(place, PATTERN, bytes);
    allocated[(Pointer)place] = block;
    return *pointer = (Pointer)place, SUCCESS;
}
API cuMemFreeAsync(Pointer pointer, void* stream) {
    LOCK;
    auto found = allocated.find(pointer);
    if (found == allocated.end()) {
        std::fprintf(stderr, "emulator: memory is freed that is not allocated\n");
        std::_Exit(134);
    }
    Block block = found->second;
    allocated.erase(found);
    used -= block.used;
    block.freed_in = &stream_of(stream);
    block.free = std::make_shared<bool>(false);
    kept.push_back(block);
    block.freed_in->queue.push_back([=] {
        // Whoever reads it from now on reads nonsense, or is found by the address checker.
        std::memset((void*)pointer, PATTERN, block.used);
        std::free((void*)pointer);
        *block.free = true;
    });
    return SUCCESS;
}
API cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t bytes, void* stream) {
    LOCK;
    if (is_page_locked(from)) return stream_of(stream).queue.push_back([=] { std::memcpy((void*)to, from, bytes); }), SUCCESS;
    auto copy = std::make_shared<std::vector<char>>((const char*)from, (const char*)from + bytes);
    stream_of(stream).queue.push_back([=] { std::memcpy((void*)to, copy->data(), bytes); });
    return SUCCESS;
}
API cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t bytes, void* stream) {
    LOCK;
    if (is_page_locked(to)) return stream_of(stream).queue.push_back([=] { std::memcpy(to, (void*)from, bytes); }), SUCCESS;
    stream_of(stream).wait();
    std::memcpy(to, (void*)from, bytes);
    return SUCCESS;
}
API cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void* stream) {
    LOCK;
    stream_of(stream).queue.push_back([=] { std::memmove((void*)to, (void*)from, bytes); });
    return SUCCESS;
}
API cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, void* stream) {
    LOCK;
    stream_of(stream).queue.push_back([=] { std::memset((void*)to, value, bytes); });
    return SUCCESS;
}

API cuModuleLoadData(void** module, const void* image) { return *module = (void*)image, SUCCESS; }
API cuModuleUnload(void*) { return SUCCESS; }
API cuModuleGetFunction(void** function, void*, const char* name) {
    const emulator::Kernel* kernel = emulator::find(name);
    return kernel ? (*function = (void*)kernel, SUCCESS) : NOT_FOUND;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned, void* stream,
                   void** arguments, void**) {
    LOCK;
    auto kernel = (const emulator::Kernel*)function;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || (uint64_t)bx * by * bz > kernel->threads) return INVALID_VALUE;
    emulator::Launch launch{kernel, kernel->copy(arguments), {gx, gy, gz}, {bx, by, bz}};
    stream_of(stream).queue.push_back([=] { emulator::run(launch); });
    return SUCCESS;
}
