#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cuda_driver.h"

// Allocations and what copies between them.

/// Nothing can be reached that far before and behind an allocation: what runs over an end finds
/// no neighbour.
static const size_t guard_bytes = 1 << 20;
static const size_t page_bytes = 1 << 16;

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// MARK: The table

long played_find_range(played_pointer address) {
    for (size_t low = 0, high = played.world.count; low < high;) {
        size_t middle = (low + high) / 2;
        const ptx_range *range = &played.world.ranges[middle];
        if (address < range->begin) high = middle;
        else if (address >= range->end) low = middle + 1;
        else return (long)middle;
    }
    return -1;
}

bool played_is_within(played_pointer address, uint64_t bytes) {
    long at = played_find_range(address);
    return at >= 0 && played.world.ranges[at].end - address >= bytes;
}

static size_t cell_bytes(uint64_t bytes) { return (size_t)((bytes + 1) / 2 * sizeof(ptx_cell)); }

static void insert(ptx_range range, played_map map) {
    ptx_world *world = &played.world;
    size_t count = world->count, at = count;
    world->ranges = realloc(world->ranges, (count + 1) * sizeof *world->ranges);
    played.maps = realloc(played.maps, (count + 1) * sizeof *played.maps);
    if (world->ranges == NULL || played.maps == NULL) abort();
    for (; at > 0 && world->ranges[at - 1].begin > range.begin; at--) {
        world->ranges[at] = world->ranges[at - 1];
        played.maps[at] = played.maps[at - 1];
    }
    world->ranges[at] = range;
    played.maps[at] = map;
    world->count++;
}

static void free_at(size_t at) {
    ptx_world *world = &played.world;
    ptx_range *range = &world->ranges[at];
    uint64_t bytes = range->end - range->begin;
    if (range->device >= 0) played.contexts[range->device].used -= bytes;
    munmap(range->cells, cell_bytes(bytes));
    munmap(played.maps[at].map, played.maps[at].map_bytes);
    world->count--;
    memmove(range, range + 1, (world->count - at) * sizeof *range);
    memmove(&played.maps[at], &played.maps[at + 1], (world->count - at) * sizeof *played.maps);
}

void played_free_all_memory(void) {
    while (played.world.count > 0) free_at(played.world.count - 1);
    free(played.world.ranges);
    free(played.maps);
}

/// 0 when there is no memory.
static played_pointer allocate(uint64_t bytes, int device) {
    size_t kept = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    size_t all = kept + 2 * guard_bytes;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    uint8_t *map = mmap(NULL, all, PROT_NONE, flags, -1, 0);
    if (map == MAP_FAILED) return 0;
    uint8_t *begin = map + guard_bytes;
    void *cells = mmap(NULL, cell_bytes(bytes), PROT_READ | PROT_WRITE, flags, -1, 0);
    if (cells == MAP_FAILED || mprotect(begin, kept, PROT_READ | PROT_WRITE) != 0) {
        if (cells != MAP_FAILED) munmap(cells, cell_bytes(bytes));
        munmap(map, all);
        return 0;
    }
    memset(begin, 0xff, bytes);
    played_pointer address = (played_pointer)(uintptr_t)begin;
    insert((ptx_range){address, address + bytes, cells, device},
           (played_map){map, all, device < 0});
    return address;
}

/// Whether queued work reads or writes the range, as far as can be seen before it runs: addresses
/// among a kernel's parameters count, those in memory are found when the kernel follows them.
static bool is_used(const ptx_range *range) {
    for (played_stream *s = played.streams; s != NULL; s = s->next)
        for (played_work *w = s->first; w != NULL; w = w->next) {
            if (w->kind == PLAYED_COPY || w->kind == PLAYED_SET) {
                bool to = w->to < range->end && w->to + w->bytes > range->begin;
                bool from = w->kind == PLAYED_COPY && w->from < range->end
                    && w->from + w->bytes > range->begin;
                if (to || from) return true;
            }
            if (w->kind != PLAYED_LAUNCH) continue;
            for (uint32_t i = 0; i + 8 <= w->launch.entry->param_bytes; i += 4) {
                played_pointer value;
                memcpy(&value, w->params + i, sizeof value);
                if (value >= range->begin && value < range->end) return true;
            }
        }
    return false;
}

