#include "ptx_run.h"

#pragma STDC FP_CONTRACT OFF

// The switch that runs instructions for the lanes of a warp that are at the same place.

/// The statement for each lane `l` of `m`; all 32 are a plain loop.
#define EACH_LANE(...)                                                                            \
    do {                                                                                          \
        if (m == UINT32_MAX) {                                                                    \
            for (int l = 0; l < PTX_LANES; l++) { __VA_ARGS__ }                                   \
        } else {                                                                                  \
            for (uint32_t left = m; left != 0; left &= left - 1) {                                \
                int l = __builtin_ctz(left);                                                      \
                __VA_ARGS__                                                                       \
            }                                                                                     \
        }                                                                                         \
    } while (0)

/// One type of an integer operation. Operands are x, y, z; sums and products are taken in 64 bits
/// and cut, which is right for signed numbers too and never overflows.
#define INTEGER(OP, TYPE, T, ...)                                                                 \
    case PTX_CODE(OP, TYPE):                                                                      \
        EACH_LANE({                                                                               \
            const T x = (T)a[l], y = (T)b[l], z = (T)c[l];                                        \
            (void)y, (void)z;                                                                     \
            d[l] = (uint64_t)(T)(__VA_ARGS__);                                                    \
        });                                                                                       \
        break;

#define UNSIGNED(OP, ...)                                                                         \
    INTEGER(OP, PTX_U16, uint16_t, __VA_ARGS__)                                                   \
    INTEGER(OP, PTX_U32, uint32_t, __VA_ARGS__)                                                   \
    INTEGER(OP, PTX_U64, uint64_t, __VA_ARGS__)

#define SIGNED(OP, ...)                                                                           \
    INTEGER(OP, PTX_S16, int16_t, __VA_ARGS__)                                                    \
    INTEGER(OP, PTX_S32, int32_t, __VA_ARGS__)                                                    \
    INTEGER(OP, PTX_S64, int64_t, __VA_ARGS__)

/// 16 and 32 bits, whose products a wider type W holds.
#define WIDENED(OP, ...)                                                                          \
    WIDER(OP, PTX_U16, uint16_t, uint64_t, 16, __VA_ARGS__)                                       \
    WIDER(OP, PTX_S16, int16_t, int64_t, 16, __VA_ARGS__)                                         \
    WIDER(OP, PTX_U32, uint32_t, uint64_t, 32, __VA_ARGS__)                                       \
    WIDER(OP, PTX_S32, int32_t, int64_t, 32, __VA_ARGS__)

#define WIDER(OP, TYPE, T, W, BITS, ...)                                                          \
    case PTX_CODE(OP, TYPE):                                                                      \
        EACH_LANE({                                                                               \
            const W product = (W)(T)a[l] * (W)(T)b[l];                                            \
            const int bits = BITS;                                                                \
            (void)bits;                                                                           \
            d[l] = (uint64_t)(__VA_ARGS__);                                                       \
        });                                                                                       \
        break;

#define FLOAT(OP, ...)                                                                            \
    case PTX_CODE(OP, PTX_F32):                                                                   \
        if (in->special) {                                                                        \
            EACH_LANE({ d[l] = special(in, a[l], b[l], c[l]); });                                 \
        } else {                                                                                  \
            EACH_LANE({                                                                           \
                const float x = ptx_float(a[l]), y = ptx_float(b[l]);                             \
                (void)y;                                                                          \
                d[l] = ptx_bits(__VA_ARGS__);                                                     \
            });                                                                                   \
        }                                                                                         \
        break;

/// The lanes for which a comparison holds.
#define HOLDS(TYPE, T, LOAD, ...)                                                                 \
    case TYPE:                                                                                    \
        EACH_LANE({                                                                               \
            const T x = LOAD(a[l]), y = LOAD(b[l]);                                               \
            result |= (uint32_t)(__VA_ARGS__) << l;                                               \
        });                                                                                       \
        return result;

