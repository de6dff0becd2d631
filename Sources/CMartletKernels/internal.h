// What every kernel set shares: number formats, and the scalar forms of the formulas that the
// vector sets must match bit for bit.
#ifndef CMK_INTERNAL_H
#define CMK_INTERNAL_H

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CMartletKernels.h"

// A product and a sum are one operation only where the code says so.
#pragma STDC FP_CONTRACT OFF

#define CMK_INLINE static inline __attribute__((always_inline, unused))

extern const cmk_kernels cmk_scalar_kernels;
#if defined(__x86_64__)
extern const cmk_kernels cmk_avx2_kernels;
extern const cmk_kernels cmk_avx2vnni_kernels;
extern const cmk_kernels cmk_avx512_kernels;
extern const cmk_kernels cmk_avx512vnni_kernels;
extern const cmk_kernels cmk_avx512bf16_kernels;
#elif defined(__aarch64__)
extern const cmk_kernels cmk_neon_kernels;
extern const cmk_kernels cmk_neondotprod_kernels;
extern const cmk_kernels cmk_neoni8mm_kernels;
extern const cmk_kernels cmk_neonbf16_kernels;
#endif

// 16 lanes, whatever the registers: one zmm, two ymm or four 128-bit ones.
typedef float v16f __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef uint32_t v16u __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef float v16f_unaligned __attribute__((vector_size(64), aligned(4)));
typedef uint32_t v16u_unaligned __attribute__((vector_size(64), aligned(4)));

CMK_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

CMK_INLINE size_t cmk_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

