#define _GNU_SOURCE

#include "ptx_decode.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// MARK: Words

/// Comments become spaces, so that lines keep their numbers.
static void blank_comments(char *text) {
    for (char *c = text; *c != 0; c++) {
        bool is_block = c[0] == '/' && c[1] == '*';
        if (!is_block && !(c[0] == '/' && c[1] == '/')) continue;
        for (; *c != 0; c++) {
            if (!is_block && *c == '\n') break;
            bool is_end = is_block && c[0] == '*' && c[1] == '/';
            if (*c != '\n') *c = ' ';
            if (is_end) {
                c[1] = ' ';
                break;
            }
        }
        if (*c == 0) return;
    }
}

static void skip_space(ptx_parser *p) {
    for (; isspace((unsigned char)*p->at); p->at++)
        if (*p->at == '\n') p->line++;
}

static bool is_name_part(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$'; }

/// The next word: a directive with its point, a name, or a number.
static ptx_text next_word(ptx_parser *p) {
    skip_space(p);
    const char *begin = p->at;
    if (*p->at == '.' || *p->at == '%') p->at++;
    while (is_name_part(*p->at)) p->at++;
    return (ptx_text){begin, (size_t)(p->at - begin)};
}

static bool skip_character(ptx_parser *p, char c) {
    skip_space(p);
    if (*p->at != c) return false;
    p->at++;
    return true;
}

static void expect(ptx_parser *p, char c) {
    if (!skip_character(p, c)) ptx_refuse(p, "'%c' is missing before \"%.20s\"", c, p->at);
}

/// Up to the character, which is skipped.
static ptx_text text_until(ptx_parser *p, char c) {
    skip_space(p);
    const char *begin = p->at;
    while (*p->at != c) {
        if (*p->at == 0) ptx_refuse(p, "the text ends where '%c' is missing", c);
        if (*p->at++ == '\n') p->line++;
    }
    return (ptx_text){begin, (size_t)(p->at++ - begin)};
}

static uint32_t next_number(ptx_parser *p) {
    ptx_text word = next_word(p);
    char *end;
    unsigned long long value = strtoull(word.at, &end, 0);
    if (word.length == 0 || end != p->at || value > INT32_MAX)
        ptx_refuse(p, "\"%.*s\" is no size", (int)word.length, word.at);
    return (uint32_t)value;
}

// MARK: Declarations

static ptx_type declared_type(ptx_parser *p, ptx_text word) {
    static const char *const names[] = {".b8",  ".u8",  ".s8",  ".b16", ".u16", ".s16", ".f16",
                                        ".b32", ".u32", ".s32", ".f32", ".b64", ".u64", ".s64",
                                        ".pred"};
    static const ptx_type types[] = {PTX_U8,  PTX_U8,  PTX_S8,  PTX_U16, PTX_U16,
                                     PTX_S16, PTX_U16, PTX_U32, PTX_U32, PTX_S32,
                                     PTX_F32, PTX_U64, PTX_U64, PTX_S64, PTX_PRED};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ptx_is(word, names[i])) return types[i];
    ptx_refuse(p, "declarations of \"%.*s\" are not known", (int)word.length, word.at);
}

static void declare_registers(ptx_parser *p) {
    ptx_type type = declared_type(p, next_word(p));
    do {
        ptx_text name = next_word(p);
        ptx_registers r = {.prefix = name, .type = type, .depth = p->depth};
        if (skip_character(p, '<')) {
            r.count = next_number(p);
            expect(p, '>');
        }
        p->registers = ptx_grow(p, p->registers, p->register_count, sizeof r);
        r.rows = calloc(r.count == 0 ? 1 : r.count, sizeof *r.rows);
        if (r.rows == NULL) ptx_refuse(p, "no memory");
        p->registers[p->register_count++] = r;
    } while (skip_character(p, ','));
    expect(p, ';');
}

static uint32_t rounded_up(uint32_t value, uint32_t step) {
    return (value + step - 1) / step * step;
}

/// Gives the object its place among the entry's others; there is a gap between two arrays, so
/// that the end of one is not the beginning of the next.
static void add_object(ptx_parser *p, ptx_object object, uint32_t align) {
    ptx_entry *e = p->entry;
    uint32_t gap = object.space == PTX_PARAM ? 0 : 32;
    uint32_t *end = object.space == PTX_PARAM    ? &e->param_bytes
                    : object.space == PTX_SHARED ? &e->shared_bytes
                                                 : &e->local_bytes;
    if (*end > 0) *end += gap;
    object.offset = *end = rounded_up(*end, align);
    *end += object.size;
    if (object.is_dynamic) {
        e->has_dynamic = true;
        e->dynamic_at = object.offset;
    }
    if (*end > (1u << 20)) ptx_refuse(p, "more than a megabyte of shared or local memory");
    e->objects = ptx_grow(p, e->objects, e->object_count, sizeof object);
    e->objects[e->object_count++] = object;
}

