// NEON with USDOT.
#if defined(__aarch64__)
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)

#include "quarters.h"

#include "../emulated_pairs.h"
#include "unsigned_quads.h"

#define SET_NAME "neoni8mm"
#define SET_TABLE cmk_neoni8mm_kernels
#include "tiles.h"
#include "../vector_kernels.h"

#pragma clang attribute pop
#endif
