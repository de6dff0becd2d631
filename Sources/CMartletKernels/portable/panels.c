// Packing into panels and key/value blocks; the layouts are drawn in CMartletKernels.h.
#include "../internal.h"

void cmk_pack_panel_f32(
    const float *rows, size_t row_count, size_t stride, size_t in, float *panel) {
    for (size_t k = 0; k < in; k++)
        for (size_t lane = 0; lane < CMK_LANES; lane++)
            panel[k * CMK_LANES + lane] = lane < row_count ? rows[lane * stride + k] : 0;
}

void cmk_pack_panel_bf16(
    const float *rows, size_t row_count, size_t stride, size_t in, uint16_t *panel) {
    enum { PAIRS = 16 };
    if (row_count < CMK_LANES) memset(panel, 0, (in + in % 2) * CMK_LANES * sizeof *panel);
    // Some inputs of all rows at a time: what is read and what is written fits the nearest cache.
    for (size_t k = 0; k < in; k += 2 * PAIRS) {
        size_t count = smaller(2 * PAIRS, in - k);
        for (size_t lane = 0; lane < row_count; lane++) {
            uint16_t pairs[2 * PAIRS] = {0};
            for (size_t i = 0; i < count; i++) pairs[i] = cmk_to_bf16(rows[lane * stride + k + i]);
            for (size_t i = 0; i < count; i += 2)
                memcpy(panel + (k + i) * CMK_LANES + lane * 2, pairs + i, 2 * sizeof *pairs);
        }
    }
}

// MARK: Quantized

/// One output's block: value = integer * scale + minimum.
typedef struct block {
    uint16_t scale;
    uint16_t minimum;
    int8_t values[CMK_BLOCK];
} block;

/// Rounds the block's values to integers; returns the squared error.
static float fit(const float *x, int lowest, int highest, block *block) {
    float scale = cmk_from_f16(block->scale), minimum = cmk_from_f16(block->minimum);
    float inverse = scale == 0 ? 0 : 1 / scale, error = 0;
    for (size_t i = 0; i < CMK_BLOCK; i++) {
        float scaled = (x[i] - minimum) * inverse;
        scaled = scaled < (float)lowest ? (float)lowest : scaled;
        scaled = scaled > (float)highest ? (float)highest : scaled;
        float rounded = (scaled + CMK_ROUND_MAGIC) - CMK_ROUND_MAGIC;
        float difference = x[i] - (rounded * scale + minimum);
        block->values[i] = (int8_t)rounded;
        error += difference * difference;
    }
    return error;
}

static uint16_t f16_within_range(float x) { return cmk_to_f16(fminf(fmaxf(x, -65504), 65504)); }

static block quantize_q8(const float *x) {
    float largest = 0;
    for (size_t i = 0; i < CMK_BLOCK; i++) largest = fmaxf(largest, fabsf(x[i]));
    block block = {.scale = f16_within_range(largest / 127)};
    fit(x, -127, 127, &block);
    return block;
}

/// Tries ranges from the block's own to a little less: what is cut off costs less than finer steps
/// gain, as long as it is little.
static block quantize_q4(const float *x) {
    static const float shares[] = {1, 0.95f, 0.9f, 0.85f};
    float low = x[0], high = x[0], least = INFINITY;
    for (size_t i = 1; i < CMK_BLOCK; i++) {
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
    }
    block best = {0};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        float cut = (high - low) * (1 - shares[i]) / 2;
        block next = {
            .scale = f16_within_range((high - low) * shares[i] / 15),
            .minimum = f16_within_range(low + cut)};
        float error = fit(x, 0, 15, &next);
        if (error < least) {
            least = error;
            best = next;
        }
    }
    return best;
}

/// Byte of a superblock that holds input k, 0 ..< 64, of a lane, and the bit that it begins at.
static size_t q8_byte(size_t k, size_t lane) { return k / 4 * CMK_LINE + lane * 4 + k % 4; }
static size_t q4_byte(size_t k, size_t lane) { return k % CMK_BLOCK / 4 * CMK_LINE + lane * 4 + k % 4; }
static size_t q4_shift(size_t k) { return k / CMK_BLOCK * 4; }

size_t cmk_panel_bytes(cmk_kind kind, size_t in) {
    size_t whole = in / CMK_SUPERBLOCK, rest = in % CMK_SUPERBLOCK;
    switch (kind) {
    case CMK_F32: return in * CMK_LANES * sizeof(float);
    case CMK_BF16:
    case CMK_MIXED: return cmk_round_up(in, 2) * CMK_LANES * sizeof(uint16_t);
    case CMK_Q8:
        return whole * cmk_superblock_bytes(kind)
            + (rest > 0 ? (cmk_lines(kind, 0, rest) + 1) * CMK_LINE : 0);
    case CMK_Q4: return (whole + (rest > 0)) * cmk_superblock_bytes(kind);
    }
}

