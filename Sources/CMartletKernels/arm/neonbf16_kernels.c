// NEON with USDOT, and BFMLALT and BFMLALB for pairs of bf16.
#if defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod,i8mm,bf16"))), apply_to = function)

#include "quarters.h"

#include "unsigned_quads.h"

/// The odd product first, then the even one, each a fused multiply-add in f32 under the usual rules: the specification
/// itself. BFDOT and BFMMLA, which take a pair at once, round to odd and flush denormals, or round a pair once.
CMK_INLINE v16f dot_pair_step(v16f acc, v16u x, v16u w) {
    float32x4_t sums[4];
    bfloat16x8_t inputs[4], weights[4];
    memcpy(sums, &acc, sizeof acc);
    memcpy(inputs, &x, sizeof x);
    memcpy(weights, &w, sizeof w);
    for (int i = 0; i < 4; i++) {
        sums[i] = vbfmlaltq_f32(sums[i], inputs[i], weights[i]);
        sums[i] = vbfmlalbq_f32(sums[i], inputs[i], weights[i]);
    }
    memcpy(&acc, sums, sizeof acc);
    return acc;
}

#define SET_NAME "neonbf16"
#define SET_TABLE cmk_neonbf16_kernels
#include "tiles.h"
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
