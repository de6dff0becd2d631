#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "../emulated_pairs.h"

typedef __m256i (*half_step)(__m256i acc, __m256i x, __m256i w);

CMK_INLINE v16i both_halves(half_step step, v16i acc, v16u x, v16u w) {
    __m256i sums[2], inputs[2], weights[2];
    memcpy(sums, &acc, sizeof acc);
    memcpy(inputs, &x, sizeof x);
    memcpy(weights, &w, sizeof w);
    for (int i = 0; i < 2; i++) sums[i] = step(sums[i], inputs[i], weights[i]);
    memcpy(&acc, sums, sizeof acc);
    return acc;
}

CMK_INLINE __m256i pair_sums(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

/// Two products of |w| ≤ 128 and |x| ≤ 127 fit 16 bits.
CMK_INLINE __m256i dot_quads(__m256i acc, __m256i x, __m256i w) {
    w = _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80));
    __m256i products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
    return _mm256_add_epi32(acc, pair_sums(products));
}
CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) { return both_halves(dot_quads, acc, x, w); }

/// Sixteen products of w ≤ 15 and |x| ≤ 127 do too: all of a block's in one lane.
CMK_INLINE __m256i dot_nibbles(__m256i acc, __m256i x, __m256i w) {
    return _mm256_add_epi16(acc, _mm256_maddubs_epi16(w, x));
}
CMK_INLINE v16i dot_nibble_step(v16i acc, v16u x, v16u w) { return both_halves(dot_nibbles, acc, x, w); }
CMK_INLINE v16i nibble_sums(v16i acc) {
    __m256i sums[2];
    memcpy(sums, &acc, sizeof acc);
    for (int i = 0; i < 2; i++) sums[i] = pair_sums(sums[i]);
    memcpy(&acc, sums, sizeof acc);
    return acc;
}

#define QUADS_ARE_SIGNED 1
#define HAS_NIBBLE_STEP 1
#define SET_NAME "avx2"
#define SET_TABLE cmk_avx2_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define PAIR_ROWS 4
#define QUANTIZED_ROWS 2
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
