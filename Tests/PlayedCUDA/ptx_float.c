#include "ptx_run.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

// MARK: Products

static void fma_row(uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) {
    for (int i = 0; i < PTX_LANES; i++)
        d[i] = ptx_bits(__builtin_fmaf(ptx_float(a[i]), ptx_float(b[i]), ptx_float(c[i])));
}

#if defined(__x86_64__)
/// The same as an instruction of the processor: a call for each lane would take most of the time.
__attribute__((target("fma"))) static void fast_fma_row(uint64_t *d, const uint64_t *a,
                                                        const uint64_t *b, const uint64_t *c) {
    for (int i = 0; i < PTX_LANES; i++)
        d[i] = ptx_bits(__builtin_fmaf(ptx_float(a[i]), ptx_float(b[i]), ptx_float(c[i])));
}
#endif

void ptx_fma_row(uint64_t *d, const uint64_t *a, const uint64_t *b, const uint64_t *c) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("fma")) {
        fast_fma_row(d, a, b, c);
        return;
    }
#endif
    fma_row(d, a, b, c);
}

/// a · b + c rounded in a direction. Both the product and, with its error, the sum are exact in
/// doubles; the nearest float is moved by one where it lies on the wrong side of them.
static float directed(float a, float b, float c, unsigned rounding) {
    float nearest = fmaf(a, b, c);
    if (rounding == PTX_RN || !isfinite(a) || !isfinite(b) || !isfinite(c)) return nearest;
    double product = (double)a * (double)b;
    double sum = product + (double)c;
    double part = sum - product;
    double rest = (product - (sum - part)) + ((double)c - part);
    if (sum == 0 && rest == 0)
        return rounding == PTX_RM && signbit(product) != signbit(c) ? -0.0f : nearest;
    bool is_above = nearest > sum || (nearest == sum && rest < 0);
    bool is_below = nearest < sum || (nearest == sum && rest > 0);
    bool is_negative = sum < 0;
    bool goes_down = rounding == PTX_RM || (rounding == PTX_RZ && !is_negative);
    if (goes_down) return is_above ? nextafterf(nearest, -INFINITY) : nearest;
    return is_below ? nextafterf(nearest, INFINITY) : nearest;
}

// MARK: Single operations

static float flushed(float value) {
    return fpclassify(value) == FP_SUBNORMAL ? copysignf(0, value) : value;
}

/// NaN becomes zero, as the hardware has it.
static float saturated(float value) { return value > 0 ? (value < 1 ? value : 1) : 0; }

float ptx_float_smaller(float a, float b, bool keeps_nan) {
    if (isnan(a) || isnan(b)) return keeps_nan || (isnan(a) && isnan(b)) ? NAN : isnan(a) ? b : a;
    if (a == b) return signbit(a) ? a : b;
    return a < b ? a : b;
}

float ptx_float_larger(float a, float b, bool keeps_nan) {
    if (isnan(a) || isnan(b)) return keeps_nan || (isnan(a) && isnan(b)) ? NAN : isnan(a) ? b : a;
    if (a == b) return signbit(a) ? b : a;
    return a > b ? a : b;
}

float ptx_float_plain(unsigned op, float a) {
    switch (op) {
    case PTX_RCP: return 1 / a;
    case PTX_SQRT: return sqrtf(a);
    case PTX_RSQRT: return 1 / sqrtf(a);
    case PTX_EX2: return exp2f(a);
    case PTX_LG2: return log2f(a);
    case PTX_SIN: return sinf(a);
    case PTX_COS: return cosf(a);
    default: return tanhf(a);
    }
}

float ptx_float_special(const ptx_instruction *in, float a, float b, float c) {
    float result;
    if (in->ftz) a = flushed(a), b = flushed(b), c = flushed(c);
    switch (in->op) {
    case PTX_ADD: result = directed(a, 1, b, in->rounding); break;
    case PTX_SUB: result = directed(a, 1, -b, in->rounding); break;
    case PTX_MUL: result = directed(a, b, signbit(a) != signbit(b) ? -0.0f : 0.0f, in->rounding);
        break;
    case PTX_FMA: result = directed(a, b, c, in->rounding); break;
    case PTX_DIV: result = a / b; break;
    case PTX_ABS: result = fabsf(a); break;
    case PTX_NEG: result = -a; break;
    case PTX_MIN: result = ptx_float_smaller(a, b, in->nan); break;
    case PTX_MAX: result = ptx_float_larger(a, b, in->nan); break;
    default: result = ptx_float_plain(in->op, a); break;
    }
    if (in->ftz) result = flushed(result);
    return in->sat ? saturated(result) : result;
}

bool ptx_has_class(unsigned manner, float value) {
    switch (manner) {
    case PTX_FINITE: return isfinite(value);
    case PTX_INFINITE: return isinf(value);
    case PTX_NUMBER: return !isnan(value);
    case PTX_NOT_A_NUMBER: return isnan(value);
    case PTX_NORMAL: return isnormal(value);
    default: return fpclassify(value) == FP_SUBNORMAL;
    }
}

