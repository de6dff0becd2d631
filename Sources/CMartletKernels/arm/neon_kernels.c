#if defined(__aarch64__)
#include "../emulated_pairs.h"

#define SET_NAME "neon"
#define SET_TABLE cmk_neon_kernels
#define TILE_ROWS 6
#define TILE_PANELS 1
#define FEW_ROWS 4
#define FEW_PANELS 1
#include "../vector_kernels.h"
#endif
