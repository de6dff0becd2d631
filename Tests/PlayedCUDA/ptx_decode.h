#ifndef PTX_DECODE_H
#define PTX_DECODE_H

#include <setjmp.h>

#include "ptx_parse.h"

// What the parser's two files share: declarations and operands (ptx_parse.c), and what a mnemonic
// makes of them (ptx_decode.c).

/// A piece of the module's text.
typedef struct {
    const char *at;
    size_t length;
} ptx_text;

/// `.reg .b32 %r<90>`: rows are given out when a register is first seen, so that neighbours in
/// the code are neighbours in memory.
typedef struct {
    ptx_text prefix;
    uint32_t count;           ///< 0: one register of exactly this name
    ptx_type type;
    int depth;                ///< of the braces that hold it
    uint16_t *rows;
} ptx_registers;

typedef struct {
    ptx_text name;
    uint32_t place;
} ptx_label;

enum { PTX_OPERANDS = 8 };

typedef struct {
    ptx_module *module;
    ptx_entry *entry;
    const char *at;
    int depth;
    ptx_registers *registers;
    size_t register_count;
    ptx_label *labels, *branches;
    size_t label_count, branch_count;
    ptx_object *shared;       ///< what is declared outside of entries
    size_t shared_count;
    uint32_t line;
    ptx_text current;         ///< the instruction that is being decoded: a refusal names it
    char *error;
    jmp_buf refused;
} ptx_parser;

/// Ends the parse with a text.
_Noreturn void ptx_refuse(ptx_parser *p, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void *ptx_grow(ptx_parser *p, void *array, size_t count, size_t size);
bool ptx_is(ptx_text text, const char *word);
bool ptx_same(ptx_text a, ptx_text b);
ptx_text ptx_trim(ptx_text text);

/// Splits at commas outside of braces and brackets; how many there are.
size_t ptx_split(ptx_parser *p, ptx_text text, ptx_text *parts, size_t most);

uint16_t ptx_destination(ptx_parser *p, ptx_text text);
/// A register, a special one, a number or an array's address; floats must be written as such.
uint16_t ptx_source(ptx_parser *p, ptx_text text, ptx_type type);
uint16_t ptx_predicate(ptx_parser *p, ptx_text text, uint32_t *flip);
bool ptx_is_predicate(ptx_parser *p, ptx_text text);
/// `[base + offset]`: the base's row.
uint16_t ptx_address(ptx_parser *p, ptx_text text, ptx_space space, int64_t *offset);

/// One instruction's text without its semicolon, appended to the entry's code.
void ptx_decode(ptx_parser *p, ptx_text text);

#endif
