#include "ptx_run.h"

#include <string.h>

// What a kernel does with memory, and whether it may.

// MARK: Races

enum { THREAD_BITS = 10, THREAD_MASK = (1 << THREAD_BITS) - 1, EARLIER_GROUP = 1 << 30 };

/// Two accesses that nothing orders: with which thread, and whether that one wrote.
typedef struct {
    bool is_there, other_wrote, other_group;
    uint32_t other;
} conflict;

/// Whether an access of the same group, then, happened before what the thread does now.
static inline bool is_ordered(const ptx_run *run, const ptx_warp *warp, uint32_t stamp,
                              uint32_t other) {
    return stamp < run->group_since
        || (other / PTX_LANES == warp->first_thread / PTX_LANES && stamp < warp->since);
}

static inline conflict with_writer(const ptx_run *run, const ptx_warp *warp, const ptx_cell *cell,
                                   uint32_t thread, uint32_t since) {
    conflict found = {0};
    if (cell->write < since) return found;
    found.other_wrote = true;
    found.other = cell->threads & THREAD_MASK;
    found.other_group = cell->write < run->group_start;
    found.is_there = found.other_group
        || (found.other != thread && !is_ordered(run, warp, cell->write, found.other));
    return found;
}

static inline void note_read(const ptx_run *run, ptx_cell *cell, uint32_t thread,
                             uint32_t since) {
    uint32_t reader = cell->threads >> THREAD_BITS & THREAD_MASK;
    uint32_t kept = cell->threads & (THREAD_MASK | EARLIER_GROUP);
    uint32_t stamp = run->world->stamp;
    if (cell->read < run->group_start) {
        kept = cell->read < since ? kept & THREAD_MASK : kept | EARLIER_GROUP;
        cell->threads = kept | thread << THREAD_BITS;
        cell->other_read = 0;
    } else if (reader != thread) {
        cell->threads = kept | thread << THREAD_BITS | reader << 2 * THREAD_BITS;
        cell->other_read = cell->read;
    }
    cell->read = stamp;
}

static conflict with_readers(const ptx_run *run, const ptx_warp *warp, const ptx_cell *cell,
                             uint32_t thread, uint32_t since) {
    conflict found = {0};
    if (cell->read < since) return found;
    found.other = cell->threads >> THREAD_BITS & THREAD_MASK;
    found.other_group = cell->read < run->group_start || (cell->threads & EARLIER_GROUP);
    found.is_there = found.other_group
        || (found.other != thread && !is_ordered(run, warp, cell->read, found.other));
    if (found.is_there || cell->other_read < run->group_start) return found;
    found.other = cell->threads >> 2 * THREAD_BITS & THREAD_MASK;
    found.is_there = found.other != thread && !is_ordered(run, warp, cell->other_read, found.other);
    return found;
}

/// `since`: accesses before do not count, those of earlier launches or of earlier groups.
static inline conflict touch(const ptx_run *run, const ptx_warp *warp, ptx_cell *cell,
                             uint32_t thread, uint32_t since, bool is_write) {
    conflict found = with_writer(run, warp, cell, thread, since);
    if (found.is_there) return found;
    if (!is_write) {
        note_read(run, cell, thread, since);
        return found;
    }
    found = with_readers(run, warp, cell, thread, since);
    cell->write = run->world->stamp;
    cell->threads = (cell->threads & ~(uint32_t)THREAD_MASK) | thread;
    return found;
}

static inline bool is_same_cell(const ptx_cell *a, const ptx_cell *b) {
    return a->write == b->write && a->read == b->read && a->other_read == b->other_read
        && a->threads == b->threads;
}

/// All cells of an access. Neighbours are mostly alike, so that one answer does for all.
static inline conflict touch_all(const ptx_run *run, const ptx_warp *warp, ptx_cell *cells,
                                 uint32_t count, uint32_t lane, uint32_t since, bool is_write) {
    uint32_t thread = warp->first_thread + lane;
    ptx_cell before = cells[0];
    conflict found = touch(run, warp, &cells[0], thread, since, is_write);
    for (uint32_t i = 1; i < count && !found.is_there; i++) {
        if (is_same_cell(&cells[i], &before)) {
            cells[i] = cells[0];
        } else {
            found = touch(run, warp, &cells[i], thread, since, is_write);
        }
    }
    return found;
}

// MARK: Where accesses go

typedef struct {
    ptx_run *run;
    ptx_warp *warp;
    ptx_instruction *in;
    uint32_t lane, bytes;
    bool is_write;
} access;

static const char *verb(const access *a) { return a->is_write ? "writes" : "reads"; }

