#include "ptx_run.h"

// How a warp's lanes go through the code: together where they can.

/// Lanes at one place, and where the next ones wait to be met.
typedef struct {
    uint32_t lanes, pc, meets;
} party;

static bool choose(const ptx_warp *warp, party *chosen) {
    uint32_t ready = warp->alive & ~warp->at_barrier & ~warp->at_sync;
    if (ready == 0) return false;
    *chosen = (party){0, UINT32_MAX, UINT32_MAX};
    for (uint32_t left = ready; left != 0; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left), pc = warp->pc[lane];
        if (pc < chosen->pc) {
            chosen->meets = chosen->pc;
            chosen->pc = pc;
            chosen->lanes = 1u << lane;
        } else if (pc == chosen->pc) {
            chosen->lanes |= 1u << lane;
        } else if (pc < chosen->meets) {
            chosen->meets = pc;
        }
    }
    return true;
}

static void leave(ptx_warp *warp, uint32_t lanes, uint32_t pc) {
    for (uint32_t left = lanes; left != 0; left &= left - 1) warp->pc[__builtin_ctz(left)] = pc;
}

// MARK: Registers that nobody wrote

static bool refuse_unwritten(ptx_run *run, ptx_warp *warp, const ptx_instruction *in,
                             uint32_t lanes) {
    return ptx_fault(run, warp, in, (uint32_t)__builtin_ctz(lanes),
                     "it reads a register that was never written");
}

/// Moves and selections carry what nobody wrote along, since a compiler makes such; all else may
/// not read it.
static void carry(ptx_warp *warp, const ptx_instruction *in, uint32_t m) {
    uint32_t *written = warp->written, is_written = written[in->slots[1]];
    if (in->op == PTX_SELP) {
        uint32_t p = warp->predicates[in->predicates[0]] ^ in->flips[0];
        is_written = (p & is_written) | (~p & written[in->slots[2]]);
    }
    written[in->slots[0]] = (written[in->slots[0]] & ~m) | (is_written & m);
}

static inline bool check_registers(ptx_run *run, ptx_warp *warp, const ptx_instruction *in,
                                   uint32_t m) {
    uint32_t missing = 0;
    size_t first = in->predicate_writes, end = first + in->predicate_reads;
    for (size_t i = first; i < end; i++)
        missing |= m & ~warp->predicates_written[in->predicates[i]];
    for (size_t i = 0; i < first; i++) warp->predicates_written[in->predicates[i]] |= m;
    if ((in->op == PTX_MOV && in->type != PTX_PRED) || in->op == PTX_SELP) {
        if (missing == 0) carry(warp, in, m);
    } else {
        first = in->writes, end = first + in->reads;
        for (size_t i = first; i < end; i++) missing |= m & ~warp->written[in->slots[i]];
        for (size_t i = 0; i < first; i++) warp->written[in->slots[i]] |= m;
    }
    return missing == 0 || refuse_unwritten(run, warp, in, missing);
}

// MARK: Instructions for several lanes

/// Which lanes must take part; 0 after a fault.
static uint32_t participants(ptx_run *run, ptx_warp *warp, const ptx_instruction *in,
                             uint32_t lanes) {
    uint32_t lane = (uint32_t)__builtin_ctz(lanes);
    if (in->op == PTX_MMA || in->op == PTX_LDMATRIX) {
        if (warp->exists == UINT32_MAX) return UINT32_MAX;
        ptx_fault(run, warp, in, lane, "the warp has fewer than 32 threads");
        return 0;
    }
    const uint64_t *mask = warp->rows + in->slots[in->writes] * PTX_LANES;
    uint32_t named = (uint32_t)mask[lane] & warp->exists;
    for (uint32_t left = lanes; left != 0; left &= left - 1) {
        lane = (uint32_t)__builtin_ctz(left);
        if ((named >> lane & 1) && ((uint32_t)mask[lane] & warp->exists) == named) continue;
        ptx_fault(run, warp, in, lane, "its mask 0x%x does not name the lanes that are here",
                  (unsigned)mask[lane]);
        return 0;
    }
    return named;
}

