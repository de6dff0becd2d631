// A vector of 16 lanes is four registers of NEON's: steps of bytes, quarter by quarter.
#include <arm_neon.h>

#include "../internal.h"

#pragma clang diagnostic ignored "-Wpsabi"

/// acc + the products of four bytes each.
typedef int32x4_t (*quarter_step)(int32x4_t acc, uint32x4_t x, uint32x4_t w);

CMK_INLINE v16i by_quarters(quarter_step step, v16i acc, v16u x, v16u w) {
    int32x4_t sums[4];
    uint32x4_t inputs[4], weights[4];
    memcpy(sums, &acc, sizeof acc);
    memcpy(inputs, &x, sizeof x);
    memcpy(weights, &w, sizeof w);
    for (int i = 0; i < 4; i++) sums[i] = step(sums[i], inputs[i], weights[i]);
    memcpy(&acc, sums, sizeof acc);
    return acc;
}
