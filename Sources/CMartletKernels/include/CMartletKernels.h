// Martlet's arithmetic kernels: plain functions behind one table per instruction set.
//
// Contract, for every function here:
//   * no allocation, no I/O, no mutable globals, no threads; each call works on what it is handed;
//   * sizes and strides count elements, not bytes; the caller has checked them (KernelSet in the
//     Swift module Tensors does), these functions only assert;
//   * pointers to panels are 64-byte aligned, all others have their element's alignment;
//   * a row's result depends on that row alone: never on how many other rows share the call, on
//     how the caller splits outputs between threads, or on the instruction set. Every set
//     returns the same bits as the scalar one, which is the specification (bf16 products that
//     underflow to a denormal are the exception: vdpbf16ps flushes them to zero).
//
// Panels. A weight matrix w is (out, in), row-major in files. Kernels want it packed: 16 outputs
// to a panel, inputs in order, so that one 64-byte line meets one broadcast activation:
//   f32   panel[k][lane]            = w[16 * p + lane][k]                    k in 0 ..< in
//   bf16  panel[k / 2][lane][k % 2] = w[16 * p + lane][k]                    in rounded up to even
// Rows past `out` and the odd last input are zero. A panel holds 16 * in elements.
//
// Quantized weights come in blocks of 32 inputs, each output's block with a scale in f16; two blocks
// make a superblock. In a panel, superblock after superblock:
//   q8  16 lines of 64 bytes, line j: a lane's inputs 4 j ..< 4 j + 4, each plus 128; scales. The
//       last superblock has only as many lines as it has inputs, rounded up to 4
//   q4   8 lines, line j: low nibbles a lane's inputs 4 j ..< 4 j + 4 of the first block, high
//        nibbles those of the second; scales; minima: a weight is integer · scale + minimum
//   scales and minima [block][lane], a line each; inputs of q4 are rounded up to 64
// A quantized row is one term, or two of which the second holds what rounding took from the first. A
// term: for each block a scale (f32) and the sum of its integers (int32), then the integers, -127 ...
// 127. A block's product is an exact integer; it is scaled by the product of both scales and added to
// the sum in f32, term after term, block after block; for q4 then minimum · (scale · sum).
//
// Numbers. f32 products are accumulated in f32 with fused multiply-add, in the order of k. bf16
// products take pairs (k even, k odd) and add the odd product first, then the even one, each as a
// fused multiply-add into f32: what the instruction vdpbf16ps does.
#ifndef CMARTLETKERNELS_H
#define CMARTLETKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /// Outputs in one panel, and lanes in every reduction.
    CMK_LANES = 16,
    /// Numbers of which `exp_scaled` gives one sum.
    CMK_SUM_BLOCK = 64,
    /// Positions in one key/value block.
    CMK_BLOCK_POSITIONS = 16,
    /// Steps in one round of a probe.
    CMK_PROBE_STEPS = 12,
};

/// One (sequence, key/value head) piece of paged attention: `row_count` consecutive query rows of
/// one sequence, each with the `group` query heads that share the head's keys and values.
///
/// A block holds 16 positions of one key/value head. With d = head_dim and D = d rounded up to 16:
///   keys    one panel of 16 "outputs" (positions) by d inputs, in the element's panel layout
///   values  D / 16 panels of 16 outputs (dimensions) by 16 inputs (positions)
typedef struct cmk_attention {
    const float *q;            ///< (row_count, group, d); row r, head g at r * q_stride + g * d
    size_t q_stride;
    void *out;                 ///< same shape as q, element f32 or bf16
    size_t out_stride;
    const void *keys;          ///< block b at b * key_stride
    size_t key_stride;
    const void *values;        ///< block b at b * value_stride
    size_t value_stride;
    const int32_t *blocks;     ///< block table: block of positions 16 * i ..< 16 * (i + 1)
    size_t row_count;
    size_t group;
    size_t head_dim;
    size_t first_position;     ///< position of row 0; row r sees positions 0 ... first_position + r
    size_t window;             ///< only the last `window` of them when not 0
    float scale;               ///< multiplies q · k
    float cap;                 ///< scores are cap * tanh(score / cap) when not 0
    float *scratch;            ///< cmk_attention_scratch_count floats of the calling thread's own
    /// What the thread attends to after this piece, or NULL; of a single row its first keys are fetched
    /// on the way. `q`, `out` and `scratch` are not looked at.
    const struct cmk_attention *next;
} cmk_attention;

