#include "ptx_decode.h"

#include <string.h>

// MARK: Modifiers

/// What may stand behind a mnemonic. One that an operation does not expect is refused, never
/// skipped, since it may change what the operation does.
enum {
    ROUND = 1 << 0, FTZ = 1 << 1, SAT = 1 << 2, APPROX = 1 << 3, LO = 1 << 4, HI = 1 << 5,
    WIDE = 1 << 6, COMPARE = 1 << 7, COMBINE = 1 << 8, SPACE = 1 << 9, TO = 1 << 10,
    VECTOR = 1 << 11, CACHE = 1 << 12, SYNC = 1 << 13, UNI = 1 << 14, LANES = 1 << 15,
    VOTE = 1 << 16, TILE = 1 << 17, LAYOUT = 1 << 18, NAN_TOO = 1 << 19, CLASS = 1 << 20,
    CLAMP = 1 << 21, SCOPE = 1 << 22, MATRICES = 1 << 23, TRANSPOSED = 1 << 24, LEFT = 1 << 25,
    RIGHT = 1 << 26, WARP = 1 << 27, LOWER = 1 << 28
};

static const struct {
    const char *word;
    uint32_t flag;
    int value;
} words[] = {
    {"rn", ROUND, PTX_RN}, {"rz", ROUND, PTX_RZ}, {"rm", ROUND, PTX_RM}, {"rp", ROUND, PTX_RP},
    {"rni", ROUND, PTX_RNI}, {"rzi", ROUND, PTX_RZI}, {"rmi", ROUND, PTX_RMI},
    {"rpi", ROUND, PTX_RPI}, {"ftz", FTZ, 0}, {"sat", SAT, 0}, {"approx", APPROX, 0},
    {"full", APPROX, 0}, {"lo", LO, PTX_LT}, {"hi", HI, PTX_GT}, {"wide", WIDE, 0},
    {"ls", COMPARE, PTX_LE}, {"hs", COMPARE, PTX_GE}, {"eq", COMPARE, PTX_EQ},
    {"ne", COMPARE, PTX_NE}, {"lt", COMPARE, PTX_LT}, {"le", COMPARE, PTX_LE},
    {"gt", COMPARE, PTX_GT}, {"ge", COMPARE, PTX_GE}, {"equ", COMPARE, PTX_EQU},
    {"neu", COMPARE, PTX_NEU}, {"ltu", COMPARE, PTX_LTU}, {"leu", COMPARE, PTX_LEU},
    {"gtu", COMPARE, PTX_GTU}, {"geu", COMPARE, PTX_GEU}, {"num", COMPARE, PTX_NUM},
    {"nan", COMPARE, PTX_NAN}, {"and", COMBINE, PTX_WITH_AND}, {"or", COMBINE, PTX_WITH_OR},
    {"xor", COMBINE, PTX_WITH_XOR}, {"global", SPACE, PTX_GLOBAL}, {"shared", SPACE, PTX_SHARED},
    {"shared::cta", SPACE, PTX_SHARED}, {"local", SPACE, PTX_LOCAL}, {"param", SPACE, PTX_PARAM},
    {"param::entry", SPACE, PTX_PARAM}, {"to", TO, 0}, {"v2", VECTOR, 2}, {"v4", VECTOR, 4},
    {"nc", CACHE, 0}, {"ca", CACHE, 0}, {"cg", CACHE, 0}, {"cs", CACHE, 0}, {"lu", CACHE, 0},
    {"cv", CACHE, 0}, {"wb", CACHE, 0}, {"wt", CACHE, 0}, {"weak", CACHE, 0},
    {"volatile", CACHE, 0}, {"sync", SYNC, 0}, {"aligned", SYNC, 0}, {"warp", WARP, 0},
    {"uni", UNI, PTX_UNIFORM}, {"idx", LANES, PTX_INDEX}, {"up", LANES, PTX_UP},
    {"down", LANES, PTX_DOWN}, {"bfly", LANES, PTX_BUTTERFLY}, {"all", VOTE, PTX_ALL},
    {"any", VOTE, PTX_ANY}, {"ballot", VOTE, PTX_BALLOT}, {"m16n8k16", TILE, 16},
    {"m8n8", TILE, 8}, {"row", LAYOUT, 1}, {"col", LAYOUT, 2}, {"NaN", NAN_TOO, 0},
    {"finite", CLASS, PTX_FINITE}, {"infinite", CLASS, PTX_INFINITE},
    {"number", CLASS, PTX_NUMBER}, {"notanumber", CLASS, PTX_NOT_A_NUMBER},
    {"normal", CLASS, PTX_NORMAL}, {"subnormal", CLASS, PTX_SUBNORMAL}, {"clamp", CLAMP, 1},
    {"wrap", CLAMP, 0}, {"cta", SCOPE, 0}, {"gl", SCOPE, 0}, {"gpu", SCOPE, 0},
    {"sys", SCOPE, 0}, {"acq_rel", SCOPE, 0}, {"sc", SCOPE, 0}, {"x1", MATRICES, 1},
    {"x2", MATRICES, 2}, {"x4", MATRICES, 4}, {"trans", TRANSPOSED, 0}, {"l", LEFT, 0},
    {"r", RIGHT, 0}};

