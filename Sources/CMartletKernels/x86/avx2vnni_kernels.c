#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)

#include "../emulated_pairs.h"

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    __m256i sums[2], inputs[2], weights[2];
    memcpy(sums, &acc, sizeof acc);
    memcpy(inputs, &x, sizeof x);
    memcpy(weights, &w, sizeof w);
    for (int i = 0; i < 2; i++) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], weights[i], inputs[i]);
    memcpy(&acc, sums, sizeof acc);
    return acc;
}

#define SET_NAME "avx2vnni"
#define SET_TABLE cmk_avx2vnni_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define PAIR_ROWS 4
#define QUANTIZED_ROWS 2
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
