#include "ptx_run.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

// What the lanes of a warp do together.

static uint64_t *row(ptx_warp *warp, const ptx_instruction *in, size_t slot) {
    return warp->rows + in->slots[slot] * PTX_LANES;
}

// MARK: Shuffles and votes

/// The lane that `lane` reads from, and whether it lies within the segment.
static uint32_t shuffle_source(unsigned manner, uint32_t lane, uint32_t by, uint32_t c,
                               bool *is_inside) {
    uint32_t clamp = c & 31, segment = c >> 8 & 31;
    uint32_t lowest = lane & segment, most = lowest | (clamp & ~segment);
    uint32_t from;
    by &= 31;
    switch (manner) {
    case PTX_UP:
        from = lane - by;
        *is_inside = (int32_t)from >= (int32_t)most;
        break;
    case PTX_DOWN:
        from = lane + by;
        *is_inside = from <= most;
        break;
    case PTX_BUTTERFLY:
        from = lane ^ by;
        *is_inside = from <= most;
        break;
    default:
        from = lowest | (by & ~segment);
        *is_inside = from <= most;
        break;
    }
    return *is_inside ? from : lane;
}

static bool shuffle(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes) {
    const uint64_t *a = row(warp, in, 2), *by = row(warp, in, 3), *c = row(warp, in, 4);
    uint64_t result[PTX_LANES];
    uint32_t inside = 0;
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        bool is_inside;
        uint32_t from = shuffle_source(in->manner, lane, (uint32_t)by[lane], (uint32_t)c[lane],
                                       &is_inside);
        if (!(lanes >> from & 1))
            return ptx_fault(run, warp, in, lane, "it reads lane %u, which does not take part",
                             from);
        result[lane] = (uint32_t)a[from];
        inside |= (uint32_t)is_inside << lane;
    }
    uint64_t *d = row(warp, in, 0);
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        d[lane] = result[lane];
    }
    uint32_t *p = &warp->predicates[in->predicates[0]];
    *p = (*p & ~lanes) | (inside & lanes);
    return true;
}

static void vote(ptx_warp *warp, const ptx_instruction *in, uint32_t lanes) {
    size_t at = in->predicate_writes;
    uint32_t votes = (warp->predicates[in->predicates[at]] ^ in->flips[at]) & lanes;
    bool is_all = votes == lanes, is_any = votes != 0;
    bool answer = in->manner == PTX_ALL   ? is_all
                  : in->manner == PTX_ANY ? is_any
                                          : is_all || !is_any;
    if (in->manner != PTX_BALLOT) {
        uint32_t *p = &warp->predicates[in->predicates[0]];
        *p = answer ? *p | lanes : *p & ~lanes;
        return;
    }
    uint64_t *d = row(warp, in, 0);
    for (uint32_t left = lanes; left != 0; left &= left - 1) d[__builtin_ctz(left)] = votes;
}

// MARK: Matrices

static float element(unsigned type, uint64_t pair, unsigned place) {
    uint16_t bits = (uint16_t)(pair >> 16 * place);
    return type == PTX_F16 ? ptx_half_value(bits) : ptx_float((uint64_t)bits << 16);
}

/// d (16, 8) = a (16, 16) · b (16, 8) + c. A lane has rows lane / 4 and that plus 8, and columns
/// 2 · (lane % 4), the next, and those plus 8. Sums are exact to a double's end and rounded once:
/// cards differ in how they round within a sum, so nobody may count on one of them.
static void multiply(ptx_warp *warp, const ptx_instruction *in) {
    double a[16][16], b[8][16];
    for (unsigned lane = 0; lane < PTX_LANES; lane++) {
        unsigned line = lane / 4, column = lane % 4 * 2;
        for (unsigned i = 0; i < 8; i++) {
            unsigned part = i / 2, place = i % 2;
            a[line + part % 2 * 8][column + part / 2 * 8 + place] =
                element(in->from, row(warp, in, 4 + part)[lane], place);
            if (part < 2)
                b[line][column + part * 8 + place] =
                    element(in->from, row(warp, in, 8 + part)[lane], place);
        }
    }
    uint64_t result[4][PTX_LANES];
    for (unsigned lane = 0; lane < PTX_LANES; lane++)
        for (unsigned i = 0; i < 4; i++) {
            const double *x = a[lane / 4 + i / 2 * 8], *y = b[lane % 4 * 2 + i % 2];
            double sum = ptx_float(row(warp, in, 10 + i)[lane]);
            for (unsigned k = 0; k < 16; k++) sum += x[k] * y[k];
            result[i][lane] = ptx_bits((float)sum);
        }
    for (unsigned i = 0; i < 4; i++) memcpy(row(warp, in, i), result[i], sizeof result[i]);
}

/// Lanes 8 · i … 8 · i + 7 say where the eight lines of matrix i are, 16 bytes each.
static bool load_matrices(ptx_run *run, ptx_warp *warp, ptx_instruction *in) {
    uint16_t lines[PTX_LANES][8];
    uint32_t count = in->count;
    const uint64_t *base = row(warp, in, count);
    for (uint32_t lane = 0; lane < count * 8; lane++) {
        uint64_t address = base[lane] + (uint64_t)in->offset;
        const uint8_t *at = ptx_reach(run, warp, in, lane, address, 16, false);
        if (at == NULL) return false;
        memcpy(lines[lane], at, 16);
    }
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t lane = 0; lane < PTX_LANES; lane++) {
            uint32_t line = lane / 4, column = lane % 4 * 2;
            uint32_t low = in->transposed ? lines[i * 8 + column][line]
                                          : lines[i * 8 + line][column];
            uint32_t high = in->transposed ? lines[i * 8 + column + 1][line]
                                           : lines[i * 8 + line][column + 1];
            row(warp, in, i)[lane] = low | high << 16;
        }
    return true;
}

bool ptx_run_together(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t lanes) {
    switch (in->op) {
    case PTX_SHFL: return shuffle(run, warp, in, lanes);
    case PTX_VOTE: vote(warp, in, lanes); return true;
    case PTX_MMA: multiply(warp, in); return true;
    case PTX_LDMATRIX: return load_matrices(run, warp, in);
    default: return true;
    }
}