static const struct {
    const char *word;
    ptx_type type;
} types[] = {{"u8", PTX_U8}, {"s8", PTX_S8}, {"b8", PTX_U8}, {"u16", PTX_U16}, {"s16", PTX_S16},
             {"b16", PTX_U16}, {"u32", PTX_U32}, {"s32", PTX_S32}, {"b32", PTX_U32},
             {"u64", PTX_U64}, {"s64", PTX_S64}, {"b64", PTX_U64}, {"f32", PTX_F32},
             {"pred", PTX_PRED}, {"f16", PTX_F16}, {"bf16", PTX_BF16}, {"f16x2", PTX_F16X2},
             {"bf16x2", PTX_BF16X2}};

// MARK: Operations

enum {
    T8 = 3 << PTX_U8, T16 = 3 << PTX_U16, T32 = 3 << PTX_U32, T64 = 3 << PTX_U64,
    INTEGERS = T16 | T32 | T64, F32 = 1 << PTX_F32, LOGICAL = 1 << PTX_PRED,
    HALVES = 1 << PTX_F16 | 1 << PTX_BF16 | 1 << PTX_F16X2 | 1 << PTX_BF16X2,
    ANY_TYPE = INTEGERS | F32 | T8, NO_TYPE = 1 << PTX_NO_TYPE
};

/// Shapes: d and P are a written row and predicate, a a read row of the type, u one of u32,
/// q a read predicate. A star: the operands have a function of their own.
typedef struct {
    const char *name;
    ptx_op op;
    const char *shape;
    uint32_t types, modifiers;
    bool has_no_sign;         ///< signed and unsigned are the same operation
} operation;

static const uint32_t arithmetic = ROUND | FTZ | SAT;

