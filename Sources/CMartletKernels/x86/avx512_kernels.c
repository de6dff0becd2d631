#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)

#include "../emulated_pairs.h"

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    // Bytes as 16-bit numbers, even and odd ones apart; sums of two products fit 32 bits.
    __m512i even = _mm512_srai_epi16(_mm512_slli_epi16((__m512i)x, 8), 8);
    __m512i odd = _mm512_srai_epi16((__m512i)x, 8);
    acc += (v16i)_mm512_madd_epi16((__m512i)(w & 0x00ff00ffu), even);
    return acc + (v16i)_mm512_madd_epi16((__m512i)(w >> 8 & 0x00ff00ffu), odd);
}

#define SET_NAME "avx512"
#define SET_TABLE cmk_avx512_kernels
#define TILE_ROWS 8
#define TILE_PANELS 2
#define PAIR_ROWS 8
#define QUANTIZED_ROWS 6
#define FEW_ROWS 4
#define FEW_PANELS 4
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