/// Floats of scratch that a call with these sizes needs.
size_t cmk_attention_scratch_count(
    size_t row_count, size_t group, size_t head_dim, size_t position_count);

/// The largest of some numbers.
typedef struct cmk_peak {
    float maximum;             ///< NaN if any number is NaN
    size_t index;              ///< the lowest that holds the maximum
} cmk_peak;

/// What a product multiplies.
typedef enum cmk_kind {
    CMK_F32,                   ///< f32 inputs and weights
    CMK_BF16,                  ///< bf16 inputs and weights
    CMK_MIXED,                 ///< f32 inputs, bf16 weights: the pairs' order without rounding x
    CMK_Q8,                    ///< quantized rows, 8-bit weights
    CMK_Q4,                    ///< quantized rows, 4-bit weights
} cmk_kind;

/// y (rows, 16 * panels) = x (rows, in) · wᵀ, or +=. x is read up to `in`, which is even for weights
/// in bf16 and a multiple of 4 for q8, of 64 for q4. x_stride counts elements, for quantized rows
/// bytes.
typedef struct cmk_product {
    const void *x;
    size_t x_stride;
    size_t rows;
    const void *w;             ///< panels one after another
    size_t in;
    size_t panels;
    float *y;
    size_t y_stride;
    bool accumulate;
    size_t terms;              ///< of quantized rows
    const void *next;          ///< weights wanted after these, or NULL for those behind them
} cmk_product;

typedef struct cmk_kernels {
    const char *name;

    /// The products one after another, the weights of each fetched while the one before it runs.
    void (*matmul)(cmk_kind kind, const cmk_product *products, size_t count);

    /// y[i] = x[i] / sqrt(mean(x²) + epsilon) * weight[i]. y may be x for f32.
    void (*rms_norm_f32)(const float *x, const float *weight, float epsilon, size_t n, float *y);
    void (*rms_norm_bf16)(
        const float *x, const float *weight, float epsilon, size_t n, uint16_t *y);

    /// y[i] = silu(gate[i]) * up[i].
    void (*silu_mul_f32)(const float *gate, const float *up, size_t n, float *y);
    void (*silu_mul_bf16)(const float *gate, const float *up, size_t n, uint16_t *y);

    /// y[i] = gelu(gate[i]) * up[i], gelu by the tangent's approximation.
    void (*gelu_mul_f32)(const float *gate, const float *up, size_t n, float *y);
    void (*gelu_mul_bf16)(const float *gate, const float *up, size_t n, uint16_t *y);

    /// y[i] = cap * tanh(y[i] / cap).
    void (*soft_cap)(float cap, size_t n, float *y);

    /// y[i] = x[i] * scale, rounded to nearest even for bf16.
    void (*scale_f32)(const float *x, float scale, size_t n, float *y);
    void (*scale_bf16)(const float *x, float scale, size_t n, uint16_t *y);

    /// Quantizes n values as a row of n rounded up to 64: a block's scale is its largest magnitude
    /// over 127.
    void (*quantize_f32)(const float *x, size_t n, size_t terms, void *row);
    void (*quantize_bf16)(const uint16_t *x, size_t n, size_t terms, void *row);

    /// y[i] += x[i].
    void (*add)(const float *x, size_t n, float *y);
    /// y[i] *= x[i].
    void (*multiply)(const float *x, size_t n, float *y);

    /// Rotates pairs (i, i + head_dim / 2) of each of `heads` consecutive heads in place by the
    /// angles whose cosines and sines are given, head_dim / 2 of each.
    void (*rope)(
        float *x, size_t heads, size_t head_dim, const float *cosines, const float *sines);

    void (*attention_f32)(const cmk_attention *job);
    void (*attention_bf16)(const cmk_attention *job);

    /// Of n > 0 numbers.
    cmk_peak (*peak)(const float *x, size_t n);
    /// log Σ exp(x[i]) of numbers of which none is above `maximum`.
    float (*log_sum_exp)(const float *x, float maximum, size_t n);
    /// y[i] = exp((x[i] - maximum) · inverse_temperature), and the sums of each CMK_SUM_BLOCK of them.
    void (*exp_scaled)(
        const float *x, float maximum, float inverse_temperature, size_t n, float *y, float *sums);

    /// For measuring a machine's ceilings: `rounds` times CMK_PROBE_STEPS independent steps of the
    /// products' inner loop on registers alone. A step is 16 lanes of one multiply-add (f32) or of
    /// two (bf16) or four (q8). Returns a number that depends on all of them.
    float (*probe_f32)(size_t rounds);
    float (*probe_bf16)(size_t rounds);
    float (*probe_q8)(size_t rounds);
    /// Reads n floats, a multiple of 64, as fast as memory gives them. Returns what depends on all.
    float (*probe_read)(const float *x, size_t n);
} cmk_kernels;