static const operation operations[] = {
    {"mov", PTX_MOV, "*", INTEGERS | F32 | LOGICAL, 0, true},
    {"ld", PTX_LD, "*", ANY_TYPE, SPACE | VECTOR | CACHE, false},
    {"ldu", PTX_LD, "*", ANY_TYPE, SPACE | VECTOR | CACHE, false},
    {"st", PTX_ST, "*", ANY_TYPE, SPACE | VECTOR | CACHE, true},
    {"cvta", PTX_CVTA, "da", T64, SPACE | TO, true},
    {"add", PTX_ADD, "daa", INTEGERS | F32, arithmetic, true},
    {"sub", PTX_SUB, "daa", INTEGERS | F32, arithmetic, true},
    {"mul", PTX_MUL, "daa", INTEGERS | F32, arithmetic | LO | HI | WIDE, false},
    {"mad", PTX_MAD, "daaa", INTEGERS | F32, arithmetic | LO | HI | WIDE, false},
    {"fma", PTX_FMA, "daaa", F32, arithmetic, true},
    {"div", PTX_DIV, "daa", INTEGERS | F32, ROUND | FTZ | APPROX, false},
    {"rem", PTX_REM, "daa", INTEGERS, 0, false},
    {"abs", PTX_ABS, "da", INTEGERS | F32, FTZ, false},
    {"neg", PTX_NEG, "da", INTEGERS | F32, FTZ, true},
    {"min", PTX_MIN, "daa", INTEGERS | F32, FTZ | NAN_TOO, false},
    {"max", PTX_MAX, "daa", INTEGERS | F32, FTZ | NAN_TOO, false},
    {"and", PTX_AND, "daa", INTEGERS | LOGICAL, 0, true},
    {"or", PTX_OR, "daa", INTEGERS | LOGICAL, 0, true},
    {"xor", PTX_XOR, "daa", INTEGERS | LOGICAL, 0, true},
    {"not", PTX_NOT, "da", INTEGERS | LOGICAL, 0, true},
    {"cnot", PTX_CNOT, "da", INTEGERS, 0, true},
    {"shl", PTX_SHL, "dau", INTEGERS, 0, true},
    {"shr", PTX_SHR, "dau", INTEGERS, 0, false},
    {"shf", PTX_SHFL_LEFT, "daau", T32, LEFT | RIGHT | CLAMP, true},
    {"lop3", PTX_LOP3, "daaau", T32, 0, true},
    {"prmt", PTX_PRMT, "daau", T32, 0, true},
    {"bfe", PTX_BFE, "dauu", T32 | T64, 0, false},
    {"bfi", PTX_BFI, "daauu", T32 | T64, 0, true},
    {"brev", PTX_BREV, "da", T32 | T64, 0, true},
    {"popc", PTX_POPC, "da", T32 | T64, 0, true},
    {"clz", PTX_CLZ, "da", T32 | T64, 0, true},
    {"setp", PTX_SETP, "*", INTEGERS | F32, COMPARE | COMBINE | FTZ | LO | HI, false},
    {"selp", PTX_SELP, "daaq", INTEGERS | F32, 0, true},
    {"cvt", PTX_CVT, "*", ANY_TYPE | HALVES, arithmetic, false},
    {"testp", PTX_TESTP, "Pa", F32, CLASS, true},
    {"rcp", PTX_RCP, "da", F32, ROUND | FTZ | APPROX, true},
    {"sqrt", PTX_SQRT, "da", F32, ROUND | FTZ | APPROX, true},
    {"rsqrt", PTX_RSQRT, "da", F32, FTZ | APPROX, true},
    {"ex2", PTX_EX2, "da", F32, FTZ | APPROX, true},
    {"lg2", PTX_LG2, "da", F32, FTZ | APPROX, true},
    {"sin", PTX_SIN, "da", F32, FTZ | APPROX, true},
    {"cos", PTX_COS, "da", F32, FTZ | APPROX, true},
    {"tanh", PTX_TANH, "da", F32, APPROX, true},
    {"copysign", PTX_COPYSIGN, "daa", F32, 0, true},
    {"bra", PTX_BRA, "*", NO_TYPE, UNI, true},
    {"ret", PTX_RET, "", NO_TYPE, UNI, true},
    {"exit", PTX_RET, "", NO_TYPE, 0, true},
    {"trap", PTX_TRAP, "", NO_TYPE, 0, true},
    {"membar", PTX_FENCE, "", NO_TYPE, SCOPE, true},
    {"fence", PTX_FENCE, "", NO_TYPE, SCOPE, true},
    {"bar", PTX_BAR, "*", NO_TYPE, SYNC | WARP, true},
    {"barrier", PTX_BAR, "*", NO_TYPE, SYNC, true},
    {"shfl", PTX_SHFL, "*", T32, SYNC | LANES, true},
    {"vote", PTX_VOTE, "*", T32 | LOGICAL, SYNC | VOTE | UNI, true},
    {"activemask", PTX_ACTIVEMASK, "d", T32, 0, true},
    {"mma", PTX_MMA, "*", F32, SYNC | TILE | LAYOUT, true},
    {"ldmatrix", PTX_LDMATRIX, "*", T16, SYNC | TILE | MATRICES | TRANSPOSED | SPACE, true}};

/// A mnemonic with what stood behind it.
typedef struct {
    const operation *operation;
    uint32_t seen;
    ptx_type types[4];
    size_t type_count;
    int tile, layouts;
} mnemonic;