size_t cmk_quantized_term_bytes(size_t n) { return cmk_term_bytes(n); }

static size_t scale_byte(size_t lines, size_t block, size_t lane) {
    return lines * CMK_LINE + (block * CMK_LANES + lane) * sizeof(uint16_t);
}

void cmk_pack_panel_quantized(
    cmk_kind kind, const float *rows, size_t row_count, size_t stride, size_t in, uint8_t *panel) {
    memset(panel, 0, cmk_panel_bytes(kind, in));
    for (size_t k = 0; k < in; k += CMK_SUPERBLOCK, panel += cmk_superblock_bytes(kind))
        for (size_t lane = 0; lane < CMK_LANES; lane++)
            for (size_t b = 0; b < 2; b++) {
                size_t lines = cmk_lines(kind, k, in), first = k + b * CMK_BLOCK;
                float x[CMK_BLOCK] = {0};
                if (lane < row_count && first < in)
                    memcpy(x, rows + lane * stride + first,
                           smaller(in - first, CMK_BLOCK) * sizeof(float));
                block block = kind == CMK_Q8 ? quantize_q8(x) : quantize_q4(x);
                uint8_t *scale = panel + scale_byte(lines, b, lane);
                memcpy(scale, &block.scale, sizeof block.scale);
                if (kind == CMK_Q4) memcpy(scale + CMK_LINE, &block.minimum, sizeof block.minimum);
                for (size_t i = 0; i < CMK_BLOCK; i++) {
                    size_t place = b * CMK_BLOCK + i;
                    uint8_t value = (uint8_t)(block.values[i] + cmk_zero_point(kind));
                    if (kind == CMK_Q4) panel[q4_byte(place, lane)] |= (uint8_t)(value << q4_shift(place));
                    else if (place < lines * 4) panel[q8_byte(place, lane)] = value;
                }
            }
}

void cmk_unpack_row_quantized(
    cmk_kind kind, const uint8_t *panel, size_t lane, size_t in, float *y) {
    for (size_t k = 0; k < in; k++) {
        size_t place = k % CMK_SUPERBLOCK, lines = cmk_lines(kind, k - place, in);
        const uint8_t *superblock = panel + k / CMK_SUPERBLOCK * cmk_superblock_bytes(kind);
        uint16_t scale, minimum = 0;
        const uint8_t *from = superblock + scale_byte(lines, place / CMK_BLOCK, lane);
        memcpy(&scale, from, sizeof scale);
        if (kind == CMK_Q4) memcpy(&minimum, from + CMK_LINE, sizeof minimum);
        int value = kind == CMK_Q8 ? superblock[q8_byte(place, lane)]
                                   : superblock[q4_byte(place, lane)] >> q4_shift(place) & 15;
        y[k] = (float)(value - cmk_zero_point(kind)) * cmk_from_f16(scale) + cmk_from_f16(minimum);
    }
}

void cmk_unpack_row_f32(const float *panel, size_t lane, size_t in, float *y) {
    for (size_t k = 0; k < in; k++) y[k] = panel[k * CMK_LANES + lane];
}

void cmk_unpack_row_bf16(const uint16_t *panel, size_t lane, size_t in, float *y) {
    for (size_t k = 0; k < in; k++)
        y[k] = cmk_from_bf16(panel[k / 2 * 2 * CMK_LANES + lane * 2 + k % 2]);
}

void cmk_store_kv_f32(
    const float *key, const float *value, size_t head_dim, size_t slot, float *key_block,
    float *value_block) {
    for (size_t i = 0; i < head_dim; i++) {
        key_block[i * CMK_LANES + slot] = key[i];
        size_t panel = i / CMK_LANES * CMK_LANES * CMK_BLOCK_POSITIONS;
        value_block[panel + slot * CMK_LANES + i % CMK_LANES] = value[i];
    }
}

void cmk_store_kv_bf16(
    const float *key, const float *value, size_t head_dim, size_t slot, uint16_t *key_block,
    uint16_t *value_block) {
    for (size_t i = 0; i < head_dim; i++) {
        key_block[i / 2 * 2 * CMK_LANES + slot * 2 + i % 2] = cmk_to_bf16(key[i]);
        size_t panel = i / CMK_LANES * CMK_LANES * CMK_BLOCK_POSITIONS;
        uint16_t *pair = value_block + panel + slot / 2 * 2 * CMK_LANES + i % CMK_LANES * 2;
        pair[slot % 2] = cmk_to_bf16(value[i]);
        if (slot % 2 == 0) pair[1] = 0;
    }
}
