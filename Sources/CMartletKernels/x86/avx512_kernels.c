#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)

#include "../emulated_pairs.h"

#define SET_NAME "avx512"
#define SET_TABLE cmk_avx512_kernels
#define TILE_ROWS 8
#define TILE_PANELS 2
#define FEW_ROWS 4
#define FEW_PANELS 4
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
