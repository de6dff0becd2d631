#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma"))), \
    apply_to = function)

#include "../internal.h"

CMK_INLINE v16f dot_pair_step(v16f acc, v16u x, v16u w) {
    return (v16f)_mm512_dpbf16_ps((__m512)acc, (__m512bh)x, (__m512bh)w);
}

#define SET_NAME "avx512bf16"
#define SET_TABLE cmk_avx512bf16_kernels
#define TILE_ROWS 8
#define TILE_PANELS 2
#define FEW_ROWS 4
#define FEW_PANELS 4
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
