// The scalar kernel set: the specification that every other set must match bit for bit. Plain
// loops, one value at a time; read this to know what a kernel computes.
#include "../internal.h"

/// acc + x1 * w1 + x0 * w0, fused, the odd product first.
static float dot_pair(float acc, float x0, float x1, const uint16_t *w) {
    return fmaf(x0, cmk_from_bf16(w[0]), fmaf(x1, cmk_from_bf16(w[1]), acc));
}

static float dot_f32(float sum, const float *x, const float *w, size_t in) {
    for (size_t k = 0; k < in; k++) sum = fmaf(x[k], w[k * CMK_LANES], sum);
    return sum;
}

static float dot_bf16(float sum, const uint16_t *x, const uint16_t *w, size_t in) {
    for (size_t k = 0; k < in; k += 2)
        sum = dot_pair(sum, cmk_from_bf16(x[k]), cmk_from_bf16(x[k + 1]), w + k * CMK_LANES);
    return sum;
}

static float dot_mixed(float sum, const float *x, const uint16_t *w, size_t in) {
    for (size_t k = 0; k < in; k += 2) sum = dot_pair(sum, x[k], x[k + 1], w + k * CMK_LANES);
    return sum;
}

static float dot_quantized(
    cmk_kind kind, float sum, const void *term, const uint8_t *panel, size_t lane, size_t in) {
    const cmk_row_block *blocks = cmk_row_blocks(term);
    const int8_t *x = cmk_row_values(term, in);
    for (size_t k = 0; k < in; k += CMK_BLOCK) {
        const uint8_t *superblock = panel + k / CMK_SUPERBLOCK * cmk_superblock_bytes(kind);
        cmk_row_block row = blocks[k / CMK_BLOCK];
        size_t block = k / CMK_BLOCK % 2, lines = cmk_lines(kind, k - block * CMK_BLOCK, in);
        int32_t product = -cmk_zero_point(kind) * row.sum;
        for (size_t i = 0; i < CMK_BLOCK && k + i < in; i++) {
            size_t line = kind == CMK_Q8 ? block * CMK_BLOCK / 4 + i / 4 : i / 4;
            uint8_t w = superblock[line * CMK_LINE + lane * 4 + i % 4];
            product += x[k + i] * (kind == CMK_Q8 ? w : w >> block * 4 & 15);
        }
        const uint16_t *scales = (const uint16_t *)(superblock + lines * CMK_LINE);
        size_t place = block * CMK_LANES + lane;
        sum = fmaf((float)product, cmk_from_f16(scales[place]) * row.scale, sum);
        if (kind == CMK_Q4)
            sum = fmaf(cmk_from_f16(scales[place + 32]), row.scale * (float)row.sum, sum);
    }
    return sum;
}

static void matmul(cmk_kind kind, const cmk_product *jobs, size_t count) {
    for (const cmk_product *job = jobs; job < jobs + count; job++)
        for (size_t row = 0; row < job->rows; row++)
            for (size_t o = 0; o < job->panels * CMK_LANES; o++) {
                float *y = job->y + row * job->y_stride + o;
                float sum = job->accumulate ? *y : 0;
                size_t at = row * job->x_stride;
                size_t panel = o / CMK_LANES * CMK_LANES * job->in, lane = o % CMK_LANES;
                const float *x = job->x, *w = job->w;
                const uint16_t *x16 = job->x, *w16 = job->w;
                switch (kind) {
                case CMK_F32: sum = dot_f32(sum, x + at, w + panel + lane, job->in); break;
                case CMK_BF16:
                    sum = dot_bf16(sum, x16 + at, w16 + panel + lane * 2, job->in);
                    break;
                case CMK_MIXED: sum = dot_mixed(sum, x + at, w16 + panel + lane * 2, job->in); break;
                case CMK_Q8:
                case CMK_Q4:
                    for (size_t term = 0; term < job->terms; term++)
                        sum = dot_quantized(
                            kind, sum, (const uint8_t *)job->x + at + term * cmk_term_bytes(job->in),
                            (const uint8_t *)job->w + o / CMK_LANES * cmk_panel_bytes(kind, job->in),
                            lane, job->in);
                    break;
                }
                *y = sum;
            }
}

