// dot_pair_step for sets without a bf16 product: what vdpbf16ps does, in f32.
#include "internal.h"

#pragma clang diagnostic ignored "-Wpsabi"

CMK_INLINE v16f dot_pair_step(v16f acc, v16u x, v16u w) {
    acc = __builtin_elementwise_fma((v16f)(x & 0xffff0000u), (v16f)(w & 0xffff0000u), acc);
    return __builtin_elementwise_fma((v16f)(x << 16), (v16f)(w << 16), acc);
}