/// What follows `.param`, `.shared` or `.local`.
static void declare_object(ptx_parser *p, ptx_space space) {
    uint32_t align = 1;
    ptx_type type = PTX_NO_TYPE;
    ptx_text word = next_word(p);
    for (; word.length > 0 && word.at[0] == '.'; word = next_word(p)) {
        if (ptx_is(word, ".align")) align = next_number(p);
        else if (!ptx_is(word, ".ptr") && !ptx_is(word, ".global"))
            type = declared_type(p, word);
    }
    if (type == PTX_NO_TYPE || word.length == 0 || align == 0)
        ptx_refuse(p, "a declaration cannot be read");
    uint32_t size = (uint32_t)ptx_type_bytes(type);
    if (align < size) align = size;
    ptx_object object = {word.at, (uint32_t)word.length, 0, size, (uint8_t)space, false};
    while (skip_character(p, '[')) {
        object.is_dynamic = skip_character(p, ']');
        object.size *= object.is_dynamic ? 0 : next_number(p);
        if (!object.is_dynamic) expect(p, ']');
    }
    if (p->entry != NULL) {
        add_object(p, object, align);
        return;
    }
    p->shared = ptx_grow(p, p->shared, p->shared_count, sizeof object);
    object.offset = align;
    p->shared[p->shared_count++] = object;
}

// MARK: Entries

static void resolve_branches(ptx_parser *p) {
    for (size_t i = 0; i < p->branch_count; i++) {
        ptx_label *branch = &p->branches[i], *label = p->labels;
        size_t left = p->label_count;
        for (; left > 0 && !ptx_same(label->name, branch->name); left--) label++;
        if (left == 0)
            ptx_refuse(p, "no label \"%.*s\"", (int)branch->name.length, branch->name.at);
        p->entry->code[branch->place].target = label->place;
    }
    p->branch_count = p->label_count = 0;
}

static void forget_registers(ptx_parser *p, int depth) {
    while (p->register_count > 0 && p->registers[p->register_count - 1].depth > depth)
        free(p->registers[--p->register_count].rows);
}

static void parse_directive(ptx_parser *p) {
    ptx_text word = next_word(p);
    if (ptx_is(word, ".reg")) declare_registers(p);
    else if (ptx_is(word, ".shared")) declare_object(p, PTX_SHARED), expect(p, ';');
    else if (ptx_is(word, ".local")) declare_object(p, PTX_LOCAL), expect(p, ';');
    else if (ptx_is(word, ".pragma")) text_until(p, ';');
    else if (ptx_is(word, ".loc")) text_until(p, '\n'), p->line++;
    else ptx_refuse(p, "the directive \"%.*s\" is not known", (int)word.length, word.at);
}

/// A label, or an instruction up to its semicolon.
static void parse_statement(ptx_parser *p) {
    const char *begin = p->at;
    uint32_t line = p->line;
    ptx_text word = next_word(p);
    if (word.length > 0 && skip_character(p, ':')) {
        p->labels = ptx_grow(p, p->labels, p->label_count, sizeof *p->labels);
        p->labels[p->label_count++] = (ptx_label){word, p->entry->length};
        return;
    }
    p->at = begin;
    p->line = line;
    ptx_text text = text_until(p, ';');
    uint32_t after = p->line;
    p->line = line;
    ptx_decode(p, text);
    p->line = after;
}

static void parse_body(ptx_parser *p) {
    expect(p, '{');
    p->depth = 1;
    while (p->depth > 0) {
        skip_space(p);
        if (*p->at == 0) ptx_refuse(p, "the text ends within an entry");
        if (skip_character(p, '{')) p->depth++;
        else if (skip_character(p, '}')) forget_registers(p, --p->depth);
        else if (*p->at == '.') parse_directive(p);
        else parse_statement(p);
    }
    // Code that runs past the last instruction returns.
    ptx_decode(p, (ptx_text){"ret", 3});
    resolve_branches(p);
}

static uint32_t next_product(ptx_parser *p) {
    uint32_t product = next_number(p);
    while (skip_character(p, ',')) product *= next_number(p);
    return product;
}