static void quantize(bool bf16, const void *x, size_t n, size_t terms, void *row) {
    size_t in = cmk_round_up(n, CMK_SUPERBLOCK);
    for (size_t k = 0; k < in; k += CMK_BLOCK) {
        float block[CMK_BLOCK] = {0};
        for (size_t i = 0; i < CMK_BLOCK && k + i < n; i++)
            block[i] = bf16 ? cmk_from_bf16(((const uint16_t *)x)[k + i]) : ((const float *)x)[k + i];
        for (size_t term = 0; term < terms; term++) {
            uint8_t *target = (uint8_t *)row + term * cmk_term_bytes(in);
            int8_t *values = (int8_t *)cmk_row_values(target, in) + k;
            // As integers magnitudes are ordered as they are, and a NaN is above them all.
            uint32_t bits = 0;
            for (size_t i = 0; i < CMK_BLOCK; i++) {
                uint32_t magnitude = cmk_bits(block[i]) & 0x7fffffffu;
                bits = magnitude > bits ? magnitude : bits;
            }
            float largest = cmk_float(bits), scale = largest / 127.0f;
            float inverse = largest > 0 ? 127.0f / largest : 0;
            int32_t sum = 0;
            for (size_t i = 0; i < CMK_BLOCK; i++) {
                float shifted = block[i] * inverse + CMK_ROUND_MAGIC;
                values[i] = (int8_t)(cmk_bits(shifted) - cmk_bits(CMK_ROUND_MAGIC));
                sum += values[i];
                block[i] = fmaf(-(float)values[i], scale, block[i]);
            }
            ((cmk_row_block *)target)[k / CMK_BLOCK] = (cmk_row_block){.scale = scale, .sum = sum};
        }
    }
}

static void quantize_f32(const float *x, size_t n, size_t terms, void *row) {
    quantize(false, x, n, terms, row);
}

static void quantize_bf16(const uint16_t *x, size_t n, size_t terms, void *row) {
    quantize(true, x, n, terms, row);
}

static float rms_scale(const float *x, float epsilon, size_t n) {
    float lanes[CMK_LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % CMK_LANES] = fmaf(x[i], x[i], lanes[i % CMK_LANES]);
    return 1.0f / sqrtf(cmk_fold(lanes) / (float)n + epsilon);
}

static void rms_norm_f32(const float *x, const float *weight, float epsilon, size_t n, float *y) {
    float scale = rms_scale(x, epsilon, n);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale * weight[i];
}

static void rms_norm_bf16(
    const float *x, const float *weight, float epsilon, size_t n, uint16_t *y) {
    float scale = rms_scale(x, epsilon, n);
    for (size_t i = 0; i < n; i++) y[i] = cmk_to_bf16(x[i] * scale * weight[i]);
}

static float silu_mul(float gate, float up) { return gate / (1.0f + cmk_exp(-gate)) * up; }

static void silu_mul_f32(const float *gate, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = silu_mul(gate[i], up[i]);
}

static void silu_mul_bf16(const float *gate, const float *up, size_t n, uint16_t *y) {
    for (size_t i = 0; i < n; i++) y[i] = cmk_to_bf16(silu_mul(gate[i], up[i]));
}

static void gelu_mul_f32(const float *gate, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = cmk_gelu(gate[i]) * up[i];
}

static void gelu_mul_bf16(const float *gate, const float *up, size_t n, uint16_t *y) {
    for (size_t i = 0; i < n; i++) y[i] = cmk_to_bf16(cmk_gelu(gate[i]) * up[i]);
}