// MARK: Conversions

float ptx_half_value(uint16_t bits) {
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                  : exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(fraction | 1024), exponent - 25);
    return bits >> 15 ? -value : value;
}

/// To the nearest half float, ties to even; `rounding` may be towards zero.
static uint16_t half_bits(float value, unsigned rounding) {
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    float size = fabsf(value);
    if (isnan(value)) return 0x7fff;
    if (isinf(value)) return sign | 0x7c00;
    int exponent = size == 0 ? -14 : ilogbf(size);
    if (exponent < -14) exponent = -14;
    float scaled = ldexpf(size, 10 - exponent);
    float whole = rounding == PTX_RZ ? truncf(scaled) : nearbyintf(scaled);
    if (whole >= 2048) whole /= 2, exponent++;
    if (exponent > 15) return sign | (rounding == PTX_RZ ? 0x7bff : 0x7c00);
    unsigned bits = (unsigned)whole;
    if (bits >= 1024) bits = bits - 1024 + ((unsigned)(exponent + 15) << 10);
    return (uint16_t)(sign | bits);
}

static uint16_t bfloat_bits(float value, unsigned rounding) {
    uint32_t bits = (uint32_t)ptx_bits(value);
    if (isnan(value)) return 0x7fff;
    return (uint16_t)((rounding == PTX_RZ ? bits : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float to_whole(float value, unsigned rounding) {
    switch (rounding) {
    case PTX_RNI: return nearbyintf(value);
    case PTX_RZI: return truncf(value);
    case PTX_RMI: return floorf(value);
    case PTX_RPI: return ceilf(value);
    default: return value;
    }
}

/// The lowest and highest number of an integer type.
static void limits(unsigned type, __int128 *lowest, __int128 *highest) {
    unsigned bits = (unsigned)ptx_type_bytes((ptx_type)type) * 8;
    bool is_signed = type & 1;
    *highest = ((__int128)1 << (bits - is_signed)) - 1;
    *lowest = is_signed ? -*highest - 1 : 0;
}

static uint64_t clamped(unsigned type, __int128 value) {
    __int128 lowest, highest;
    limits(type, &lowest, &highest);
    return (uint64_t)(value < lowest ? lowest : value > highest ? highest : value);
}

static uint64_t float_to_integer(unsigned type, float value) {
    if (isnan(value)) return 0;
    if (value >= 0x1p100f || value <= -0x1p100f) value = copysignf(0x1p100f, value);
    return clamped(type, (__int128)value);
}

static __int128 integer_value(unsigned type, uint64_t slot) {
    switch (type) {
    case PTX_U8: return (uint8_t)slot;
    case PTX_S8: return (int8_t)slot;
    case PTX_U16: return (uint16_t)slot;
    case PTX_S16: return (int16_t)slot;
    case PTX_U32: return (uint32_t)slot;
    case PTX_S32: return (int32_t)slot;
    case PTX_U64: return slot;
    default: return (int64_t)slot;
    }
}

/// Rounded once, also in a direction.
static float integer_to_float(__int128 value, unsigned rounding) {
    float nearest = (float)value;
    __int128 back = (__int128)nearest;
    bool down = rounding == PTX_RM || (rounding == PTX_RZ && value > 0);
    bool up = rounding == PTX_RP || (rounding == PTX_RZ && value < 0);
    if (down && back > value) return nextafterf(nearest, -INFINITY);
    if (up && back < value) return nextafterf(nearest, INFINITY);
    return nearest;
}

static float float_source(unsigned from, uint64_t slot) {
    switch (from) {
    case PTX_F16: return ptx_half_value((uint16_t)slot);
    case PTX_BF16: return ptx_float((uint64_t)(uint16_t)slot << 16);
    default: return ptx_float(slot);
    }
}

uint64_t ptx_convert(const ptx_instruction *in, uint64_t a, uint64_t b) {
    bool from_integer = in->from < PTX_F32;
    if (from_integer && in->type < PTX_F32) return clamped(in->type, integer_value(in->from, a));
    float value = from_integer ? integer_to_float(integer_value(in->from, a), in->rounding)
                               : float_source(in->from, a);
    if (in->ftz) value = flushed(value);
    if (!from_integer) value = to_whole(value, in->rounding);
    if (in->sat && in->type >= PTX_F32) value = saturated(value);
    switch (in->type) {
    case PTX_F32: return ptx_bits(value);
    case PTX_F16: return half_bits(value, in->rounding);
    case PTX_BF16: return bfloat_bits(value, in->rounding);
    // The first operand goes into the high half.
    case PTX_F16X2:
        return (uint64_t)half_bits(value, in->rounding) << 16
            | half_bits(ptx_float(b), in->rounding);
    case PTX_BF16X2:
        return (uint64_t)bfloat_bits(value, in->rounding) << 16
            | bfloat_bits(ptx_float(b), in->rounding);
    default: return float_to_integer(in->type, value);
    }
}
