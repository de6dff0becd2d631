#include "ptx_decode.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// MARK: Text

void ptx_refuse(ptx_parser *p, const char *format, ...) {
    int used = snprintf(p->error, PTX_ERROR_BYTES, "line %u: ", p->line);
    if (p->current.length > 0)
        used += snprintf(p->error + used, (size_t)(PTX_ERROR_BYTES - used), "`%.*s`: ",
                         p->current.length < 200 ? (int)p->current.length : 200, p->current.at);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(p->error + used, (size_t)(PTX_ERROR_BYTES - used), format, arguments);
    va_end(arguments);
    longjmp(p->refused, 1);
}

/// Room for one more; arrays double at powers of two.
void *ptx_grow(ptx_parser *p, void *array, size_t count, size_t size) {
    if (count & (count - 1)) return array;
    void *larger = realloc(array, (count == 0 ? 1 : count * 2) * size);
    if (larger == NULL) ptx_refuse(p, "no memory");
    return larger;
}

bool ptx_is(ptx_text text, const char *word) {
    return strlen(word) == text.length && memcmp(text.at, word, text.length) == 0;
}

bool ptx_same(ptx_text a, ptx_text b) {
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

ptx_text ptx_trim(ptx_text text) {
    while (text.length > 0 && isspace((unsigned char)text.at[0])) text.at++, text.length--;
    while (text.length > 0 && isspace((unsigned char)text.at[text.length - 1])) text.length--;
    return text;
}

size_t ptx_split(ptx_parser *p, ptx_text text, ptx_text *parts, size_t most) {
    text = ptx_trim(text);
    size_t count = 0, begin = 0;
    int depth = 0;
    if (text.length == 0) return 0;
    for (size_t i = 0; i <= text.length; i++) {
        char c = i < text.length ? text.at[i] : ',';
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        if (c != ',' || (depth > 0 && i < text.length)) continue;
        if (count == most) ptx_refuse(p, "too many operands");
        parts[count++] = ptx_trim((ptx_text){text.at + begin, i - begin});
        begin = i + 1;
    }
    return count;
}

size_t ptx_type_bytes(ptx_type type) {
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 0, 2, 2, 4, 4, 0};
    return bytes[type];
}

// MARK: Registers and numbers

static uint16_t new_row(ptx_parser *p) {
    if (p->entry->row_count >= UINT16_MAX) ptx_refuse(p, "too many registers");
    return (uint16_t)p->entry->row_count++;
}

/// The row or predicate of a register, and its type; false if nobody declared it.
static bool find_register(ptx_parser *p, ptx_text name, uint16_t *row, ptx_type *type) {
    size_t digits = name.length;
    while (digits > 1 && isdigit((unsigned char)name.at[digits - 1])) digits--;
    for (size_t i = p->register_count; i-- > 0;) {
        ptx_registers *r = &p->registers[i];
        uint32_t number = 0;
        if (r->count > 0) {
            ptx_text prefix = {name.at, digits};
            if (digits == name.length || !ptx_same(prefix, r->prefix)) continue;
            number = (uint32_t)strtoul(name.at + digits, NULL, 10);
            if (number >= r->count) continue;
        } else if (!ptx_same(name, r->prefix)) {
            continue;
        }
        if (r->rows[number] == 0)
            r->rows[number] =
                r->type == PTX_PRED ? (uint16_t)p->entry->predicate_count++ : new_row(p);
        *row = r->rows[number];
        *type = r->type;
        return true;
    }
    return false;
}

static uint16_t constant_row(ptx_parser *p, uint64_t value) {
    ptx_entry *e = p->entry;
    for (uint32_t i = 0; i < e->constant_count; i++)
        if (e->constants[i].value == value) return e->constants[i].row;
    e->constants = ptx_grow(p, e->constants, e->constant_count, sizeof *e->constants);
    e->constants[e->constant_count] = (ptx_constant){new_row(p), value};
    return e->constants[e->constant_count++].row;
}