CMK_INLINE uint32_t cmk_bits(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

CMK_INLINE float cmk_float(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

CMK_INLINE float cmk_from_bf16(uint16_t b) { return cmk_float((uint32_t)b << 16); }

/// Rounds to nearest, ties to even; a NaN stays a NaN.
CMK_INLINE uint16_t cmk_to_bf16(float x) {
    uint32_t u = cmk_bits(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}

CMK_INLINE float cmk_from_f16(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    // Shifting the fields into f32's place and scaling by 2^112 mends the exponent's bias and
    // makes subnormals right without a loop.
    float value = cmk_float(magnitude << 13) * 0x1p112f;
    if (magnitude >= 0x7c00) value = cmk_float(0x7f800000u | (magnitude & 0x3ff) << 13);
    return cmk_float(cmk_bits(value) | sign);
}

/// Rounds to nearest, ties to even. x is finite and at most 65504 in size.
CMK_INLINE uint16_t cmk_to_f16(float x) {
    uint32_t sign = cmk_bits(x) >> 16 & 0x8000, u = cmk_bits(x) & 0x7fffffffu;
    // Below 2^-14 the steps are equal: adding 1/2 leaves the number of steps in the last bits.
    if (u < 0x38800000u) return (uint16_t)(sign | (cmk_bits(cmk_float(u) + 0.5f) - 0x3f000000u));
    return (uint16_t)(sign | ((u + 0xfffu + (u >> 13 & 1)) >> 13) - (112u << 10));
}

// Quantized rows and weights come in blocks of 32 inputs with a scale each, two blocks to a
// superblock; the layouts are drawn in CMartletKernels.h.
enum {
    CMK_BLOCK = 32,
    CMK_SUPERBLOCK = 2 * CMK_BLOCK,
    CMK_LINE = 64,
    /// Lines of integers in a whole superblock.
    CMK_Q8_LINES = 16,
    CMK_Q4_LINES = 8,
};

/// A block of a quantized row: what its integers are multiplied by, and their sum.
typedef struct cmk_row_block {
    float scale;
    int32_t sum;
} cmk_row_block;

/// Bytes before a term's integers: the scales and sums of its blocks, two for each superblock.
CMK_INLINE size_t cmk_row_values_offset(size_t in) {
    return cmk_round_up(in, CMK_SUPERBLOCK) / CMK_BLOCK * sizeof(cmk_row_block);
}
CMK_INLINE size_t cmk_term_bytes(size_t in) {
    return cmk_row_values_offset(in) + cmk_round_up(in, CMK_SUPERBLOCK);
}
CMK_INLINE const cmk_row_block *cmk_row_blocks(const void *term) { return term; }
CMK_INLINE const int8_t *cmk_row_values(const void *term, size_t in) {
    return (const int8_t *)term + cmk_row_values_offset(in);
}

/// Stored weights are without a sign: those of 8 bits are 128 above their value, those of 4 bits
/// have a minimum of their own in each block.
CMK_INLINE int32_t cmk_zero_point(cmk_kind kind) { return kind == CMK_Q8 ? 128 : 0; }
CMK_INLINE size_t cmk_superblock_lines(cmk_kind kind) {
    return kind == CMK_Q8 ? CMK_Q8_LINES : CMK_Q4_LINES;
}
CMK_INLINE size_t cmk_superblock_bytes(cmk_kind kind) {
    return (cmk_superblock_lines(kind) + (kind == CMK_Q8 ? 1 : 2)) * CMK_LINE;
}
/// Lines of integers in the superblock that begins at input k of `in`. A superblock's scales stand
/// behind them; the minima of 4-bit weights follow.
CMK_INLINE size_t cmk_lines(cmk_kind kind, size_t k, size_t in) {
    return kind == CMK_Q8 ? smaller(CMK_Q8_LINES, (in - k + 3) / 4) : CMK_Q4_LINES;
}

// exp(x) after Cephes' expf: x = n ln 2 + r, a polynomial in r, then the exponent by addition.
// Below CMK_EXP_MIN the result is 0; above CMK_EXP_MAX the argument is clamped.
#define CMK_EXP_MIN (-87.33654f)
#define CMK_EXP_MAX (88.3762f)
#define CMK_LOG2E 1.44269504088896341f
#define CMK_LN2_HIGH 0.693359375f
#define CMK_LN2_LOW (-2.12194440e-4f)
#define CMK_ROUND_MAGIC 12582912.0f  // 1.5 * 2^23: adding it rounds to an integer
#define CMK_EXP_C0 1.9875691500E-4f
#define CMK_EXP_C1 1.3981999507E-3f
#define CMK_EXP_C2 8.3334519073E-3f
#define CMK_EXP_C3 4.1665795894E-2f
#define CMK_EXP_C4 1.6666665459E-1f
#define CMK_EXP_C5 5.0000001201E-1f

CMK_INLINE float cmk_exp(float x) {
    if (x < CMK_EXP_MIN) return 0;
    float clamped = x > CMK_EXP_MAX ? CMK_EXP_MAX : x;
    float shifted = fmaf(clamped, CMK_LOG2E, CMK_ROUND_MAGIC);
    float n = shifted - CMK_ROUND_MAGIC;
    float r = fmaf(n, -CMK_LN2_HIGH, clamped);
    r = fmaf(n, -CMK_LN2_LOW, r);
    float p = CMK_EXP_C0;
    p = fmaf(p, r, CMK_EXP_C1);
    p = fmaf(p, r, CMK_EXP_C2);
    p = fmaf(p, r, CMK_EXP_C3);
    p = fmaf(p, r, CMK_EXP_C4);
    p = fmaf(p, r, CMK_EXP_C5);
    p = fmaf(p, r * r, r) + 1.0f;
    int32_t exponent = (int32_t)(cmk_bits(shifted) - cmk_bits(CMK_ROUND_MAGIC));
    return cmk_float(cmk_bits(p) + ((uint32_t)exponent << 23));
}

// gelu(x) = x / (1 + exp(-2 √(2/π) (x + 0.044715 x³))), the tangent's approximation: the exponent is x · (x² A + B).
#define CMK_GELU_A (-0.071354816f)
#define CMK_GELU_B (-1.5957691f)

CMK_INLINE float cmk_gelu(float x) {
    return x / (1.0f + cmk_exp(x * fmaf(x * x, CMK_GELU_A, CMK_GELU_B)));
}

/// cap · tanh(x / cap); `steepness` is 2 / cap.
CMK_INLINE float cmk_soft_cap(float x, float cap, float steepness) {
    return cap * (1.0f - 2.0f / (cmk_exp(x * steepness) + 1.0f));
}

/// Sums 16 lanes as a tree: halves onto halves.
CMK_INLINE float cmk_fold(const float *lanes) {
    float s[CMK_LANES];
    memcpy(s, lanes, sizeof s);
    for (size_t width = CMK_LANES / 2; width > 0; width /= 2)
        for (size_t i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
}

/// Queries of one tile, and so of one attention call's scores: rows times group.
CMK_INLINE size_t cmk_attention_queries(const cmk_attention *job) {
    return job->row_count * job->group;
}

/// First block that any row of the job can see.
CMK_INLINE size_t cmk_attention_first_block(const cmk_attention *job) {
    if (job->window == 0 || job->first_position + 1 <= job->window) return 0;
    return (job->first_position + 1 - job->window) / CMK_BLOCK_POSITIONS;
}

/// One past the last position that any row of the job can see.
CMK_INLINE size_t cmk_attention_end(const cmk_attention *job) {
    return job->first_position + job->row_count;
}

#endif
