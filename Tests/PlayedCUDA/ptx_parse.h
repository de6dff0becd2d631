#ifndef PTX_PARSE_H
#define PTX_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PTX text, decoded so far that running it is a switch and array accesses.

enum { PTX_LANES = 32, PTX_SLOTS = 16, PTX_ERROR_BYTES = 2048 };

/// b8 … b64 are the unsigned ones.
typedef enum {
    PTX_U8, PTX_S8, PTX_U16, PTX_S16, PTX_U32, PTX_S32, PTX_U64, PTX_S64,
    PTX_F32, PTX_PRED, PTX_F16, PTX_BF16, PTX_F16X2, PTX_BF16X2, PTX_NO_TYPE
} ptx_type;

typedef enum {
    PTX_MOV, PTX_PACK, PTX_UNPACK, PTX_LD, PTX_ST, PTX_CVTA,
    PTX_ADD, PTX_SUB, PTX_MUL, PTX_MULHI, PTX_WIDE, PTX_MAD, PTX_MADHI, PTX_MADWIDE,
    PTX_DIV, PTX_REM, PTX_ABS, PTX_NEG, PTX_MIN, PTX_MAX,
    PTX_AND, PTX_OR, PTX_XOR, PTX_NOT, PTX_CNOT, PTX_SHL, PTX_SHR, PTX_SHFL_LEFT, PTX_SHFL_RIGHT,
    PTX_LOP3, PTX_PRMT, PTX_BFE, PTX_BFI, PTX_BREV, PTX_POPC, PTX_CLZ,
    PTX_SETP, PTX_SELP, PTX_CVT, PTX_TESTP,
    PTX_FMA, PTX_RCP, PTX_SQRT, PTX_RSQRT, PTX_EX2, PTX_LG2, PTX_SIN, PTX_COS, PTX_TANH,
    PTX_COPYSIGN,
    PTX_BRA, PTX_RET, PTX_TRAP, PTX_FENCE, PTX_BAR, PTX_BARWARP, PTX_SHFL, PTX_VOTE,
    PTX_ACTIVEMASK, PTX_MMA, PTX_LDMATRIX
} ptx_op;

typedef enum {
    PTX_GENERIC, PTX_GLOBAL, PTX_SHARED, PTX_LOCAL, PTX_PARAM, PTX_CONST
} ptx_space;

typedef enum {
    PTX_EQ, PTX_NE, PTX_LT, PTX_LE, PTX_GT, PTX_GE,
    PTX_EQU, PTX_NEU, PTX_LTU, PTX_LEU, PTX_GTU, PTX_GEU, PTX_NUM, PTX_NAN
} ptx_compare;

typedef enum { PTX_RN, PTX_RZ, PTX_RM, PTX_RP, PTX_RNI, PTX_RZI, PTX_RMI, PTX_RPI } ptx_rounding;

/// `.and`, `.or`, `.xor` of setp; the manner of shfl, vote and testp.
typedef enum {
    PTX_PLAIN, PTX_WITH_AND, PTX_WITH_OR, PTX_WITH_XOR,
    PTX_INDEX, PTX_UP, PTX_DOWN, PTX_BUTTERFLY,
    PTX_ALL, PTX_ANY, PTX_UNIFORM, PTX_BALLOT,
    PTX_FINITE, PTX_INFINITE, PTX_NUMBER, PTX_NOT_A_NUMBER, PTX_NORMAL, PTX_SUBNORMAL
} ptx_manner;

/// Addresses of a space begin here, so that zero is none of them.
enum { PTX_WINDOW = 0x1000 };
/// Where shared and local memory lie among generic addresses; no pointer of a process looks so.
#define PTX_SHARED_WINDOW UINT64_C(0xfffe000000000000)
#define PTX_LOCAL_WINDOW UINT64_C(0xfffd000000000000)

/// Rows that every warp has before its registers. A row is one 64-bit slot for each lane.
enum {
    PTX_SINK, PTX_TID, PTX_NTID = PTX_TID + 3, PTX_CTAID = PTX_NTID + 3,
    PTX_NCTAID = PTX_CTAID + 3, PTX_LANEID = PTX_NCTAID + 3, PTX_WARPID, PTX_LANEMASK_EQ,
    PTX_LANEMASK_LE, PTX_LANEMASK_LT, PTX_LANEMASK_GE, PTX_LANEMASK_GT, PTX_FIRST_ROW
};
/// The same for predicates: one mask of lanes each.
enum { PTX_FALSE, PTX_TRUE, PTX_PREDICATE_SINK, PTX_FIRST_PREDICATE };

#define PTX_CODE(op, type) ((unsigned)(op) << 4 | (unsigned)(type))

typedef struct {
    uint16_t code;            ///< op and type together, for the switch
    uint8_t op, type, from;   ///< from: the source's type (cvt), what A and B are (mma)
    uint8_t space, count;     ///< count: of a vector's parts, of matrices
    uint8_t compare, rounding, manner;
    bool ftz, sat, to_space, transposed, nan;
    bool special;             ///< a float's result needs more than the plain operation
    uint8_t writes, reads;    ///< rows: the written ones come first
    uint8_t predicate_writes, predicate_reads;
    uint16_t slots[PTX_SLOTS];
    uint16_t predicates[4];
    uint32_t flips[4];        ///< all ones where a predicate is read negated
    uint16_t guard;
    uint32_t guard_flip;
    uint32_t target;          ///< of a branch
    int64_t offset;           ///< added to an address
    uint32_t hint;            ///< the allocation that was accessed last
    uint32_t line, length;
    const char *text;
} ptx_instruction;

/// An array in shared or local memory, or a parameter.
typedef struct {
    const char *name;
    uint32_t name_length, offset, size;
    uint8_t space;
    bool is_dynamic;          ///< its size comes with the launch
} ptx_object;

typedef struct {
    uint16_t row;
    uint64_t value;
} ptx_constant;

typedef struct {
    char *name;
    ptx_instruction *code;
    uint32_t length;
    uint32_t row_count, predicate_count;
    ptx_constant *constants;
    uint32_t constant_count;
    ptx_object *objects;
    uint32_t object_count;
    uint32_t param_bytes, shared_bytes, local_bytes;
    uint32_t dynamic_at;      ///< where shared memory of the launch's size begins
    bool has_dynamic;
    uint32_t most_threads;    ///< what it declares, or 0
} ptx_entry;

typedef struct {
    char *text;
    ptx_entry *entries;
    size_t entry_count;
    int version, target;      ///< 78 for 7.8; 80 for sm_80
} ptx_module;

/// NULL with a text in `error` when it is no PTX, or has something that this does not know.
ptx_module *ptx_parse(const char *text, char error[PTX_ERROR_BYTES]);
void ptx_free(ptx_module *module);
ptx_entry *ptx_find_entry(ptx_module *module, const char *name);
size_t ptx_type_bytes(ptx_type type);

#endif