static played_result release(played_pointer address, bool is_host) {
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    long at = played_find_range(address);
    if (at < 0 || played.world.ranges[at].begin != address || played.maps[at].is_host != is_host)
        return CUDA_ERROR_INVALID_VALUE;
    if (is_used(&played.world.ranges[at])) {
        played_note("memory at 0x%llx is freed while queued work uses it",
                    (unsigned long long)address);
        context->is_broken = true;
        return CUDA_ERROR_ILLEGAL_ADDRESS;
    }
    free_at((size_t)at);
    return CUDA_SUCCESS;
}

// MARK: Allocations

static int cu_memory_info(size_t *unused, size_t *total) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (unused == NULL || total == NULL) return CUDA_ERROR_INVALID_VALUE;
    *total = played.memory;
    *unused = context->used < played.memory ? played.memory - context->used : 0;
    return CUDA_SUCCESS;
}

static int cu_allocate(played_pointer *pointer, size_t bytes) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (pointer == NULL || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (context->used > played.memory || played.memory - context->used < bytes)
        return CUDA_ERROR_OUT_OF_MEMORY;
    played_pointer address = allocate(bytes, context->device);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    context->used += bytes;
    *pointer = address;
    return CUDA_SUCCESS;
}

static int cu_free(played_pointer pointer) {
    PLAYED_LOCKED;
    return release(pointer, false);
}

static int cu_allocate_host(void **pointer, size_t bytes, unsigned flags) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    if (pointer == NULL || bytes == 0 || flags > 7 || bytes >> 46 != 0)
        return CUDA_ERROR_INVALID_VALUE;
    played_pointer address = allocate(bytes, -1);
    if (address == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    *pointer = (void *)(uintptr_t)address;
    return CUDA_SUCCESS;
}

static int cu_free_host(void *pointer) {
    PLAYED_LOCKED;
    return release((played_pointer)(uintptr_t)pointer, true);
}

static int cu_host_pointer(played_pointer *device, void *host, unsigned flags) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    played_pointer address = (played_pointer)(uintptr_t)host;
    long at = played_find_range(address);
    if (device == NULL || flags != 0 || at < 0 || !played.maps[at].is_host)
        return CUDA_ERROR_INVALID_VALUE;
    *device = address;
    return CUDA_SUCCESS;
}

// MARK: Copies

typedef enum { ON_DEVICE, ON_HOST, ANYWHERE } side;

/// Whether a part lies where an allocation or the guards around it are.
static bool touches_maps(played_pointer address, uint64_t bytes) {
    for (size_t i = 0; i < played.world.count; i++) {
        played_pointer begin = (played_pointer)(uintptr_t)played.maps[i].map;
        if (address < begin + played.maps[i].map_bytes && address + bytes > begin) return true;
    }
    return false;
}

/// Memory that the driver did not allocate may be host memory; what it did must be within.
static bool check_side(played_pointer address, uint64_t bytes, side expected) {
    long at = played_find_range(address);
    if (at < 0) return expected != ON_DEVICE && address != 0 && !touches_maps(address, bytes);
    if (expected != ANYWHERE && played.maps[at].is_host != (expected == ON_HOST)) return false;
    return played.world.ranges[at].end - address >= bytes;
}

static played_result refuse(const char *what, played_pointer address, uint64_t bytes) {
    played_note("%s of %llu bytes at 0x%llx is outside of every allocation", what,
                (unsigned long long)bytes, (unsigned long long)address);
    return CUDA_ERROR_INVALID_VALUE;
}