// MARK: Low-rank updates
//
// An adapter changes the projections that read one input x by y += s · (x · A) · B: first the rows of
// each adapter are shrunk for all those projections at once, later each projection expands its part.

enum {
    /// Projections that read one input at most: query, key and value.
    CMK_SITE_PROJECTIONS = 3,
};

/// How one projection's outputs come back from the shrunk input.
typedef struct cmk_expansion {
    const void *w;             ///< B in panels; NULL where the adapter changes nothing
    size_t panels;             ///< of B
    size_t in;                 ///< padded rank
    size_t column;             ///< first column of its part of the shrunk input
    size_t place;              ///< the same in the rounded input: an element, for q8 a byte
    float scale;
    const float *gain;         ///< multiplies y afterwards (DoRA), or NULL
    const float *bias;         ///< is added last, or NULL
} cmk_expansion;

/// An adapter's part at one site of one layer.
typedef struct cmk_low_rank {
    const void *shrink;        ///< A of all projections, one below the other; NULL if it has none
    size_t panels;
    cmk_expansion expansions[CMK_SITE_PROJECTIONS];
} cmk_low_rank;

/// Rows that share an adapter.
typedef struct cmk_segment {
    size_t first_row;
    size_t row_count;
    const cmk_low_rank *updates;  ///< by layer and site
} cmk_segment;

/// The segments of a step and where it stands: the update of the current layer and site.
typedef struct cmk_low_rank_step {
    const cmk_kernels *kernels;
    cmk_kind kind;
    const cmk_segment *segments;
    size_t count;
    size_t update;
} cmk_low_rank_step;

/// For rows first_row ..< end_row: shrunk = s · x · A, then rounded is that in x's format: of quantized
/// rows, of which the first term counts, one for each projection. Strides of x and of rounded are
/// those of a product's x.
void cmk_shrink(
    const cmk_low_rank_step *step, size_t first_row, size_t end_row, const void *x, size_t x_stride,
    size_t in, float *shrunk, size_t shrunk_stride, void *rounded, size_t rounded_stride);

/// y += rounded · B for some panels of one projection, then gain and bias, for every segment's rows of
/// first_row ..< end_row.
/// y points at row 0 of the first panel; `outputs` of the panels' columns exist.
void cmk_expand(
    const cmk_low_rank_step *step, size_t projection, size_t first_row, size_t end_row,
    const void *rounded, size_t rounded_stride, size_t first_panel, size_t panels, size_t outputs,
    float *y, size_t y_stride);

/// Bytes of a panel: 16 outputs with `in` inputs, rounded up as the kind wants it.
size_t cmk_panel_bytes(cmk_kind kind, size_t in);
/// Bytes of one term of a quantized row of n values.
size_t cmk_quantized_term_bytes(size_t n);

/// The tables this build has, best first, ending with the scalar one, then NULL. A table is listed
/// only if the processor that runs this can run it.
const cmk_kernels *const *cmk_available_kernels(void);

// MARK: Element conversion and packing (load time, one portable version)

/// Source layouts that `cmk_decode_row` reads. Numbers are Martlet's own.
typedef enum cmk_source {
    CMK_SOURCE_F32 = 0,
    CMK_SOURCE_F16 = 1,
    CMK_SOURCE_BF16 = 2,
    CMK_SOURCE_Q8_0 = 3,
    CMK_SOURCE_Q4_0 = 4,
    CMK_SOURCE_Q4_1 = 5,
    CMK_SOURCE_Q5_0 = 6,
    CMK_SOURCE_Q5_1 = 7,
    CMK_SOURCE_Q4_K = 8,
    CMK_SOURCE_Q5_K = 9,
    CMK_SOURCE_Q6_K = 10,
    CMK_SOURCE_Q2_K = 11,
    CMK_SOURCE_Q3_K = 12,
    CMK_SOURCE_IQ4_NL = 13,
    CMK_SOURCE_IQ4_XS = 14,
} cmk_source;

