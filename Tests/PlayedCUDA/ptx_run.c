#include "ptx_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Faults

/// The instruction's text with single spaces.
static void copy_text(char *to, size_t bytes, const ptx_instruction *in) {
    size_t used = 0;
    bool was_space = false;
    for (uint32_t i = 0; i < in->length && used + 2 < bytes; i++) {
        char c = in->text[i];
        bool is_space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (is_space && was_space) continue;
        to[used++] = is_space ? ' ' : c;
        was_space = is_space;
    }
    to[used] = 0;
}

bool ptx_fault(ptx_run *run, ptx_warp *warp, const ptx_instruction *in, uint32_t lane,
               const char *format, ...) {
    char text[256];
    copy_text(text, sizeof text, in);
    uint32_t thread = warp->first_thread + lane;
    uint32_t x = thread % run->block[0], y = thread / run->block[0] % run->block[1];
    uint32_t z = thread / run->block[0] / run->block[1];
    int used = snprintf(run->fault, PTX_ERROR_BYTES,
                        "kernel %s, group (%u, %u, %u), thread (%u, %u, %u), line %u `%s;`: ",
                        run->entry->name, run->group[0], run->group[1], run->group[2], x, y, z,
                        in->line, text);
    if (used < 0 || used >= PTX_ERROR_BYTES) return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(run->fault + used, (size_t)(PTX_ERROR_BYTES - used), format, arguments);
    va_end(arguments);
    return false;
}

// MARK: Preparing

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);
    if (memory == NULL) abort();
    return memory;
}

/// Which array each two bytes of shared memory are of. The launch's own bytes come last.
static void prepare_shared(ptx_run *run, uint32_t dynamic_bytes) {
    const ptx_entry *e = run->entry;
    run->shared_bytes = e->has_dynamic ? e->dynamic_at + dynamic_bytes : e->shared_bytes;
    run->shared = zeroed(run->shared_bytes + 8u, 1);
    run->shared_owner = zeroed(run->shared_bytes / 2 + 1, 1);
    run->shared_cells = zeroed(run->shared_bytes / 2 + 1, sizeof *run->shared_cells);
    for (uint32_t i = 0; i < e->object_count; i++) {
        const ptx_object *object = &e->objects[i];
        if (object->space != PTX_SHARED) continue;
        uint32_t size = object->is_dynamic ? dynamic_bytes : object->size;
        memset(run->shared_owner + object->offset / 2, (int)(i % 255 + 1), (size + 1) / 2);
    }
}

static void fill_row(ptx_warp *warp, uint32_t row, uint64_t value) {
    for (int lane = 0; lane < PTX_LANES; lane++) warp->rows[row * PTX_LANES + lane] = value;
}

static void fill_lanes(const ptx_run *run, ptx_warp *warp) {
    for (uint32_t lane = 0; lane < PTX_LANES; lane++) {
        uint32_t thread = warp->first_thread + lane, bit = 1u << lane;
        uint64_t *slot = warp->rows + lane;
        slot[PTX_TID * PTX_LANES] = thread % run->block[0];
        slot[(PTX_TID + 1) * PTX_LANES] = thread / run->block[0] % run->block[1];
        slot[(PTX_TID + 2) * PTX_LANES] = thread / run->block[0] / run->block[1];
        slot[PTX_LANEID * PTX_LANES] = lane;
        slot[PTX_LANEMASK_EQ * PTX_LANES] = bit;
        slot[PTX_LANEMASK_LT * PTX_LANES] = bit - 1;
        slot[PTX_LANEMASK_LE * PTX_LANES] = bit | (bit - 1);
        slot[PTX_LANEMASK_GT * PTX_LANES] = (uint32_t)~(bit | (bit - 1));
        slot[PTX_LANEMASK_GE * PTX_LANES] = (uint32_t)~(bit - 1);
    }
}

static void prepare_warp(const ptx_run *run, ptx_warp *warp, uint32_t number) {
    const ptx_entry *e = run->entry;
    warp->first_thread = number * PTX_LANES;
    uint32_t left = run->threads - warp->first_thread;
    warp->exists = left >= PTX_LANES ? UINT32_MAX : (1u << left) - 1;
    size_t row_bytes = (size_t)e->row_count * PTX_LANES * sizeof *warp->rows;
    warp->rows = aligned_alloc(256, (row_bytes + 255) / 256 * 256);
    if (warp->rows == NULL) abort();
    memset(warp->rows, 0, row_bytes);
    warp->written = zeroed(e->row_count, sizeof *warp->written);
    warp->predicates = zeroed(e->predicate_count, sizeof *warp->predicates);
    warp->predicates_written = zeroed(e->predicate_count, sizeof *warp->predicates_written);
    warp->local = zeroed(e->local_bytes, PTX_LANES);
    warp->local_written = zeroed(e->local_bytes, PTX_LANES);
    fill_lanes(run, warp);
    fill_row(warp, PTX_WARPID, number);
    for (uint32_t i = 0; i < 3; i++) {
        fill_row(warp, PTX_NTID + i, run->block[i]);
        fill_row(warp, PTX_NCTAID + i, run->grid[i]);
    }
    for (uint32_t i = 0; i < e->constant_count; i++)
        fill_row(warp, e->constants[i].row, e->constants[i].value);
}

