// File element types to f32. Block layouts are those of GGUF (ggml's quantization formats), read
// byte by byte so that neither alignment nor the machine's byte order matters.
#include "../internal.h"

static uint16_t read_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float read_f16(const uint8_t *p) { return cmk_from_f16(read_u16(p)); }

enum { SMALL_BLOCK = 32, LARGE_BLOCK = 256 };

static void decode_q8_0(const uint8_t *p, float *y) {
    float d = read_f16(p);
    for (int i = 0; i < SMALL_BLOCK; i++) y[i] = (float)(int8_t)p[2 + i] * d;
}

/// Low nibbles are the first half of a small block, high nibbles the second.
static void decode_q4(const uint8_t *q, float d, float minimum, int offset, float *y) {
    for (int i = 0; i < SMALL_BLOCK / 2; i++) {
        y[i] = (float)((q[i] & 15) - offset) * d + minimum;
        y[i + SMALL_BLOCK / 2] = (float)((q[i] >> 4) - offset) * d + minimum;
    }
}

static void decode_q4_0(const uint8_t *p, float *y) { decode_q4(p + 2, read_f16(p), 0, 8, y); }

static void decode_q4_1(const uint8_t *p, float *y) {
    decode_q4(p + 4, read_f16(p), read_f16(p + 2), 0, y);
}

static void decode_q5(
    const uint8_t *high, const uint8_t *q, float d, float minimum, int offset, float *y) {
    uint32_t bits = read_u32(high);
    for (int i = 0; i < SMALL_BLOCK / 2; i++) {
        int low = (q[i] & 15) | (int)(bits >> i & 1) << 4;
        int upper = q[i] >> 4 | (int)(bits >> (i + SMALL_BLOCK / 2) & 1) << 4;
        y[i] = (float)(low - offset) * d + minimum;
        y[i + SMALL_BLOCK / 2] = (float)(upper - offset) * d + minimum;
    }
}

static void decode_q5_0(const uint8_t *p, float *y) {
    decode_q5(p + 2, p + 6, read_f16(p), 0, 16, y);
}

static void decode_q5_1(const uint8_t *p, float *y) {
    decode_q5(p + 4, p + 8, read_f16(p), read_f16(p + 2), 0, y);
}

