#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,f16c,avx2,fma"))), \
    apply_to = function)

#include "../internal.h"

CMK_INLINE v16f dot_pair_step(v16f acc, v16u x, v16u w) {
    return (v16f)_mm512_dpbf16_ps((__m512)acc, (__m512bh)x, (__m512bh)w);
}

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    return (v16i)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w, (__m512i)x);
}

#define SET_NAME "avx512bf16"
#define SET_TABLE cmk_avx512bf16_kernels
#define TILE_ROWS 8
#define TILE_PANELS 2
#define PAIR_ROWS 8
#define QUANTIZED_ROWS 6
#define FEW_ROWS 4
#define FEW_PANELS 4
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