/// Nobody can go on although some wait for others.
static bool refuse_missing(ptx_run *run, ptx_warp *warp) {
    uint32_t lane = (uint32_t)__builtin_ctz(warp->at_sync), here = 0;
    for (uint32_t left = warp->at_sync; left != 0; left &= left - 1) {
        uint32_t other = (uint32_t)__builtin_ctz(left);
        if (warp->pc[other] == warp->pc[lane]) here |= 1u << other;
    }
    return ptx_fault(run, warp, &run->entry->code[warp->pc[lane]], lane,
                     "lanes are missing: only those of 0x%x are here, 0x%x have ended, 0x%x wait "
                     "at a barrier",
                     here, warp->exists & ~warp->alive, warp->at_barrier);
}

/// Runs the instruction if the last lane has come, else lets these wait. False after a fault.
static bool gather(ptx_run *run, ptx_warp *warp, ptx_instruction *in, party *now, uint32_t m) {
    uint32_t needed = participants(run, warp, in, m), here = m;
    if (needed == 0) return false;
    for (uint32_t left = warp->at_sync; left != 0; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        if (warp->pc[lane] == now->pc) here |= 1u << lane;
    }
    leave(warp, now->lanes & ~m, now->pc + 1);
    if ((here & needed) != needed) {
        leave(warp, m, now->pc);
        warp->at_sync |= m;
        now->lanes = 0;
        return true;
    }
    if (!ptx_run_together(run, warp, in, needed)) return false;
    // Lanes that were not asked have their own registers and are in no order.
    if ((warp->alive & ~needed) == 0) warp->since = ++run->world->stamp;
    warp->at_sync &= ~needed;
    leave(warp, needed, now->pc + 1);
    if (needed == now->lanes) now->pc++;
    else now->lanes = 0;
    return true;
}

// MARK: The loop

static bool refuse_limit(ptx_run *run, ptx_warp *warp, const ptx_instruction *in, uint32_t lanes) {
    return ptx_fault(run, warp, in, (uint32_t)__builtin_ctz(lanes),
                     "the launch has run %llu instructions and counts as hung",
                     (unsigned long long)run->world->limit);
}

/// Control flow: what becomes of the party. `m` are the lanes that run the instruction.
static bool turn(ptx_run *run, ptx_warp *warp, ptx_instruction *in, party *now, uint32_t m) {
    uint32_t others = now->lanes & ~m;
    switch (in->op) {
    case PTX_BRA:
        if (in->target <= now->pc && run->instructions > run->world->limit)
            return refuse_limit(run, warp, in, m);
        if (others == 0) {
            now->pc = in->target;
            return true;
        }
        leave(warp, m, in->target);
        leave(warp, others, now->pc + 1);
        now->lanes = 0;
        return true;
    case PTX_RET:
        warp->alive &= ~m;
        now->lanes = others;
        now->pc++;
        return true;
    case PTX_BAR:
        leave(warp, m, now->pc);
        warp->at_barrier |= m;
        now->lanes = others;
        now->pc++;
        return true;
    default: return gather(run, warp, in, now, m);
    }
}

static inline bool is_turn(unsigned op) {
    return op == PTX_BRA || op == PTX_RET || op == PTX_BAR || op == PTX_BARWARP || op == PTX_SHFL
        || op == PTX_VOTE || op == PTX_MMA || op == PTX_LDMATRIX;
}

/// Runs a party until it parts, ends, waits, or meets others.
static bool run_party(ptx_run *run, ptx_warp *warp, party now) {
    ptx_instruction *code = run->entry->code;
    while (now.lanes != 0 && now.pc < now.meets) {
        ptx_instruction *in = &code[now.pc];
        run->instructions += (uint64_t)__builtin_popcount(now.lanes);
        uint32_t missing = now.lanes & ~warp->predicates_written[in->guard];
        if (missing != 0) return refuse_unwritten(run, warp, in, missing);
        uint32_t m = now.lanes & (warp->predicates[in->guard] ^ in->guard_flip);
        if (m == 0) {
            now.pc++;
            continue;
        }
        if (!check_registers(run, warp, in, m)) return false;
        if (is_turn(in->op)) {
            if (!turn(run, warp, in, &now, m)) return false;
        } else {
            if (!ptx_step(run, warp, in, m)) return false;
            now.pc++;
        }
    }
    leave(warp, now.lanes, now.pc);
    return true;
}

bool ptx_run_warp(ptx_run *run, ptx_warp *warp) {
    party chosen;
    while (choose(warp, &chosen))
        if (!run_party(run, warp, chosen)) return false;
    return warp->at_sync == 0 || refuse_missing(run, warp);
}