static void soft_cap(float cap, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = cmk_soft_cap(y[i], cap, 2.0f / cap);
}

static void scale_f32(const float *x, float scale, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale;
}

static void scale_bf16(const float *x, float scale, size_t n, uint16_t *y) {
    for (size_t i = 0; i < n; i++) y[i] = cmk_to_bf16(x[i] * scale);
}

static void add(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void multiply(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] *= x[i];
}

static void rope(
    float *x, size_t heads, size_t head_dim, const float *cosines, const float *sines) {
    size_t half = head_dim / 2;
    for (size_t head = 0; head < heads; head++, x += head_dim)
        for (size_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            x[i] = a * cosines[i] - b * sines[i];
            x[i + half] = b * cosines[i] + a * sines[i];
        }
}

/// Turns one query's scores over `end` positions, the first of them `begin`, into weights and
/// returns their sum. Positions outside begin ..< end get weight 0. With `bf16` the weights are
/// rounded first, so that they still sum to one after division.
static float softmax(
    float *scores, size_t count, size_t begin, size_t end, float scale, float cap, bool bf16) {
    float maximum = -INFINITY;
    for (size_t i = begin; i < end; i++) {
        scores[i] *= scale;
        if (cap != 0) scores[i] = cmk_soft_cap(scores[i], cap, 2.0f / cap);
        maximum = scores[i] > maximum ? scores[i] : maximum;
    }
    float lanes[CMK_LANES] = {0};
    for (size_t i = 0; i < count; i++) {
        float weight = i >= begin && i < end ? cmk_exp(scores[i] - maximum) : 0;
        scores[i] = bf16 ? cmk_from_bf16(cmk_to_bf16(weight)) : weight;
        lanes[i % CMK_LANES] += scores[i];
    }
    return cmk_fold(lanes);
}

/// Paged attention, one query at a time. Block widths and orders follow the panel layouts, so that
/// keys are a product with head_dim inputs and values one with 16 inputs a block.
static void attention(const cmk_attention *job, bool bf16) {
    size_t first = cmk_attention_first_block(job), d = job->head_dim;
    size_t padded = cmk_round_up(d, CMK_LANES), key_in = bf16 ? cmk_round_up(d, 2) : d;
    size_t end = cmk_attention_end(job), width = end - first * CMK_BLOCK_POSITIONS;
    size_t count = cmk_round_up(width, CMK_BLOCK_POSITIONS);
    float *scores = job->scratch, *query = scores + count, *result = query + padded;
    for (size_t row = 0; row < job->row_count; row++)
        for (size_t head = 0; head < job->group; head++) {
            const float *q = job->q + row * job->q_stride + head * d;
            uint16_t *query16 = (uint16_t *)query;
            memset(query, 0, padded * sizeof(float));
            for (size_t i = 0; i < d; i++)
                if (bf16) query16[i] = cmk_to_bf16(q[i]);
                else query[i] = q[i];
            for (size_t b = 0; b * CMK_BLOCK_POSITIONS < width; b++) {
                int32_t block = job->blocks[first + b];
                size_t at = (size_t)block * job->key_stride;
                cmk_product product = {
                    .x = query, .rows = 1, .w = (const char *)job->keys + at * (bf16 ? 2 : 4),
                    .in = key_in, .panels = 1, .y = scores + b * CMK_BLOCK_POSITIONS};
                matmul(bf16 ? CMK_BF16 : CMK_F32, &product, 1);
            }
            size_t position = job->first_position + row;
            size_t visible = position + 1 - first * CMK_BLOCK_POSITIONS;
            size_t begin = job->window != 0 && position + 1 > job->window
                ? position + 1 - job->window - first * CMK_BLOCK_POSITIONS : 0;
            float sum = softmax(scores, count, begin, visible, job->scale, job->cap, bf16);
            memset(result, 0, padded * sizeof(float));
            for (size_t b = 0; b * CMK_BLOCK_POSITIONS < width; b++) {
                size_t at = (size_t)job->blocks[first + b] * job->value_stride;
                size_t left = width - b * CMK_BLOCK_POSITIONS;
                size_t in = left < CMK_BLOCK_POSITIONS ? left : CMK_BLOCK_POSITIONS;
                const float *weights = scores + b * CMK_BLOCK_POSITIONS;
                for (size_t o = 0; o < padded; o++) {
                    size_t panel = at + o / CMK_LANES * CMK_LANES * CMK_BLOCK_POSITIONS;
                    for (size_t k = 0; k < in; k += bf16 ? 2 : 1)
                        if (bf16) {
                            const uint16_t *values = (const uint16_t *)job->values + panel;
                            result[o] = dot_pair(
                                result[o], cmk_from_bf16(cmk_to_bf16(weights[k])),
                                cmk_from_bf16(cmk_to_bf16(weights[k + 1])),
                                values + k * CMK_LANES + o % CMK_LANES * 2);
                        } else {
                            result[o] = fmaf(
                                weights[k],
                                ((const float *)job->values)[panel + k * CMK_LANES + o % CMK_LANES],
                                result[o]);
                        }
                }
            }
            size_t target = row * job->out_stride + head * d;
            float inverse = 1.0f / sum;
            for (size_t i = 0; i < d; i++)
                if (bf16) ((uint16_t *)job->out)[target + i] = cmk_to_bf16(result[i] * inverse);
                else ((float *)job->out)[target + i] = result[i] * inverse;
        }
}

