// Matrices as quantized checkpoints hold them, a row at a time to f32: integers that are packed into words or bytes, or
// floats of 8 bits, with a scale and a zero for each group of a row. Words are read byte by byte, as in decode.c.
#include "../internal.h"

static uint32_t read_word(const cmk_packed *p, size_t index) {
    const uint8_t *b = p->bytes + 4 * index;
    uint32_t word = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return word + p->added;
}

/// Field `index` of a word, from its lowest bits on.
static float field(const cmk_packed *p, uint32_t word, size_t index) {
    return (float)(word >> (p->bits * index) & ((1u << p->bits) - 1));
}

static float from_e4m3(uint8_t code) {
    uint32_t sign = (uint32_t)(code & 128) << 24, exponent = code >> 3 & 15, mantissa = code & 7;
    if ((code & 127) == 127) return cmk_float(0x7fc00000u);
    if (exponent == 0) {
        float small = (float)mantissa * 0x1p-9f;
        return sign ? -small : small;
    }
    return cmk_float(sign | (exponent + 120) << 23 | mantissa << 20);
}

float cmk_packed_code(const cmk_packed *p, size_t row, size_t column) {
    // Where output 8c + j is in the word of AWQ's outputs 8c to 8c + 7.
    static const uint8_t place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    size_t fields = p->bits ? 32 / p->bits : 1;
    switch (p->layout) {
    case CMK_PACKED_DOWN:
        return field(p, read_word(p, column / fields * p->rows + row), column % fields);
    case CMK_PACKED_ACROSS:
        return field(
            p, read_word(p, row * ((p->columns + fields - 1) / fields) + column / fields),
            column % fields);
    case CMK_PACKED_AWQ:
        return field(p, read_word(p, column * (p->rows / 8) + row / 8), place[row % 8]);
    case CMK_PACKED_I8: return (float)(int8_t)p->bytes[row * p->columns + column];
    case CMK_PACKED_E4M3: return from_e4m3(p->bytes[row * p->columns + column]);
    }
    return 0;
}

bool cmk_decode_packed(
    const cmk_packed *p, size_t row, const uint32_t *groups, size_t group_size, const float *scales,
    const float *zeros, float *y) {
    uint32_t worst = 0;
    for (size_t i = 0, group = 0, left = group_size; i < p->columns; i++, left--) {
        if (groups) {
            group = groups[i];
        } else if (left == 0) {
            group++;
            left = group_size;
        }
        y[i] = (cmk_packed_code(p, row, i) - zeros[group]) * scales[group];
        uint32_t magnitude = cmk_bits(y[i]) & 0x7fffffffu;
        worst = magnitude > worst ? magnitude : worst;
    }
    return worst < 0x7f800000u;
}
