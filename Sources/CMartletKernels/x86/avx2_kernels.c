#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "../emulated_pairs.h"

#define SET_NAME "avx2"
#define SET_TABLE cmk_avx2_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
