// The vector kernels, written once over 16-lane vectors and compiled by each instruction set's file,
// which defines before including this:
//   SET_NAME, SET_TABLE    the table's name and symbol
//   TILE_ROWS TILE_PANELS  the register tile: rows * panels accumulators, plus panels, plus one
//   PAIR_ROWS              rows of the tile for weights in bf16, which take two registers where the
//                          instruction set has no product of pairs
//   FEW_ROWS FEW_PANELS    the wider tile for few rows, where streaming the weights is the work
//   QUANTIZED_ROWS         rows of the tile for quantized weights, which takes twice the accumulators
//   dot_quad_step(acc, x, w)  in 32-bit lanes: acc + the products of signed bytes x and unsigned w
//   QUADS_ARE_SIGNED       1 where dot_quad_step takes the 128 off stored weights itself; 0 unless said
//   HAS_NIBBLE_STEP        where dot_nibble_step, for weights of 4 bits, may leave in acc what
//                          nibble_sums makes such sums of after a block
//   dot_pair_step(acc, x, w)  bf16 pairs in 32-bit lanes: acc + x1 * w1 + x0 * w0, in that order
// Tiles index their accumulators by constants only, once unrolled, so they live in registers.
#include "internal.h"

#ifndef QUADS_ARE_SIGNED
#define QUADS_ARE_SIGNED 0
#endif

#include "vector/vectors.h"
#include "vector/products.h"
#include "vector/quantized.h"
#include "vector/rows.h"
#include "vector/attention.h"

const cmk_kernels SET_TABLE = {
    .name = SET_NAME,
    .matmul = matmul,
    .rms_norm_f32 = rms_norm_f32,
    .rms_norm_bf16 = rms_norm_bf16,
    .silu_mul_f32 = silu_mul_f32,
    .silu_mul_bf16 = silu_mul_bf16,
    .gelu_mul_f32 = gelu_mul_f32,
    .gelu_mul_bf16 = gelu_mul_bf16,
    .soft_cap = soft_cap,
    .scale_f32 = scale_f32,
    .scale_bf16 = scale_bf16,
    .quantize_f32 = quantize_f32,
    .quantize_bf16 = quantize_bf16,
    .add = add,
    .multiply = multiply,
    .rope = rope,
    .attention_f32 = attention_f32,
    .attention_bf16 = attention_bf16,
    .peak = peak,
    .log_sum_exp = log_sum_exp,
    .exp_scaled = exp_scaled,
    .probe_f32 = probe_f32,
    .probe_bf16 = probe_bf16,
    .probe_q8 = probe_q8,
    .probe_read = probe_read,
};