static uint8_t *refuse_race(const access *a, const char *space, uint64_t address, conflict found) {
    ptx_fault(a->run, a->warp, a->in, a->lane,
              "a race: it %s %u bytes of %s memory at 0x%llx that thread %u of %s %s, and nothing "
              "orders the two",
              verb(a), a->bytes, space, (unsigned long long)address, found.other,
              found.other_group ? "another group" : "this group",
              found.other_wrote ? "wrote" : "read");
    return NULL;
}

static uint8_t *refuse_place(const access *a, const char *space, uint64_t address) {
    ptx_fault(a->run, a->warp, a->in, a->lane, "it %s %u bytes outside of %s, at 0x%llx", verb(a),
              a->bytes, space, (unsigned long long)address);
    return NULL;
}

/// The last range that begins at the address or before, or the first.
static uint32_t find_range(const ptx_world *world, uint64_t address) {
    size_t low = 0, high = world->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (world->ranges[middle].begin <= address) low = middle;
        else high = middle;
    }
    return (uint32_t)low;
}

static inline bool holds(const ptx_range *range, uint64_t address, uint32_t bytes) {
    uint64_t size = range->end - range->begin, offset = address - range->begin;
    return offset < size && size - offset >= bytes;
}

static uint8_t *refuse_global(const access *a, uint64_t address) {
    const ptx_world *world = a->run->world;
    const ptx_range *range = world->count > 0 ? &world->ranges[find_range(world, address)] : NULL;
    if (range != NULL && range->begin <= address && address - range->begin < UINT64_C(1) << 32)
        ptx_fault(a->run, a->warp, a->in, a->lane,
                  "it %s %u bytes at 0x%llx: byte %llu of an allocation of %llu bytes", verb(a),
                  a->bytes, (unsigned long long)address,
                  (unsigned long long)(address - range->begin),
                  (unsigned long long)(range->end - range->begin));
    else refuse_place(a, "every allocation", address);
    return NULL;
}

static inline uint8_t *reach_global(const access *a, uint64_t address) {
    const ptx_run *run = a->run;
    const ptx_world *world = run->world;
    uint32_t at = a->in->hint;
    if (at >= world->count || !holds(&world->ranges[at], address, a->bytes)) {
        if (world->count == 0) return refuse_global(a, address);
        at = a->in->hint = find_range(world, address);
        if (!holds(&world->ranges[at], address, a->bytes)) return refuse_global(a, address);
    }
    const ptx_range *range = &world->ranges[at];
    if (range->device >= 0 && range->device != run->device) {
        ptx_fault(a->run, a->warp, a->in, a->lane, "it %s memory of device %d on device %d",
                  verb(a), range->device, run->device);
        return NULL;
    }
    uint64_t first = (address - range->begin) >> 1;
    uint64_t last = (address + a->bytes - 1 - range->begin) >> 1;
    conflict found = touch_all(run, a->warp, range->cells + first, (uint32_t)(last - first + 1),
                               a->lane, run->launch_since, a->is_write);
    if (found.is_there) return refuse_race(a, "global", address, found);
    return (uint8_t *)(uintptr_t)address;
}

static uint8_t *refuse_unwritten(const access *a, const char *space, uint64_t offset) {
    ptx_fault(a->run, a->warp, a->in, a->lane, "it reads %s memory, byte %llu, that nobody wrote",
              space, (unsigned long long)offset);
    return NULL;
}

static inline uint8_t *reach_shared(const access *a, uint64_t address) {
    const ptx_run *run = a->run;
    uint64_t offset = address - PTX_WINDOW;
    if (offset >= run->shared_bytes || run->shared_bytes - offset < a->bytes)
        return refuse_place(a, "all shared arrays", address);
    uint64_t first = offset >> 1, last = (offset + a->bytes - 1) >> 1;
    uint8_t owner = run->shared_owner[first];
    if (owner == 0 || run->shared_owner[last] != owner)
        return refuse_place(a, "all shared arrays", address);
    for (uint64_t i = first; i <= last && !a->is_write; i++)
        if (run->shared_cells[i].write < run->group_start)
            return refuse_unwritten(a, "shared", offset);
    conflict found = touch_all(run, a->warp, run->shared_cells + first,
                               (uint32_t)(last - first + 1), a->lane, run->group_start,
                               a->is_write);
    if (found.is_there) return refuse_race(a, "shared", address, found);
    return run->shared + offset;
}

static bool is_in_object(const ptx_entry *entry, ptx_space space, uint64_t offset, uint32_t bytes) {
    for (uint32_t i = 0; i < entry->object_count; i++) {
        const ptx_object *object = &entry->objects[i];
        if (object->space == space && offset >= object->offset
            && offset + bytes <= (uint64_t)object->offset + object->size)
            return true;
    }
    return false;
}