static void take_word(ptx_parser *p, ptx_text word, mnemonic *m, ptx_instruction *in) {
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (ptx_is(word, types[i].word)) {
            if (m->type_count == 4) ptx_refuse(p, "too many types");
            m->types[m->type_count++] = types[i].type;
            return;
        }
    if (word.length > 3 && (memcmp(word.at, "L1::", 4) == 0 || memcmp(word.at, "L2::", 4) == 0)
        && (m->operation->modifiers & CACHE))
        return;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!ptx_is(word, words[i].word)) continue;
        uint32_t flag = words[i].flag;
        uint8_t value = (uint8_t)words[i].value;
        if (!(flag & m->operation->modifiers)) break;
        m->seen |= flag;
        if (flag == ROUND) in->rounding = value;
        if (flag & (COMPARE | LO | HI)) in->compare = value;
        if (flag & (COMBINE | LANES | VOTE | UNI | CLASS | CLAMP)) in->manner = value;
        if (flag == SPACE) in->space = value;
        if (flag & (VECTOR | MATRICES)) in->count = value;
        if (flag == TILE) m->tile = value;
        if (flag == LAYOUT) m->layouts = m->layouts * 10 + value;
        if ((flag & (LO | HI)) && (m->operation->op == PTX_SETP)) m->seen |= COMPARE | LOWER;
        return;
    }
    ptx_refuse(p, "\".%.*s\" is not known here", (int)word.length, word.at);
}

static void take_mnemonic(ptx_parser *p, ptx_text text, mnemonic *m, ptx_instruction *in) {
    for (size_t begin = 0, i = 0; i <= text.length; i++) {
        if (i < text.length && text.at[i] != '.') continue;
        ptx_text word = {text.at + begin, i - begin};
        for (size_t o = 0; begin == 0 && o < sizeof operations / sizeof *operations; o++)
            if (ptx_is(word, operations[o].name)) m->operation = &operations[o];
        if (m->operation == NULL) ptx_refuse(p, "this instruction is not known");
        if (begin > 0) take_word(p, word, m, in);
        begin = i + 1;
    }
    ptx_type type = m->type_count > 0 ? m->types[0] : PTX_NO_TYPE;
    if (!(m->operation->types & 1u << type)) ptx_refuse(p, "not known with this type");
    in->op = m->operation->op;
    in->type = type;
    in->ftz = m->seen & FTZ;
    in->sat = m->seen & SAT;
    in->nan = m->seen & NAN_TOO;
    in->to_space = m->seen & TO;
    in->transposed = m->seen & TRANSPOSED;
    if (m->operation->has_no_sign && type < PTX_F32) in->type &= 0xfe;
}

// MARK: Operands

static void write_row(ptx_parser *p, ptx_instruction *in, ptx_text text) {
    if (in->reads > 0 || in->writes == PTX_SLOTS) ptx_refuse(p, "too many operands");
    in->slots[in->writes++] = ptx_destination(p, text);
}

static void read_row(ptx_parser *p, ptx_instruction *in, ptx_text text, ptx_type type) {
    if (in->writes + in->reads == PTX_SLOTS) ptx_refuse(p, "too many operands");
    in->slots[in->writes + in->reads++] = ptx_source(p, text, type);
}

static void write_predicate(ptx_parser *p, ptx_instruction *in, ptx_text text) {
    uint32_t flip;
    uint16_t row = ptx_predicate(p, text, &flip);
    if (flip != 0 || row < PTX_PREDICATE_SINK) ptx_refuse(p, "a predicate cannot be written");
    in->predicates[in->predicate_writes++] = row;
}

static void read_predicate(ptx_parser *p, ptx_instruction *in, ptx_text text) {
    size_t at = in->predicate_writes + in->predicate_reads++;
    in->predicates[at] = ptx_predicate(p, text, &in->flips[at]);
}

/// `{a, b}`, or one operand alone.
static size_t tuple(ptx_parser *p, ptx_text text, ptx_text *parts) {
    bool is_tuple = text.length > 1 && text.at[0] == '{' && text.at[text.length - 1] == '}';
    parts[0] = text;
    return is_tuple ? ptx_split(p, (ptx_text){text.at + 1, text.length - 2}, parts, PTX_OPERANDS)
                    : 1;
}