#define AS_IS(value) (value)
#define COMPARED(COMPARE, ...)                                                                    \
    case COMPARE:                                                                                 \
        switch (in->type) {                                                                       \
        HOLDS(PTX_U16, uint16_t, (uint16_t), __VA_ARGS__)                                         \
        HOLDS(PTX_S16, int16_t, (int16_t), __VA_ARGS__)                                           \
        HOLDS(PTX_U32, uint32_t, (uint32_t), __VA_ARGS__)                                         \
        HOLDS(PTX_S32, int32_t, (int32_t), __VA_ARGS__)                                           \
        HOLDS(PTX_U64, uint64_t, AS_IS, __VA_ARGS__)                                              \
        HOLDS(PTX_S64, int64_t, (int64_t), __VA_ARGS__)                                           \
        HOLDS(PTX_F32, float, loaded, __VA_ARGS__)                                                \
        default: return 0;                                                                        \
        }

static uint64_t special(const ptx_instruction *in, uint64_t a, uint64_t b, uint64_t c) {
    return ptx_bits(ptx_float_special(in, ptx_float(a), ptx_float(b), ptx_float(c)));
}

static uint64_t flushed_bits(uint64_t slot) {
    return (slot & 0x7f800000) == 0 ? slot & 0x80000000 : slot;
}

static uint32_t compare(const ptx_instruction *in, const uint64_t *a, const uint64_t *b,
                        uint32_t m) {
    uint32_t result = 0;
#define loaded(slot) ptx_float(in->ftz ? flushed_bits(slot) : (slot))
    switch (in->compare) {
    COMPARED(PTX_EQ, x == y)
    COMPARED(PTX_NE, x < y || x > y)
    COMPARED(PTX_LT, x < y)
    COMPARED(PTX_LE, x <= y)
    COMPARED(PTX_GT, x > y)
    COMPARED(PTX_GE, x >= y)
    COMPARED(PTX_EQU, !(x < y || x > y))
    COMPARED(PTX_NEU, !(x == y))
    COMPARED(PTX_LTU, !(x >= y))
    COMPARED(PTX_LEU, !(x > y))
    COMPARED(PTX_GTU, !(x <= y))
    COMPARED(PTX_GEU, !(x < y))
    COMPARED(PTX_NUM, x <= y || x > y)
    COMPARED(PTX_NAN, !(x <= y || x > y))
    default: return 0;
    }
#undef loaded
}

static uint32_t combined(unsigned manner, uint32_t a, uint32_t b) {
    return manner == PTX_WITH_AND ? a & b : manner == PTX_WITH_OR ? a | b
        : manner == PTX_WITH_XOR ? a ^ b : a;
}

static uint32_t read_predicate(const ptx_warp *warp, const ptx_instruction *in, size_t at) {
    return warp->predicates[in->predicates[at]] ^ in->flips[at];
}

static void write_predicate(ptx_warp *warp, const ptx_instruction *in, size_t at, uint32_t m,
                            uint32_t value) {
    uint32_t *p = &warp->predicates[in->predicates[at]];
    *p = (*p & ~m) | (value & m);
}

static void set_predicates(ptx_warp *warp, const ptx_instruction *in, const uint64_t *a,
                           const uint64_t *b, uint32_t m) {
    uint32_t result = compare(in, a, b, m);
    uint32_t other = in->predicate_reads > 0 ? read_predicate(warp, in, 2) : 0;
    write_predicate(warp, in, 0, m, combined(in->manner, result, other));
    write_predicate(warp, in, 1, m, combined(in->manner, ~result, other));
}

// MARK: Bits

static uint64_t permuted(uint64_t a, uint64_t b, uint64_t selector) {
    uint64_t bytes = (uint32_t)a | b << 32, result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned nibble = (unsigned)(selector >> 4 * i) & 15;
        uint8_t byte = (uint8_t)(bytes >> 8 * (nibble & 7));
        if (nibble & 8) byte = byte & 0x80 ? 0xff : 0;
        result |= (uint64_t)byte << 8 * i;
    }
    return result;
}

