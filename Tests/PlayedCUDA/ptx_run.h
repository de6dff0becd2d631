#ifndef PTX_RUN_H
#define PTX_RUN_H

#include "ptx_parse.h"

// Runs an entry over a grid. Groups run one after another. The lanes of a warp that are at the
// same instruction run it together; where they part, those that are behind in the text go first.
// No result depends on that order unless threads race, and races are found.

/// Who touched two bytes last. Stamps count barriers and warp-wide instructions: an access with a
/// stamp from before a thread's last one of those happened before what the thread does now.
typedef struct {
    uint32_t write, read;     ///< stamps of the last write and the last read, 0: never
    uint32_t other_read;      ///< of the last read by another thread than the last reader
    uint32_t threads;         ///< ten bits each: writer, reader, other reader; then a flag
} ptx_cell;

/// Memory that kernels may reach: addresses are those of this process.
typedef struct {
    uint64_t begin, end;
    ptx_cell *cells;          ///< one for two bytes
    int device;               ///< which device's kernels, or any if negative
} ptx_range;

/// What launches share.
typedef struct {
    ptx_range *ranges;        ///< by address
    size_t count;
    uint32_t stamp;
    uint64_t instructions, limit;
} ptx_world;

typedef struct {
    uint32_t first_thread;
    uint32_t exists, alive, at_barrier, at_sync;  ///< masks of lanes
    uint32_t since;           ///< the stamp of its last barrier or warp-wide instruction
    uint32_t pc[PTX_LANES];
    uint64_t *rows;           ///< row_count times PTX_LANES
    uint32_t *written;        ///< which lanes of a row have been written
    uint32_t *predicates, *predicates_written;
    uint8_t *local;           ///< local_bytes for each lane
    uint8_t *local_written;
} ptx_warp;

typedef struct {
    ptx_world *world;
    ptx_entry *entry;
    int device;
    uint32_t grid[3], block[3], group[3];
    uint32_t threads, warp_count;
    ptx_warp *warps;
    const uint8_t *params;
    uint32_t shared_bytes;
    uint8_t *shared;
    uint8_t *shared_owner;    ///< which array each two bytes are of, 0 for gaps
    ptx_cell *shared_cells;
    uint32_t launch_since, group_start, group_since;
    uint64_t instructions;
    char *fault;              ///< PTX_ERROR_BYTES; empty while all is well
} ptx_run;

typedef struct {
    ptx_entry *entry;
    int device;
    uint32_t grid[3], block[3], dynamic_bytes;
    const uint8_t *params;
} ptx_launch;

/// False with a text in `fault` when the kernel did what it must not.
bool ptx_execute(ptx_world *world, const ptx_launch *launch, char fault[PTX_ERROR_BYTES]);

// MARK: Between the runner's files

/// Writes the fault: where, which instruction, and what. Always false.
bool ptx_fault(ptx_run *run, ptx_warp *warp, const ptx_instruction *in, uint32_t lane,
               const char *format, ...) __attribute__((format(printf, 5, 6)));

/// One instruction that neither branches nor needs other lanes.
bool ptx_step(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes);

/// Runs a warp's lanes until all have ended or wait at a barrier.
bool ptx_run_warp(ptx_run *run, ptx_warp *warp);

bool ptx_load(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes);
bool ptx_store(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes);
/// Where a lane's access goes, after all checks; NULL after a fault.
uint8_t *ptx_reach(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lane,
                   uint64_t address, uint32_t bytes, bool is_write);

/// shfl, vote, mma, ldmatrix, bar.warp.sync, for lanes that are all there.
bool ptx_run_together(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes);

/// A float operation with all modifiers, for one lane.
float ptx_float_special(const ptx_instruction *in, float a, float b, float c);
/// A float operation beyond what the processor has as one instruction, for one lane.
float ptx_float_plain(unsigned op, float a);
float ptx_float_smaller(float a, float b, bool keeps_nan);
float ptx_float_larger(float a, float b, bool keeps_nan);
/// d = a · b + c rounded once, for all lanes of a row.
void ptx_fma_row(uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c);
uint64_t ptx_convert(const ptx_instruction *in, uint64_t a, uint64_t b);
float ptx_half_value(uint16_t bits);
bool ptx_has_class(unsigned manner, float value);

static inline float ptx_float(uint64_t slot) {
    union { uint32_t bits; float value; } u = {.bits = (uint32_t)slot};
    return u.value;
}

static inline uint64_t ptx_bits(float value) {
    union { float value; uint32_t bits; } u = {.value = value};
    return u.bits;
}

#endif