static void attention_f32(const cmk_attention *job) { attention(job, false); }
static void attention_bf16(const cmk_attention *job) { attention(job, true); }

static void exp_scaled(
    const float *x, float maximum, float inverse_temperature, size_t n, float *y, float *sums) {
    for (size_t block = 0; block < n; block += CMK_SUM_BLOCK) {
        float lanes[CMK_LANES] = {0};
        for (size_t i = block; i < block + CMK_SUM_BLOCK && i < n; i++) {
            y[i] = cmk_exp((x[i] - maximum) * inverse_temperature);
            lanes[i % CMK_LANES] += y[i];
        }
        sums[block / CMK_SUM_BLOCK] = cmk_fold(lanes);
    }
}

static cmk_peak peak(const float *x, size_t n) {
    cmk_peak peak = {.maximum = -INFINITY, .index = 0};
    bool invalid = false;
    for (size_t i = 0; i < n; i++) {
        invalid |= isnan(x[i]);
        if (x[i] > peak.maximum) peak = (cmk_peak){.maximum = x[i], .index = i};
    }
    if (invalid) peak.maximum = NAN;
    return peak;
}

static float log_sum_exp(const float *x, float maximum, size_t n) {
    float lanes[CMK_LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % CMK_LANES] += cmk_exp(x[i] - maximum);
    return maximum + logf(cmk_fold(lanes));
}

CMK_INLINE float probe(size_t rounds, size_t adds) {
    float acc[CMK_PROBE_STEPS * CMK_LANES] = {0};
    for (size_t step = 0; step < rounds * adds; step++)
        for (size_t i = 0; i < CMK_PROBE_STEPS * CMK_LANES; i++)
            acc[i] = fmaf(0.5f, 0.25f, acc[i]);
    return cmk_fold(acc);
}

static float probe_f32(size_t rounds) { return probe(rounds, 1); }
static float probe_bf16(size_t rounds) { return probe(rounds, 2); }
static float probe_q8(size_t rounds) { return probe(rounds, 4); }

static float probe_read(const float *x, size_t n) {
    float lanes[CMK_LANES] = {0};
    for (size_t i = 0; i < n; i++) lanes[i % CMK_LANES] += x[i];
    return cmk_fold(lanes);
}

const cmk_kernels cmk_scalar_kernels = {
    .name = "scalar",
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