/// Decodes n consecutive values to f32. For block types n is a multiple of the block's length.
/// Returns false, having written all n, when a value is NaN or infinite.
bool cmk_decode_row(cmk_source source, const uint8_t *bytes, size_t n, float *y);

/// How a matrix (rows, columns) of codes lies in a file. Words have 32 bits, little-endian, with fields of `bits` bits from the
/// lowest on.
typedef enum cmk_packing {
    /// Words (columns / fields, rows): a word has codes of one row.
    CMK_PACKED_DOWN = 0,
    /// Words (rows, columns / fields, rounded up).
    CMK_PACKED_ACROSS = 1,
    /// Words (columns, rows / 8), fields of 4 bits in the order of rows 0, 2, 4, 6, 1, 3, 5, 7.
    CMK_PACKED_AWQ = 2,
    /// Signed bytes (rows, columns).
    CMK_PACKED_I8 = 3,
    /// Floats of 8 bits (rows, columns): 4 of exponent, 3 of mantissa, no infinities.
    CMK_PACKED_E4M3 = 4,
} cmk_packing;

typedef struct cmk_packed {
    cmk_packing layout;
    /// Of a field, 4 or 8; 0 where there are no words.
    uint32_t bits;
    /// Added to every word, modulo 2^32.
    uint32_t added;
    size_t rows, columns;
    const uint8_t *bytes;
} cmk_packed;

float cmk_packed_code(const cmk_packed *matrix, size_t row, size_t column);

/// y[i] = (code(row, i) - zeros[g]) * scales[g] for all columns i, g being groups[i], or i / group_size where `groups` is null.
/// Returns false, having written all, when a value is NaN or infinite.
bool cmk_decode_packed(
    const cmk_packed *matrix, size_t row, const uint32_t *groups, size_t group_size,
    const float *scales, const float *zeros, float *y);

/// Writes 16 rows of one panel. `rows` holds up to 16 rows of `in` floats, row stride `stride`;
/// missing rows become zero. bf16 rounds to nearest even.
void cmk_pack_panel_f32(
    const float *rows, size_t row_count, size_t stride, size_t in, float *panel);
void cmk_pack_panel_bf16(
    const float *rows, size_t row_count, size_t stride, size_t in, uint16_t *panel);

/// The same for `kind` CMK_Q8 or CMK_Q4; the scales are chosen for the least squared error.
void cmk_pack_panel_quantized(
    cmk_kind kind, const float *rows, size_t row_count, size_t stride, size_t in, uint8_t *panel);

/// Reads back row `lane` of a panel.
void cmk_unpack_row_f32(const float *panel, size_t lane, size_t in, float *y);
void cmk_unpack_row_bf16(const uint16_t *panel, size_t lane, size_t in, float *y);
void cmk_unpack_row_quantized(
    cmk_kind kind, const uint8_t *panel, size_t lane, size_t in, float *y);

/// Writes one position's key (head_dim) and value (head_dim) of one head into its block, `slot` in
/// 0 ..< 16. The bf16 form also zeroes the odd neighbour of an even slot, so that a pair is never
/// half stale.
void cmk_store_kv_f32(
    const float *key, const float *value, size_t head_dim, size_t slot, float *key_block,
    float *value_block);
void cmk_store_kv_bf16(
    const float *key, const float *value, size_t head_dim, size_t slot, uint16_t *key_block,
    uint16_t *value_block);

// MARK: Checksums

/// Four CRC-32C, of every fourth 64-bit word each, and the number of bytes. Starts as all zeroes.
typedef struct cmk_checksum {
    uint32_t lanes[4];
    uint64_t count;
} cmk_checksum;

/// Adds n bytes. All calls but the last add a multiple of 32.
void cmk_checksum_add(cmk_checksum *sum, const void *bytes, size_t n);
/// The same bit by bit, on every processor: what the other one is tested against.
void cmk_checksum_add_portable(cmk_checksum *sum, const void *bytes, size_t n);

/// Tells the processor that a thread is waiting in a spin loop.
void cmk_relax(void);

/// Processors that this process may run on.
size_t cmk_usable_processors(void);

#endif