static void free_run(ptx_run *run) {
    for (uint32_t i = 0; i < run->warp_count; i++) {
        ptx_warp *warp = &run->warps[i];
        free(warp->rows);
        free(warp->written);
        free(warp->predicates);
        free(warp->predicates_written);
        free(warp->local);
        free(warp->local_written);
    }
    free(run->warps);
    free(run->shared);
    free(run->shared_owner);
    free(run->shared_cells);
}

// MARK: Groups

/// A group begins with nothing written but what is given.
static void begin_group(ptx_run *run) {
    const ptx_entry *e = run->entry;
    run->group_start = run->group_since = ++run->world->stamp;
    for (uint32_t i = 0; i < run->warp_count; i++) {
        ptx_warp *warp = &run->warps[i];
        warp->alive = warp->exists;
        warp->at_barrier = warp->at_sync = 0;
        warp->since = run->group_start;
        memset(warp->pc, 0, sizeof warp->pc);
        memset(warp->written, 0, e->row_count * sizeof *warp->written);
        memset(warp->written, 0xff, PTX_FIRST_ROW * sizeof *warp->written);
        memset(warp->predicates_written, 0, e->predicate_count * sizeof *warp->written);
        memset(warp->predicates_written, 0xff, PTX_FIRST_PREDICATE * sizeof *warp->written);
        memset(warp->local_written, 0, (size_t)e->local_bytes * PTX_LANES);
        warp->predicates[PTX_FALSE] = 0;
        warp->predicates[PTX_TRUE] = UINT32_MAX;
        for (uint32_t k = 0; k < e->constant_count; k++)
            warp->written[e->constants[k].row] = UINT32_MAX;
        for (uint32_t k = 0; k < 3; k++) fill_row(warp, PTX_CTAID + k, run->group[k]);
    }
}

/// All that still run wait at a barrier: it must be the same one. Those that have ended are not
/// waited for, as on a card.
static bool release_barrier(ptx_run *run) {
    ptx_warp *first = NULL;
    uint32_t first_lane = 0;
    for (uint32_t i = 0; i < run->warp_count; i++) {
        ptx_warp *warp = &run->warps[i];
        for (uint32_t left = warp->at_barrier; left != 0; left &= left - 1) {
            uint32_t lane = (uint32_t)__builtin_ctz(left);
            if (first == NULL) {
                first = warp;
                first_lane = lane;
            }
            const ptx_instruction *in = &run->entry->code[warp->pc[lane]];
            uint32_t other = first->pc[first_lane];
            if (warp->pc[lane] != other)
                return ptx_fault(run, warp, in, lane,
                                 "thread %u waits at another barrier, in line %u",
                                 first->first_thread + first_lane, run->entry->code[other].line);
        }
    }
    run->group_since = ++run->world->stamp;
    for (uint32_t i = 0; i < run->warp_count; i++) {
        ptx_warp *warp = &run->warps[i];
        for (uint32_t left = warp->at_barrier; left != 0; left &= left - 1)
            warp->pc[__builtin_ctz(left)]++;
        warp->at_barrier = 0;
        warp->since = run->group_since;
    }
    return true;
}

static bool run_group(ptx_run *run) {
    begin_group(run);
    if (run->instructions > run->world->limit)
        return ptx_fault(run, run->warps, run->entry->code, 0,
                         "the launch has run %llu instructions and counts as hung",
                         (unsigned long long)run->world->limit);
    for (;;) {
        uint32_t waiting = 0;
        for (uint32_t i = 0; i < run->warp_count; i++) {
            if (!ptx_run_warp(run, &run->warps[i])) return false;
            waiting |= run->warps[i].at_barrier;
        }
        if (waiting == 0) return true;
        if (!release_barrier(run)) return false;
    }
}

/// Stamps are few enough for a test's life; when they do run out, all of memory is as if new.
static void keep_stamps(ptx_world *world) {
    if (world->stamp < UINT32_C(3) << 30) return;
    for (size_t i = 0; i < world->count; i++) {
        ptx_range *range = &world->ranges[i];
        memset(range->cells, 0, (range->end - range->begin + 1) / 2 * sizeof *range->cells);
    }
    world->stamp = 0;
}

bool ptx_execute(ptx_world *world, const ptx_launch *launch, char fault[PTX_ERROR_BYTES]) {
    keep_stamps(world);
    ptx_run run = {.world = world, .entry = launch->entry, .device = launch->device,
                   .params = launch->params, .fault = fault};
    memcpy(run.grid, launch->grid, sizeof run.grid);
    memcpy(run.block, launch->block, sizeof run.block);
    run.threads = run.block[0] * run.block[1] * run.block[2];
    run.warp_count = (run.threads + PTX_LANES - 1) / PTX_LANES;
    run.warps = zeroed(run.warp_count, sizeof *run.warps);
    prepare_shared(&run, launch->dynamic_bytes);
    for (uint32_t i = 0; i < run.warp_count; i++) prepare_warp(&run, &run.warps[i], i);
    run.launch_since = ++world->stamp;
    bool is_right = true;
    for (uint32_t z = 0; is_right && z < run.grid[2]; z++)
        for (uint32_t y = 0; is_right && y < run.grid[1]; y++)
            for (uint32_t x = 0; is_right && x < run.grid[0]; x++) {
                run.group[0] = x, run.group[1] = y, run.group[2] = z;
                is_right = run_group(&run);
            }
    world->instructions += run.instructions;
    free_run(&run);
    return is_right;
}
