#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "../emulated_pairs.h"

CMK_INLINE __m256i dot_quads(__m256i acc, __m256i x, __m256i w) {
    // Bytes as 16-bit numbers, even and odd ones apart; sums of two products fit 32 bits.
    __m256i low = _mm256_set1_epi16(0xff);
    __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8), odd = _mm256_srai_epi16(x, 8);
    acc = _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_and_si256(w, low), even));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_srli_epi16(w, 8), odd));
}

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    __m256i sums[2], inputs[2], weights[2];
    memcpy(sums, &acc, sizeof acc);
    memcpy(inputs, &x, sizeof x);
    memcpy(weights, &w, sizeof w);
    for (int i = 0; i < 2; i++) sums[i] = dot_quads(sums[i], inputs[i], weights[i]);
    memcpy(&acc, sums, sizeof acc);
    return acc;
}

#define SET_NAME "avx2"
#define SET_TABLE cmk_avx2_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define QUANTIZED_ROWS 2
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