static void write_tuple(ptx_parser *p, ptx_instruction *in, ptx_text text, size_t count) {
    ptx_text parts[PTX_OPERANDS];
    if (tuple(p, text, parts) != count) ptx_refuse(p, "%zu registers should be here", count);
    for (size_t i = 0; i < count; i++) write_row(p, in, parts[i]);
}

static void read_tuple(ptx_parser *p, ptx_instruction *in, ptx_text text, size_t count) {
    ptx_text parts[PTX_OPERANDS];
    if (tuple(p, text, parts) != count) ptx_refuse(p, "%zu registers should be here", count);
    for (size_t i = 0; i < count; i++) read_row(p, in, parts[i], (ptx_type)in->type);
}

/// `p|q`: both are written.
static void split_pair(ptx_text text, ptx_text *first, ptx_text *second) {
    const char *bar = memchr(text.at, '|', text.length);
    *first = text;
    *second = (ptx_text){"_", 1};
    if (bar == NULL) return;
    size_t length = (size_t)(bar - text.at);
    *first = ptx_trim((ptx_text){text.at, length});
    *second = ptx_trim((ptx_text){bar + 1, text.length - length - 1});
}

static void need(ptx_parser *p, size_t count, size_t expected) {
    if (count != expected) ptx_refuse(p, "%zu operands, not %zu", count, expected);
}

static void take_move(ptx_parser *p, ptx_instruction *in, ptx_text *o, size_t count) {
    need(p, count, 2);
    ptx_text parts[PTX_OPERANDS];
    size_t left = tuple(p, o[0], parts), right = tuple(p, o[1], parts);
    if (in->type == PTX_PRED) {
        write_predicate(p, in, o[0]);
        read_predicate(p, in, o[1]);
    } else {
        in->op = left > 1 ? PTX_UNPACK : right > 1 ? PTX_PACK : PTX_MOV;
        in->count = (uint8_t)(left > 1 ? left : right);
        write_tuple(p, in, o[0], left);
        read_tuple(p, in, o[1], right);
        if (in->type == PTX_F32) in->type = PTX_U32;
    }
}

static void take_set(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o, size_t count) {
    bool is_float = in->type == PTX_F32, combines = m->seen & COMBINE;
    if (!(m->seen & COMPARE) || (is_float && (m->seen & LOWER))
        || (!is_float && (in->compare >= PTX_EQU || (m->seen & FTZ))))
        ptx_refuse(p, "this comparison is not known");
    need(p, count, combines ? 4 : 3);
    ptx_text first, second;
    split_pair(o[0], &first, &second);
    write_predicate(p, in, first);
    write_predicate(p, in, second);
    read_row(p, in, o[1], (ptx_type)in->type);
    read_row(p, in, o[2], (ptx_type)in->type);
    if (combines) read_predicate(p, in, o[3]);
    if (!is_float && (in->compare <= PTX_NE || (m->seen & LOWER))) in->type &= 0xfe;
}

/// Between integers only the narrower type counts, since readers cut a register to their type.
static void take_conversion(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o,
                            size_t count) {
    if (m->type_count != 2) ptx_refuse(p, "a conversion has two types");
    in->from = m->types[1];
    bool is_pair = in->type == PTX_F16X2 || in->type == PTX_BF16X2;
    need(p, count, is_pair ? 3 : 2);
    if (is_pair && in->from != PTX_F32) ptx_refuse(p, "not known with this type");
    write_row(p, in, o[0]);
    for (size_t i = 1; i < count; i++) read_row(p, in, o[i], (ptx_type)in->from);
    bool is_plain = in->type < PTX_F32 && in->from < PTX_F32 && !in->sat;
    size_t to = ptx_type_bytes(in->type), from = ptx_type_bytes(in->from);
    uint8_t narrower = to <= from ? in->type : in->from;
    in->code = (uint16_t)PTX_CODE(PTX_CVT, is_plain ? narrower : PTX_F32);
}

static void take_branch(ptx_parser *p, ptx_text *o, size_t count) {
    need(p, count, 1);
    p->branches = ptx_grow(p, p->branches, p->branch_count, sizeof *p->branches);
    p->branches[p->branch_count++] = (ptx_label){o[0], p->entry->length};
}

