// What every ARM processor of 64 bits has.
#if defined(__aarch64__)
#include "quarters.h"

#include "../emulated_pairs.h"

/// Two products of |w| ≤ 128 and |x| ≤ 127 fit 16 bits.
CMK_INLINE int32x4_t dot_quads(int32x4_t acc, uint32x4_t x, uint32x4_t w) {
    int8x16_t inputs = vreinterpretq_s8_u32(x), weights = vreinterpretq_s8_u32(w);
    int16x8_t low = vmull_s8(vget_low_s8(inputs), vget_low_s8(weights));
    return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(inputs, weights)));
}
#include "signed_quads.h"

#define SET_NAME "neon"
#define SET_TABLE cmk_neon_kernels
#include "tiles.h"
#include "../vector_kernels.h"
#endif