/// Six-bit scale and minimum `j` of the eight that a k-block packs into 12 bytes.
static void k_scale(const uint8_t *s, int j, int *scale, int *minimum) {
    if (j < 4) {
        *scale = s[j] & 63;
        *minimum = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *minimum = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/// Q4_K, and Q5_K when `high` is its fifth bits.
static void decode_k(
    const uint8_t *p, const uint8_t *high, const uint8_t *q, float *y) {
    float d = read_f16(p), d_minimum = read_f16(p + 2);
    for (int j = 0; j < 8; j++) {
        int scale, minimum;
        k_scale(p + 4, j, &scale, &minimum);
        float step = d * (float)scale, base = d_minimum * (float)minimum;
        for (int i = 0; i < 32; i++) {
            int value = j % 2 == 0 ? q[j / 2 * 32 + i] & 15 : q[j / 2 * 32 + i] >> 4;
            if (high) value += (high[i] >> j & 1) << 4;
            y[j * 32 + i] = step * (float)value - base;
        }
    }
}

static void decode_q4_k(const uint8_t *p, float *y) { decode_k(p, NULL, p + 16, y); }
static void decode_q5_k(const uint8_t *p, float *y) { decode_k(p, p + 16, p + 48, y); }

static void decode_q6_k(const uint8_t *p, float *y) {
    float d = read_f16(p + 208);
    for (int half = 0; half < 2; half++) {
        const uint8_t *low = p + half * 64, *high = p + 128 + half * 32;
        const uint8_t *scales = p + 192 + half * 8;
        for (int quarter = 0; quarter < 4; quarter++)
            for (int i = 0; i < 32; i++) {
                int nibble = low[quarter % 2 * 32 + i];
                nibble = quarter < 2 ? nibble & 15 : nibble >> 4;
                int value = (nibble | (high[i] >> (2 * quarter) & 3) << 4) - 32;
                float scale = d * (float)(int8_t)scales[quarter * 2 + i / 16];
                y[half * 128 + quarter * 32 + i] = scale * (float)value;
            }
    }
}

static void decode_q2_k(const uint8_t *p, float *y) {
    float d = read_f16(p + 80), d_minimum = read_f16(p + 82);
    for (int i = 0; i < LARGE_BLOCK; i++) {
        int value = p[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3, scale = p[i / 16];
        y[i] = d * (float)(scale & 15) * (float)value - d_minimum * (float)(scale >> 4);
    }
}

static void decode_q3_k(const uint8_t *p, float *y) {
    const uint8_t *high = p, *low = p + 32, *scales = p + 96;
    float d = read_f16(p + 108);
    for (int i = 0; i < LARGE_BLOCK; i++) {
        int value = low[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
        if (!(high[i % 32] >> (i / 32) & 1)) value -= 4;
        int s = i / 16, scale = s < 8 ? scales[s] & 15 : scales[s - 8] >> 4;
        scale |= (scales[8 + s % 4] >> (2 * (s / 4)) & 3) << 4;
        y[i] = d * (float)(scale - 32) * (float)value;
    }
}

/// The values of four bits in IQ4 blocks.
static const int8_t uneven[16] = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
};

static void decode_iq4(const uint8_t *q, float d, float *y) {
    for (int i = 0; i < SMALL_BLOCK / 2; i++) {
        y[i] = d * (float)uneven[q[i] & 15];
        y[i + SMALL_BLOCK / 2] = d * (float)uneven[q[i] >> 4];
    }
}

static void decode_iq4_nl(const uint8_t *p, float *y) { decode_iq4(p + 2, read_f16(p), y); }

static void decode_iq4_xs(const uint8_t *p, float *y) {
    float d = read_f16(p);
    for (int b = 0; b < 8; b++) {
        int low = p[4 + b / 2] >> (4 * (b % 2)) & 15, high = read_u16(p + 2) >> (2 * b) & 3;
        float step = d * (float)((low | high << 4) - 32);
        decode_iq4(p + 8 + 16 * b, step, y + SMALL_BLOCK * b);
    }
}

static void decode_f32(const uint8_t *p, float *y) { *y = cmk_float(read_u32(p)); }
static void decode_f16(const uint8_t *p, float *y) { *y = read_f16(p); }
static void decode_bf16(const uint8_t *p, float *y) { *y = cmk_from_bf16(read_u16(p)); }

static const struct format {
    size_t length, bytes;
    void (*decode)(const uint8_t *, float *);
} formats[] = {
    [CMK_SOURCE_F32] = {1, 4, decode_f32},
    [CMK_SOURCE_F16] = {1, 2, decode_f16},
    [CMK_SOURCE_BF16] = {1, 2, decode_bf16},
    [CMK_SOURCE_Q8_0] = {32, 34, decode_q8_0},
    [CMK_SOURCE_Q4_0] = {32, 18, decode_q4_0},
    [CMK_SOURCE_Q4_1] = {32, 20, decode_q4_1},
    [CMK_SOURCE_Q5_0] = {32, 22, decode_q5_0},
    [CMK_SOURCE_Q5_1] = {32, 24, decode_q5_1},
    [CMK_SOURCE_Q4_K] = {256, 144, decode_q4_k},
    [CMK_SOURCE_Q5_K] = {256, 176, decode_q5_k},
    [CMK_SOURCE_Q6_K] = {256, 210, decode_q6_k},
    [CMK_SOURCE_Q2_K] = {256, 84, decode_q2_k},
    [CMK_SOURCE_Q3_K] = {256, 110, decode_q3_k},
    [CMK_SOURCE_IQ4_NL] = {32, 18, decode_iq4_nl},
    [CMK_SOURCE_IQ4_XS] = {256, 136, decode_iq4_xs},
};

bool cmk_decode_row(cmk_source source, const uint8_t *bytes, size_t n, float *y) {
    const struct format *format = &formats[source];
    assert(n % format->length == 0);
    switch (source) {  // the common float types without a call for each value
    case CMK_SOURCE_F32:
        memcpy(y, bytes, n * sizeof(float));
        break;
    case CMK_SOURCE_F16:
        for (size_t i = 0; i < n; i++) y[i] = read_f16(bytes + 2 * i);
        break;
    case CMK_SOURCE_BF16:
        for (size_t i = 0; i < n; i++) y[i] = cmk_from_bf16(read_u16(bytes + 2 * i));
        break;
    default:
        for (size_t i = 0; i < n; i += format->length, bytes += format->bytes)
            format->decode(bytes, y + i);
    }
    uint32_t worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t magnitude = cmk_bits(y[i]) & 0x7fffffffu;
        worst = magnitude > worst ? magnitude : worst;
    }
    return worst < 0x7f800000u;
}