static void take_barrier(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o,
                         size_t count) {
    if (!(m->seen & SYNC)) ptx_refuse(p, "only the forms with .sync are known");
    need(p, count, 1);
    if (m->seen & WARP) in->op = PTX_BARWARP;
    read_row(p, in, o[0], PTX_U32);
}

static void take_shuffle(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o,
                         size_t count) {
    if (!(m->seen & SYNC) || !(m->seen & LANES)) ptx_refuse(p, "only shfl.sync is known");
    need(p, count, 5);
    ptx_text first, second;
    split_pair(o[0], &first, &second);
    write_row(p, in, first);
    write_predicate(p, in, second);
    // The mask comes first, where all instructions of a warp have it.
    read_row(p, in, o[4], PTX_U32);
    for (size_t i = 1; i < 4; i++) read_row(p, in, o[i], PTX_U32);
}

static void take_vote(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o, size_t count) {
    if (!(m->seen & SYNC)) ptx_refuse(p, "only vote.sync is known");
    if ((in->type == PTX_PRED) == (in->manner == PTX_BALLOT) || in->manner == PTX_PLAIN)
        ptx_refuse(p, "not known with this type");
    need(p, count, 3);
    if (in->type == PTX_PRED) write_predicate(p, in, o[0]);
    else write_row(p, in, o[0]);
    read_predicate(p, in, o[1]);
    read_row(p, in, o[2], PTX_U32);
    in->type = PTX_U32;
}

static void take_matrices(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o,
                          size_t count) {
    bool is_known = m->type_count == 4 && m->tile == 16 && m->layouts == 12 && (m->seen & SYNC)
        && (m->types[1] == PTX_BF16 || m->types[1] == PTX_F16) && m->types[1] == m->types[2]
        && m->types[3] == PTX_F32;
    if (!is_known) ptx_refuse(p, "only m16n8k16.row.col.f32 of bf16 or f16 is known");
    need(p, count, 4);
    in->from = m->types[1];
    write_tuple(p, in, o[0], 4);
    in->type = PTX_U32;
    read_tuple(p, in, o[1], 4);
    read_tuple(p, in, o[2], 2);
    in->type = PTX_F32;
    read_tuple(p, in, o[3], 4);
}

static void take_own(ptx_parser *p, mnemonic *m, ptx_instruction *in, ptx_text *o, size_t count) {
    switch (m->operation->op) {
    case PTX_MOV: take_move(p, in, o, count); break;
    case PTX_LD:
        need(p, count, 2);
        write_tuple(p, in, o[0], in->count);
        in->slots[in->writes + in->reads++] = ptx_address(p, o[1], in->space, &in->offset);
        break;
    case PTX_ST:
        need(p, count, 2);
        if (in->space == PTX_PARAM) ptx_refuse(p, "parameters cannot be written");
        in->slots[in->reads++] = ptx_address(p, o[0], in->space, &in->offset);
        read_tuple(p, in, o[1], in->count);
        break;
    case PTX_LDMATRIX:
        if (m->tile != 8 || !(m->seen & SYNC) || in->space != PTX_SHARED)
            ptx_refuse(p, "only m8n8 from shared memory is known");
        need(p, count, 2);
        write_tuple(p, in, o[0], in->count);
        in->slots[in->writes + in->reads++] = ptx_address(p, o[1], in->space, &in->offset);
        break;
    case PTX_SETP: take_set(p, m, in, o, count); break;
    case PTX_CVT: take_conversion(p, m, in, o, count); break;
    case PTX_BRA: take_branch(p, o, count); break;
    case PTX_BAR: take_barrier(p, m, in, o, count); break;
    case PTX_SHFL: take_shuffle(p, m, in, o, count); break;
    case PTX_VOTE: take_vote(p, m, in, o, count); break;
    default: take_matrices(p, m, in, o, count); break;
    }
}

