// NEON with SDOT.
#if defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "quarters.h"

#include "../emulated_pairs.h"

CMK_INLINE int32x4_t dot_quads(int32x4_t acc, uint32x4_t x, uint32x4_t w) {
    return vdotq_s32(acc, vreinterpretq_s8_u32(x), vreinterpretq_s8_u32(w));
}
#include "signed_quads.h"

#define SET_NAME "neondotprod"
#define SET_TABLE cmk_neondotprod_kernels
#include "tiles.h"
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