static uint8_t *reach_local(const access *a, uint64_t address) {
    const ptx_entry *entry = a->run->entry;
    uint64_t offset = address - PTX_WINDOW;
    if (offset > UINT32_MAX || !is_in_object(entry, PTX_LOCAL, offset, a->bytes))
        return refuse_place(a, "all local arrays", address);
    uint64_t at = (uint64_t)a->lane * entry->local_bytes + offset;
    for (uint32_t i = 0; i < a->bytes; i++) {
        if (a->is_write) a->warp->local_written[at + i] = 1;
        else if (!a->warp->local_written[at + i]) return refuse_unwritten(a, "local", offset);
    }
    return a->warp->local + at;
}

static uint8_t *reach_param(const access *a, uint64_t address) {
    uint64_t offset = address - PTX_WINDOW;
    if (offset > UINT32_MAX || !is_in_object(a->run->entry, PTX_PARAM, offset, a->bytes))
        return refuse_place(a, "all parameters", address);
    // Parameters are read only; nothing writes through this.
    return (uint8_t *)(uintptr_t)(a->run->params + offset);
}

static inline uint8_t *reach(const access *a, uint64_t address) {
    if (address & (a->bytes - 1)) {
        ptx_fault(a->run, a->warp, a->in, a->lane, "it %s %u bytes at 0x%llx, which is not aligned",
                  verb(a), a->bytes, (unsigned long long)address);
        return NULL;
    }
    switch (a->in->space) {
    case PTX_GLOBAL: return reach_global(a, address);
    case PTX_SHARED: return reach_shared(a, address);
    case PTX_LOCAL: return reach_local(a, address);
    case PTX_PARAM: return reach_param(a, address);
    default: break;
    }
    if (address >> 32 == PTX_SHARED_WINDOW >> 32) return reach_shared(a, (uint32_t)address);
    if (address >> 32 == PTX_LOCAL_WINDOW >> 32) return reach_local(a, (uint32_t)address);
    return reach_global(a, address);
}

uint8_t *ptx_reach(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lane,
                   uint64_t address, uint32_t bytes, bool is_write) {
    access a = {run, warp, in, lane, bytes, is_write};
    return reach(&a, address);
}

// MARK: Loads and stores

static inline uint64_t read_value(const uint8_t *at, unsigned type) {
    union { uint8_t b; int8_t c; uint16_t h; int16_t i; uint32_t w; int32_t j; uint64_t d; } u;
    switch (type) {
    case PTX_U8: return *at;
    case PTX_S8: return (uint64_t)(int8_t)*at;
    case PTX_U16: return memcpy(&u.h, at, 2), u.h;
    case PTX_S16: return memcpy(&u.i, at, 2), (uint64_t)u.i;
    case PTX_S32: return memcpy(&u.j, at, 4), (uint64_t)u.j;
    case PTX_U64:
    case PTX_S64: return memcpy(&u.d, at, 8), u.d;
    default: return memcpy(&u.w, at, 4), u.w;
    }
}

static inline void write_value(uint8_t *at, unsigned bytes, uint64_t value) {
    uint32_t word = (uint32_t)value;
    uint16_t half = (uint16_t)value;
    switch (bytes) {
    case 1: *at = (uint8_t)value; break;
    case 2: memcpy(at, &half, 2); break;
    case 4: memcpy(at, &word, 4); break;
    default: memcpy(at, &value, 8); break;
    }
}

bool ptx_load(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes) {
    uint64_t *rows = warp->rows;
    const uint64_t *base = rows + in->slots[in->writes] * PTX_LANES;
    uint32_t size = (uint32_t)ptx_type_bytes((ptx_type)in->type);
    access a = {run, warp, in, 0, size * in->count, false};
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        a.lane = (uint32_t)__builtin_ctz(left);
        const uint8_t *at = reach(&a, base[a.lane] + (uint64_t)in->offset);
        if (at == NULL) return false;
        for (uint32_t i = 0; i < in->count; i++)
            rows[in->slots[i] * PTX_LANES + a.lane] = read_value(at + i * size, in->type);
    }
    return true;
}

bool ptx_store(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes) {
    const uint64_t *rows = warp->rows;
    const uint64_t *base = rows + in->slots[0] * PTX_LANES;
    uint32_t size = (uint32_t)ptx_type_bytes((ptx_type)in->type);
    access a = {run, warp, in, 0, size * in->count, true};
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        a.lane = (uint32_t)__builtin_ctz(left);
        uint8_t *at = reach(&a, base[a.lane] + (uint64_t)in->offset);
        if (at == NULL) return false;
        for (uint32_t i = 0; i < in->count; i++)
            write_value(at + i * size, size, rows[in->slots[1 + i] * PTX_LANES + a.lane]);
    }
    return true;
}
