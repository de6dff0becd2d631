#if defined(__aarch64__)
#include "../emulated_pairs.h"

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    for (int i = 0; i < 4; i++)
        acc += ((v16i)(x << (24 - 8 * i)) >> 24) * (v16i)(w >> (8 * i) & 0xff);
    return acc;
}

#define SET_NAME "neon"
#define SET_TABLE cmk_neon_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define PAIR_ROWS 6
#define QUANTIZED_ROWS 2
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"
#endif