static played_result copy(played_pointer to, side to_side, played_pointer from, side from_side,
                          uint64_t bytes, void *handle) {
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    played_stream *stream = played_find_stream(context, handle);
    if (stream == NULL) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!check_side(to, bytes, to_side)) return refuse("a copy to memory", to, bytes);
    if (!check_side(from, bytes, from_side)) return refuse("a copy of memory", from, bytes);
    played_work *work = played_queue(stream, PLAYED_COPY);
    work->to = to;
    work->from = from;
    work->bytes = bytes;
    return CUDA_SUCCESS;
}

static int cu_copy(played_pointer to, played_pointer from, size_t bytes, void *stream) {
    PLAYED_LOCKED;
    return copy(to, ANYWHERE, from, ANYWHERE, bytes, stream);
}

static int cu_copy_in(played_pointer to, const void *from, size_t bytes, void *stream) {
    PLAYED_LOCKED;
    return copy(to, ON_DEVICE, (played_pointer)(uintptr_t)from, ON_HOST, bytes, stream);
}

static int cu_copy_out(void *to, played_pointer from, size_t bytes, void *stream) {
    PLAYED_LOCKED;
    return copy((played_pointer)(uintptr_t)to, ON_HOST, from, ON_DEVICE, bytes, stream);
}

static int cu_copy_over(played_pointer to, played_pointer from, size_t bytes, void *stream) {
    PLAYED_LOCKED;
    return copy(to, ON_DEVICE, from, ON_DEVICE, bytes, stream);
}

static int cu_set(played_pointer to, unsigned value, size_t count, void *handle) {
    PLAYED_LOCKED;
    played_context *context;
    played_result result = played_current(&context);
    if (result != CUDA_SUCCESS) return result;
    played_stream *stream = played_find_stream(context, handle);
    if (stream == NULL) return CUDA_ERROR_INVALID_HANDLE;
    if (count == 0) return CUDA_SUCCESS;
    if (to % 4 != 0 || count > UINT64_MAX / 4) return CUDA_ERROR_INVALID_VALUE;
    if (!played_is_within(to, (uint64_t)count * 4)) return refuse("a set", to, count * 4);
    played_work *work = played_queue(stream, PLAYED_SET);
    work->to = to;
    work->value = value;
    work->bytes = (uint64_t)count * 4;
    return CUDA_SUCCESS;
}

bool played_run_copy(const played_work *work) {
    bool is_copy = work->kind == PLAYED_COPY;
    if (!check_side(work->to, work->bytes, ANYWHERE)
        || (is_copy && !check_side(work->from, work->bytes, ANYWHERE))) {
        played_note("queued work of %llu bytes finds its memory gone, to 0x%llx from 0x%llx",
                    (unsigned long long)work->bytes, (unsigned long long)work->to,
                    (unsigned long long)work->from);
        return false;
    }
    uint8_t *to = (uint8_t *)(uintptr_t)work->to;
    if (is_copy) memmove(to, (const void *)(uintptr_t)work->from, work->bytes);
    else
        for (uint64_t i = 0; i < work->bytes; i += 4) memcpy(to + i, &work->value, 4);
    return true;
}

const played_function played_memory_functions[] = {
    {"cuMemGetInfo_v2", (void *)cu_memory_info},
    {"cuMemAlloc_v2", (void *)cu_allocate},
    {"cuMemFree_v2", (void *)cu_free},
    {"cuMemHostAlloc", (void *)cu_allocate_host},
    {"cuMemFreeHost", (void *)cu_free_host},
    {"cuMemHostGetDevicePointer_v2", (void *)cu_host_pointer},
    {"cuMemcpyAsync", (void *)cu_copy},
    {"cuMemcpyHtoDAsync_v2", (void *)cu_copy_in},
    {"cuMemcpyDtoHAsync_v2", (void *)cu_copy_out},
    {"cuMemcpyDtoDAsync_v2", (void *)cu_copy_over},
    {"cuMemsetD32Async", (void *)cu_set},
    {NULL, NULL}};