static bool special_row(ptx_text name, uint16_t *row) {
    static const struct {
        const char *name;
        uint16_t row;
    } table[] = {
        {"%tid.x", PTX_TID}, {"%tid.y", PTX_TID + 1}, {"%tid.z", PTX_TID + 2},
        {"%ntid.x", PTX_NTID}, {"%ntid.y", PTX_NTID + 1}, {"%ntid.z", PTX_NTID + 2},
        {"%ctaid.x", PTX_CTAID}, {"%ctaid.y", PTX_CTAID + 1}, {"%ctaid.z", PTX_CTAID + 2},
        {"%nctaid.x", PTX_NCTAID}, {"%nctaid.y", PTX_NCTAID + 1}, {"%nctaid.z", PTX_NCTAID + 2},
        {"%laneid", PTX_LANEID}, {"%warpid", PTX_WARPID}, {"%lanemask_eq", PTX_LANEMASK_EQ},
        {"%lanemask_le", PTX_LANEMASK_LE}, {"%lanemask_lt", PTX_LANEMASK_LT},
        {"%lanemask_ge", PTX_LANEMASK_GE}, {"%lanemask_gt", PTX_LANEMASK_GT}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (ptx_is(name, table[i].name)) return *row = table[i].row, true;
    return false;
}

uint16_t ptx_destination(ptx_parser *p, ptx_text text) {
    if (ptx_is(text, "_")) return PTX_SINK;
    uint16_t row;
    ptx_type type;
    if (!find_register(p, text, &row, &type) || type == PTX_PRED)
        ptx_refuse(p, "\"%.*s\" is no register that can be written", (int)text.length, text.at);
    return row;
}

bool ptx_is_predicate(ptx_parser *p, ptx_text text) {
    uint16_t row;
    ptx_type type;
    return find_register(p, text, &row, &type) && type == PTX_PRED;
}

uint16_t ptx_predicate(ptx_parser *p, ptx_text text, uint32_t *flip) {
    *flip = 0;
    if (text.length > 0 && text.at[0] == '!') {
        *flip = UINT32_MAX;
        text = ptx_trim((ptx_text){text.at + 1, text.length - 1});
    }
    if (ptx_is(text, "_")) return PTX_PREDICATE_SINK;
    if (ptx_is(text, "0")) return PTX_FALSE;
    if (ptx_is(text, "1") || ptx_is(text, "-1")) return PTX_TRUE;
    uint16_t row;
    ptx_type type;
    if (!find_register(p, text, &row, &type) || type != PTX_PRED)
        ptx_refuse(p, "\"%.*s\" is no predicate", (int)text.length, text.at);
    return row;
}

static bool parse_number(ptx_text text, uint64_t *value) {
    char word[64], *end;
    if (text.length == 0 || text.length >= sizeof word) return false;
    memcpy(word, text.at, text.length);
    word[text.length] = 0;
    bool is_negative = word[0] == '-';
    const char *digits = word + (is_negative || word[0] == '+');
    if (!isdigit((unsigned char)*digits)) return false;
    *value = strtoull(digits, &end, 0);
    if (*end == 'U') end++;
    if (is_negative) *value = (uint64_t)0 - *value;
    return *end == 0;
}

static ptx_object *find_object(ptx_parser *p, ptx_text name) {
    for (uint32_t i = 0; i < p->entry->object_count; i++) {
        ptx_object *object = &p->entry->objects[i];
        if (ptx_same(name, (ptx_text){object->name, object->name_length})) return object;
    }
    return NULL;
}

uint16_t ptx_source(ptx_parser *p, ptx_text text, ptx_type type) {
    uint16_t row;
    ptx_type declared;
    uint64_t value;
    if (find_register(p, text, &row, &declared)) {
        if (declared == PTX_PRED) ptx_refuse(p, "a predicate where a number should be");
        return row;
    }
    if (special_row(text, &row)) return row;
    bool is_float = text.length == 10 && text.at[0] == '0' && (text.at[1] | 32) == 'f';
    if (is_float) return constant_row(p, strtoull(text.at + 2, NULL, 16));
    if (parse_number(text, &value)) {
        if (type == PTX_F32) ptx_refuse(p, "an integer where a float should be");
        return constant_row(p, value);
    }
    ptx_object *object = find_object(p, text);
    if (object != NULL) return constant_row(p, PTX_WINDOW + (uint64_t)object->offset);
    ptx_refuse(p, "\"%.*s\" is not known", (int)text.length, text.at);
}

uint16_t ptx_address(ptx_parser *p, ptx_text text, ptx_space space, int64_t *offset) {
    if (text.length < 2 || text.at[0] != '[' || text.at[text.length - 1] != ']')
        ptx_refuse(p, "\"%.*s\" is no address", (int)text.length, text.at);
    ptx_text base = ptx_trim((ptx_text){text.at + 1, text.length - 2}), rest = {0};
    for (size_t i = 1; i < base.length; i++)
        if (base.at[i] == '+' || base.at[i] == '-') {
            // "-8" is a number itself, "+8" and "+-8" follow a plus.
            size_t skip = base.at[i] == '+';
            rest = ptx_trim((ptx_text){base.at + i + skip, base.length - i - skip});
            base = ptx_trim((ptx_text){base.at, i});
        }
    uint64_t value = 0;
    if (rest.length > 0 && !parse_number(rest, &value))
        ptx_refuse(p, "\"%.*s\" is no offset", (int)rest.length, rest.at);
    *offset = (int64_t)value;
    ptx_object *object = find_object(p, base);
    if (object != NULL && object->space != space)
        ptx_refuse(p, "\"%.*s\" lies in another space", (int)base.length, base.at);
    return ptx_source(p, base, PTX_U64);
}
