#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,f16c,avx2,fma"))), apply_to = function)

#include "../emulated_pairs.h"

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    return (v16i)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)w, (__m512i)x);
}

#define SET_NAME "avx512vnni"
#define SET_TABLE cmk_avx512vnni_kernels
#define TILE_ROWS 8
#define TILE_PANELS 2
#define PAIR_ROWS 8
#define QUANTIZED_ROWS 6
#define FEW_ROWS 4
#define FEW_PANELS 4
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