static uint32_t by_table(uint32_t a, uint32_t b, uint32_t c, unsigned table) {
    uint32_t result = 0;
    for (unsigned i = 0; i < 8; i++)
        if (table >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
    return result;
}

static uint64_t extracted(unsigned type, uint64_t value, uint32_t from, uint32_t length) {
    unsigned bits = type < PTX_U64 ? 32 : 64;
    bool is_signed = type & 1;
    if (bits == 32) value = is_signed ? (uint64_t)(int32_t)value : (uint32_t)value;
    from &= 255, length &= 255;
    if (length == 0) return 0;
    unsigned last = from + length - 1 < bits - 1 ? from + length - 1 : bits - 1;
    bool fill = is_signed && (value >> last & 1);
    uint64_t part = from < bits ? value >> from : 0;
    unsigned kept = from < bits && last >= from ? last - from + 1 : 0;
    uint64_t mask = kept >= 64 ? UINT64_MAX : (UINT64_C(1) << kept) - 1;
    return fill ? part | ~mask : part & mask;
}

static uint64_t inserted(unsigned type, uint64_t part, uint64_t into, uint32_t at,
                         uint32_t length) {
    unsigned bits = type < PTX_U64 ? 32 : 64;
    at &= 255, length &= 255;
    if (length == 0 || at >= bits) return into;
    uint64_t mask = (length >= 64 ? UINT64_MAX : (UINT64_C(1) << length) - 1) << at;
    return (into & ~mask) | (part << at & mask);
}

static uint64_t reversed(uint64_t value, unsigned bits) {
    uint64_t result = 0;
    for (unsigned i = 0; i < bits; i++) result |= (value >> i & 1) << (bits - 1 - i);
    return result;
}

static uint64_t funnel(uint64_t low, uint64_t high, uint32_t by, unsigned wraps_not, bool is_left) {
    uint64_t both = (uint32_t)low | high << 32;
    by = wraps_not ? (by < 32 ? by : 32) : by & 31;
    return is_left ? both << by >> 32 : (uint32_t)(both >> by);
}

static void pack(ptx_warp *warp, const ptx_instruction *in, uint32_t m) {
    unsigned bits = (unsigned)ptx_type_bytes((ptx_type)in->type) * 8 / in->count;
    uint64_t mask = (UINT64_C(1) << bits) - 1, *rows = warp->rows;
    EACH_LANE({
        uint64_t value = 0;
        for (unsigned i = 0; i < in->count; i++)
            value |= (rows[in->slots[1 + i] * PTX_LANES + l] & mask) << bits * i;
        rows[in->slots[0] * PTX_LANES + l] = value;
    });
}

static void unpack(ptx_warp *warp, const ptx_instruction *in, uint32_t m) {
    unsigned bits = (unsigned)ptx_type_bytes((ptx_type)in->type) * 8 / in->count;
    uint64_t mask = (UINT64_C(1) << bits) - 1, *rows = warp->rows;
    EACH_LANE({
        uint64_t value = rows[in->slots[in->count] * PTX_LANES + l];
        for (unsigned i = 0; i < in->count; i++)
            rows[in->slots[i] * PTX_LANES + l] = value >> bits * i & mask;
    });
}

static uint64_t window(const ptx_instruction *in, uint64_t address) {
    uint64_t begin = in->space == PTX_SHARED  ? PTX_SHARED_WINDOW
                     : in->space == PTX_LOCAL ? PTX_LOCAL_WINDOW
                                              : 0;
    return in->to_space ? address - begin : address + begin;
}

static bool refuse_zero(ptx_run *run, ptx_warp *warp, const ptx_instruction *in, uint32_t m,
                        const uint64_t *b) {
    uint64_t mask = ptx_type_bytes((ptx_type)in->type) == 8
        ? UINT64_MAX : (UINT64_C(1) << ptx_type_bytes((ptx_type)in->type) * 8) - 1;
    EACH_LANE({
        if ((b[l] & mask) == 0)
            return ptx_fault(run, warp, in, (uint32_t)l, "an integer is divided by zero");
    });
    return true;
}

#define BITS ((int)sizeof x * 8)

/// One instruction that neither branches nor needs other lanes.
bool ptx_step(ptx_run *run, ptx_warp *warp, ptx_instruction *in, uint32_t m) {
    uint64_t *rows = warp->rows;
    uint64_t *d = rows + in->slots[0] * PTX_LANES;
    const uint64_t *a = rows + in->slots[1] * PTX_LANES, *b = rows + in->slots[2] * PTX_LANES;
    const uint64_t *c = rows + in->slots[3] * PTX_LANES, *e = rows + in->slots[4] * PTX_LANES;
    switch (in->code) {
    case PTX_CODE(PTX_LD, PTX_U8): case PTX_CODE(PTX_LD, PTX_S8):
    case PTX_CODE(PTX_LD, PTX_U16): case PTX_CODE(PTX_LD, PTX_S16):
    case PTX_CODE(PTX_LD, PTX_U32): case PTX_CODE(PTX_LD, PTX_S32):
    case PTX_CODE(PTX_LD, PTX_U64): case PTX_CODE(PTX_LD, PTX_S64):
    case PTX_CODE(PTX_LD, PTX_F32): return ptx_load(run, warp, in, m);
    case PTX_CODE(PTX_ST, PTX_U8): case PTX_CODE(PTX_ST, PTX_U16):
    case PTX_CODE(PTX_ST, PTX_U32): case PTX_CODE(PTX_ST, PTX_U64):
    case PTX_CODE(PTX_ST, PTX_F32): return ptx_store(run, warp, in, m);
    case PTX_CODE(PTX_CVTA, PTX_U64): EACH_LANE({ d[l] = window(in, a[l]); }); break;
    case PTX_CODE(PTX_PACK, PTX_U32): case PTX_CODE(PTX_PACK, PTX_U64): pack(warp, in, m); break;
    case PTX_CODE(PTX_UNPACK, PTX_U32): case PTX_CODE(PTX_UNPACK, PTX_U64):
        unpack(warp, in, m);
        break;
    UNSIGNED(PTX_MOV, x)
    UNSIGNED(PTX_ADD, (uint64_t)x + y)
    UNSIGNED(PTX_SUB, (uint64_t)x - y)
    UNSIGNED(PTX_MUL, (uint64_t)x * y)
    UNSIGNED(PTX_MAD, (uint64_t)x * y + z)
    WIDENED(PTX_MULHI, product >> bits)
    WIDENED(PTX_MADHI, (product >> bits) + (int64_t)c[l])
    WIDENED(PTX_WIDE, product)
    WIDENED(PTX_MADWIDE, (uint64_t)product + c[l])
    INTEGER(PTX_MULHI, PTX_U64, uint64_t, (unsigned __int128)x * y >> 64)
    INTEGER(PTX_MULHI, PTX_S64, int64_t, (__int128)x * y >> 64)
    INTEGER(PTX_MADHI, PTX_U64, uint64_t, ((unsigned __int128)x * y >> 64) + z)
    INTEGER(PTX_MADHI, PTX_S64, int64_t, (uint64_t)((__int128)x * y >> 64) + (uint64_t)z)
    UNSIGNED(PTX_AND, x & y)
    UNSIGNED(PTX_OR, x | y)
    UNSIGNED(PTX_XOR, x ^ y)
    UNSIGNED(PTX_NOT, ~(uint64_t)x)
    UNSIGNED(PTX_CNOT, x == 0)
    UNSIGNED(PTX_NEG, (uint64_t)0 - x)
    UNSIGNED(PTX_ABS, x)
    SIGNED(PTX_ABS, x < 0 ? (uint64_t)0 - (uint64_t)x : (uint64_t)x)
    UNSIGNED(PTX_MIN, x < y ? x : y)
    SIGNED(PTX_MIN, x < y ? x : y)
    UNSIGNED(PTX_MAX, x > y ? x : y)
    SIGNED(PTX_MAX, x > y ? x : y)
    UNSIGNED(PTX_SHL, (uint32_t)b[l] < (uint32_t)BITS ? (uint64_t)x << (uint32_t)b[l] : 0)
    UNSIGNED(PTX_SHR, (uint32_t)b[l] < (uint32_t)BITS ? x >> (uint32_t)b[l] : 0)
    SIGNED(PTX_SHR, x >> ((uint32_t)b[l] < (uint32_t)BITS ? (uint32_t)b[l] : (uint32_t)BITS - 1))
    case PTX_CODE(PTX_DIV, PTX_U16): case PTX_CODE(PTX_DIV, PTX_U32):
    case PTX_CODE(PTX_DIV, PTX_U64): case PTX_CODE(PTX_REM, PTX_U16):
    case PTX_CODE(PTX_REM, PTX_U32): case PTX_CODE(PTX_REM, PTX_U64): {
        if (!refuse_zero(run, warp, in, m, b)) return false;
        size_t bytes = ptx_type_bytes((ptx_type)in->type);
        uint64_t mask = bytes == 8 ? UINT64_MAX : (UINT64_C(1) << bytes * 8) - 1;
        bool divides = in->op == PTX_DIV;
        EACH_LANE({
            uint64_t x = a[l] & mask;
            uint64_t y = b[l] & mask;
            d[l] = divides ? x / y : x % y;
        });
        break;
    }
    case PTX_CODE(PTX_DIV, PTX_S16): case PTX_CODE(PTX_DIV, PTX_S32):
    case PTX_CODE(PTX_DIV, PTX_S64): case PTX_CODE(PTX_REM, PTX_S16):
    case PTX_CODE(PTX_REM, PTX_S32): case PTX_CODE(PTX_REM, PTX_S64): {
        if (!refuse_zero(run, warp, in, m, b)) return false;
        int shift = 64 - (int)ptx_type_bytes((ptx_type)in->type) * 8;
        bool divides = in->op == PTX_DIV;
        EACH_LANE({
            __int128 x = (int64_t)(a[l] << shift) >> shift;
            __int128 y = (int64_t)(b[l] << shift) >> shift;
            d[l] = (uint64_t)(divides ? x / y : x % y);
        });
        break;
    }
    case PTX_CODE(PTX_SHFL_LEFT, PTX_U32): case PTX_CODE(PTX_SHFL_RIGHT, PTX_U32):
        EACH_LANE({
            d[l] = funnel(a[l], b[l], (uint32_t)c[l], in->manner, in->op == PTX_SHFL_LEFT);
        });
        break;
    case PTX_CODE(PTX_LOP3, PTX_U32):
        EACH_LANE({
            d[l] = by_table((uint32_t)a[l], (uint32_t)b[l], (uint32_t)c[l], (unsigned)e[l]);
        });
        break;
    case PTX_CODE(PTX_PRMT, PTX_U32): EACH_LANE({ d[l] = permuted(a[l], b[l], c[l]); }); break;
    case PTX_CODE(PTX_BFE, PTX_U32): case PTX_CODE(PTX_BFE, PTX_S32):
    case PTX_CODE(PTX_BFE, PTX_U64): case PTX_CODE(PTX_BFE, PTX_S64):
        EACH_LANE({ d[l] = extracted(in->type, a[l], (uint32_t)b[l], (uint32_t)c[l]); });
        break;
    case PTX_CODE(PTX_BFI, PTX_U32): case PTX_CODE(PTX_BFI, PTX_U64):
        EACH_LANE({ d[l] = inserted(in->type, a[l], b[l], (uint32_t)c[l], (uint32_t)e[l]); });
        break;
    INTEGER(PTX_BREV, PTX_U32, uint32_t, reversed(x, 32))
    INTEGER(PTX_BREV, PTX_U64, uint64_t, reversed(x, 64))
    INTEGER(PTX_POPC, PTX_U32, uint32_t, (uint32_t)__builtin_popcount(x))
    INTEGER(PTX_POPC, PTX_U64, uint64_t, (uint64_t)__builtin_popcountll(x))
    INTEGER(PTX_CLZ, PTX_U32, uint32_t, x == 0 ? 32 : (uint32_t)__builtin_clz(x))
    INTEGER(PTX_CLZ, PTX_U64, uint64_t, x == 0 ? 64 : (uint64_t)__builtin_clzll(x))
    INTEGER(PTX_CVT, PTX_U8, uint8_t, x)
    INTEGER(PTX_CVT, PTX_S8, int8_t, x)
    UNSIGNED(PTX_CVT, x)
    SIGNED(PTX_CVT, x)
    case PTX_CODE(PTX_CVT, PTX_F32): EACH_LANE({ d[l] = ptx_convert(in, a[l], b[l]); }); break;
    case PTX_CODE(PTX_SETP, PTX_U16): case PTX_CODE(PTX_SETP, PTX_S16):
    case PTX_CODE(PTX_SETP, PTX_U32): case PTX_CODE(PTX_SETP, PTX_S32):
    case PTX_CODE(PTX_SETP, PTX_U64): case PTX_CODE(PTX_SETP, PTX_S64):
    case PTX_CODE(PTX_SETP, PTX_F32): set_predicates(warp, in, d, a, m); break;
    case PTX_CODE(PTX_SELP, PTX_U16): case PTX_CODE(PTX_SELP, PTX_U32):
    case PTX_CODE(PTX_SELP, PTX_U64): {
        uint32_t p = read_predicate(warp, in, 0);
        EACH_LANE({ d[l] = p >> l & 1 ? a[l] : b[l]; });
        break;
    }
    case PTX_CODE(PTX_TESTP, PTX_F32): {
        uint32_t result = 0;
        EACH_LANE({ result |= (uint32_t)ptx_has_class(in->manner, ptx_float(d[l])) << l; });
        write_predicate(warp, in, 0, m, result);
        break;
    }
    case PTX_CODE(PTX_MOV, PTX_PRED): write_predicate(warp, in, 0, m, read_predicate(warp, in, 1));
        break;
    case PTX_CODE(PTX_NOT, PTX_PRED):
        write_predicate(warp, in, 0, m, ~read_predicate(warp, in, 1));
        break;
    case PTX_CODE(PTX_AND, PTX_PRED):
        write_predicate(warp, in, 0, m, read_predicate(warp, in, 1) & read_predicate(warp, in, 2));
        break;
    case PTX_CODE(PTX_OR, PTX_PRED):
        write_predicate(warp, in, 0, m, read_predicate(warp, in, 1) | read_predicate(warp, in, 2));
        break;
    case PTX_CODE(PTX_XOR, PTX_PRED):
        write_predicate(warp, in, 0, m, read_predicate(warp, in, 1) ^ read_predicate(warp, in, 2));
        break;
    FLOAT(PTX_ADD, x + y)
    FLOAT(PTX_SUB, x - y)
    FLOAT(PTX_MUL, x * y)
    FLOAT(PTX_DIV, x / y)
    FLOAT(PTX_NEG, -x)
    FLOAT(PTX_ABS, __builtin_fabsf(x))
    FLOAT(PTX_MIN, ptx_float_smaller(x, y, false))
    FLOAT(PTX_MAX, ptx_float_larger(x, y, false))
    FLOAT(PTX_COPYSIGN, __builtin_copysignf(y, x))
    FLOAT(PTX_RCP, 1 / x)
    FLOAT(PTX_SQRT, __builtin_sqrtf(x))
    FLOAT(PTX_RSQRT, ptx_float_plain(PTX_RSQRT, x))
    FLOAT(PTX_EX2, ptx_float_plain(PTX_EX2, x))
    FLOAT(PTX_LG2, ptx_float_plain(PTX_LG2, x))
    FLOAT(PTX_SIN, ptx_float_plain(PTX_SIN, x))
    FLOAT(PTX_COS, ptx_float_plain(PTX_COS, x))
    FLOAT(PTX_TANH, ptx_float_plain(PTX_TANH, x))
    case PTX_CODE(PTX_FMA, PTX_F32):
        if (in->special) EACH_LANE({ d[l] = special(in, a[l], b[l], c[l]); });
        else if (m == UINT32_MAX) ptx_fma_row(d, a, b, c);
        else EACH_LANE({
            d[l] = ptx_bits(__builtin_fmaf(ptx_float(a[l]), ptx_float(b[l]), ptx_float(c[l])));
        });
        break;
    case PTX_CODE(PTX_FENCE, PTX_NO_TYPE): break;
    case PTX_CODE(PTX_ACTIVEMASK, PTX_U32): EACH_LANE({ d[l] = m; }); break;
    case PTX_CODE(PTX_TRAP, PTX_NO_TYPE):
        return ptx_fault(run, warp, in, (uint32_t)__builtin_ctz(m), "it traps");
    default:
        return ptx_fault(run, warp, in, (uint32_t)__builtin_ctz(m), "this form is not known");
    }
    return true;
}