static void parse_entry(ptx_parser *p) {
    ptx_module *m = p->module;
    m->entries = ptx_grow(p, m->entries, m->entry_count, sizeof *m->entries);
    p->entry = &m->entries[m->entry_count++];
    *p->entry = (ptx_entry){.row_count = PTX_FIRST_ROW, .predicate_count = PTX_FIRST_PREDICATE};
    ptx_text name = next_word(p);
    p->entry->name = calloc(1, name.length + 1);
    if (p->entry->name == NULL) ptx_refuse(p, "no memory");
    memcpy(p->entry->name, name.at, name.length);
    if (skip_character(p, '(')) {
        while (!skip_character(p, ')')) {
            ptx_text word = next_word(p);
            if (!ptx_is(word, ".param")) ptx_refuse(p, "a parameter cannot be read");
            declare_object(p, PTX_PARAM);
            skip_character(p, ',');
        }
    }
    for (size_t i = 0; i < p->shared_count; i++)
        add_object(p, p->shared[i], p->shared[i].offset);
    for (skip_space(p); *p->at == '.'; skip_space(p)) {
        ptx_text word = next_word(p);
        uint32_t product = next_product(p);
        if (ptx_is(word, ".maxntid") || ptx_is(word, ".reqntid")) p->entry->most_threads = product;
        else if (!ptx_is(word, ".minnctapersm") && !ptx_is(word, ".maxnreg"))
            ptx_refuse(p, "the directive \"%.*s\" is not known", (int)word.length, word.at);
    }
    parse_body(p);
    p->entry = NULL;
}

static void parse_module(ptx_parser *p) {
    for (skip_space(p); *p->at != 0; skip_space(p)) {
        ptx_text word = next_word(p);
        if (ptx_is(word, ".version")) {
            uint32_t major = next_number(p);
            expect(p, '.');
            p->module->version = (int)(major * 10 + next_number(p));
        } else if (ptx_is(word, ".target")) {
            ptx_text target = text_until(p, '\n');
            p->line++;
            if (target.length > 3 && memcmp(target.at, "sm_", 3) == 0)
                p->module->target = atoi(target.at + 3);
        } else if (ptx_is(word, ".address_size")) {
            if (next_number(p) != 64) ptx_refuse(p, "addresses have 64 bits here");
        } else if (ptx_is(word, ".shared")) {
            declare_object(p, PTX_SHARED);
            expect(p, ';');
        } else if (ptx_is(word, ".global") || ptx_is(word, ".const")) {
            // The compiler leaves constants here that nothing uses. One that is used is refused
            // where its name stands.
            text_until(p, ';');
        } else if (ptx_is(word, ".entry")) {
            parse_entry(p);
        } else if (!ptx_is(word, ".visible") && !ptx_is(word, ".weak")
                   && !ptx_is(word, ".extern")) {
            ptx_refuse(p, "\"%.*s\" is not known", word.length > 0 ? (int)word.length : 20,
                       word.at);
        }
    }
    if (p->module->version == 0 || p->module->target == 0)
        ptx_refuse(p, ".version or .target is missing");
}

static void free_parser(ptx_parser *p) {
    forget_registers(p, -1);
    free(p->registers);
    free(p->labels);
    free(p->branches);
    free(p->shared);
    free(p);
}

ptx_module *ptx_parse(const char *text, char error[PTX_ERROR_BYTES]) {
    ptx_parser *p = calloc(1, sizeof *p);
    ptx_module *module = calloc(1, sizeof *module);
    if (p == NULL || module == NULL) abort();
    p->module = module;
    p->error = error;
    p->line = 1;
    if (setjmp(p->refused) != 0) {
        free_parser(p);
        ptx_free(module);
        return NULL;
    }
    module->text = strdup(text);
    if (module->text == NULL) ptx_refuse(p, "no memory");
    blank_comments(module->text);
    p->at = module->text;
    parse_module(p);
    free_parser(p);
    return module;
}

void ptx_free(ptx_module *module) {
    if (module == NULL) return;
    for (size_t i = 0; i < module->entry_count; i++) {
        ptx_entry *entry = &module->entries[i];
        free(entry->name);
        free(entry->code);
        free(entry->constants);
        free(entry->objects);
    }
    free(module->entries);
    free(module->text);
    free(module);
}

ptx_entry *ptx_find_entry(ptx_module *module, const char *name) {
    for (size_t i = 0; i < module->entry_count; i++)
        if (strcmp(module->entries[i].name, name) == 0) return &module->entries[i];
    return NULL;
}