static void take_shape(ptx_parser *p, ptx_instruction *in, const char *shape, ptx_text *o,
                       size_t count) {
    need(p, count, strlen(shape));
    for (size_t i = 0; i < count; i++) {
        bool is_logical = in->type == PTX_PRED;
        if (shape[i] == 'P' || (shape[i] == 'd' && is_logical)) write_predicate(p, in, o[i]);
        else if (shape[i] == 'q' || (shape[i] == 'a' && is_logical)) read_predicate(p, in, o[i]);
        else if (shape[i] == 'd') write_row(p, in, o[i]);
        else read_row(p, in, o[i], shape[i] == 'u' ? PTX_U32 : (ptx_type)in->type);
    }
}

/// The products and shifts that have one name and differ in their modifiers.
static void settle_operation(ptx_parser *p, mnemonic *m, ptx_instruction *in) {
    bool is_float = in->type == PTX_F32;
    int parts = !!(m->seen & LO) + !!(m->seen & HI) + !!(m->seen & WIDE);
    if (in->op == PTX_MUL || in->op == PTX_MAD) {
        if (parts != !is_float) ptx_refuse(p, "one of .lo, .hi and .wide should be here");
        bool adds = in->op == PTX_MAD;
        if (is_float) in->op = adds ? PTX_FMA : PTX_MUL;
        if (m->seen & HI) in->op = adds ? PTX_MADHI : PTX_MULHI;
        if (m->seen & WIDE) in->op = adds ? PTX_MADWIDE : PTX_WIDE;
        if (m->seen & LO) in->type &= 0xfe;
        if ((m->seen & WIDE) && in->type >= PTX_U64) ptx_refuse(p, "too wide a product");
    }
    if (in->op == PTX_SHFL_LEFT && (m->seen & RIGHT)) in->op = PTX_SHFL_RIGHT;
    if (in->op == PTX_SELP && is_float) in->type = PTX_U32;
    bool is_arithmetic = in->op != PTX_CVT && in->op != PTX_SETP;
    if (is_arithmetic && in->rounding > PTX_RP) ptx_refuse(p, "this rounding is not known here");
    if (is_arithmetic && !is_float && (in->sat || in->ftz || (m->seen & (ROUND | APPROX))))
        ptx_refuse(p, "integers have no such modifier");
    if ((in->op == PTX_DIV || in->op == PTX_RCP || in->op == PTX_SQRT) && in->rounding != PTX_RN)
        ptx_refuse(p, "only rounding to nearest is known here");
    in->special = in->ftz || in->sat || in->nan || in->rounding != PTX_RN;
}

/// `@p` or `@!p` before the mnemonic.
static ptx_text take_guard(ptx_parser *p, ptx_text text, ptx_instruction *in) {
    in->guard = PTX_TRUE;
    if (text.at[0] != '@') return text;
    size_t end = 1;
    while (end < text.length && text.at[end] != ' ' && text.at[end] != '\t') end++;
    in->guard = ptx_predicate(p, ptx_trim((ptx_text){text.at + 1, end - 1}), &in->guard_flip);
    return ptx_trim((ptx_text){text.at + end, text.length - end});
}

void ptx_decode(ptx_parser *p, ptx_text text) {
    text = ptx_trim(text);
    if (text.length == 0) return;
    ptx_entry *e = p->entry;
    ptx_instruction in = {.text = text.at, .length = (uint32_t)text.length, .line = p->line,
                          .count = 1, .space = PTX_GENERIC};
    p->current = text;
    ptx_text rest = take_guard(p, text, &in);
    size_t end = 0;
    while (end < rest.length && rest.at[end] != ' ' && rest.at[end] != '\t') end++;
    mnemonic m = {0};
    take_mnemonic(p, (ptx_text){rest.at, end}, &m, &in);
    ptx_text o[PTX_OPERANDS];
    size_t count = ptx_split(p, (ptx_text){rest.at + end, rest.length - end}, o, PTX_OPERANDS);
    if (m.operation->shape[0] == '*') take_own(p, &m, &in, o, count);
    else take_shape(p, &in, m.operation->shape, o, count);
    settle_operation(p, &m, &in);
    if (in.op != PTX_CVT) in.code = (uint16_t)PTX_CODE(in.op, in.type);
    p->current.length = 0;
    e->code = ptx_grow(p, e->code, e->length, sizeof in);
    e->code[e->length++] = in;
}
