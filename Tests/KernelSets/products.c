// Matrix products and low-rank updates.
#include "harness.h"

static const char *const kind_names[] = {"f32", "bf16", "mixed", "q8", "q4"};

static size_t rounded_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }

static bool is_quantized(cmk_kind kind) { return kind == CMK_Q8 || kind == CMK_Q4; }

/// Inputs that a product of this kind may have.
static size_t valid_inputs(cmk_kind kind, size_t in) {
    switch (kind) {
    case CMK_F32: return in;
    case CMK_BF16:
    case CMK_MIXED: return rounded_up(in, 2);
    case CMK_Q8: return rounded_up(in, 4);
    case CMK_Q4: return rounded_up(in, 64);
    }
    return 0;
}

static void *packed(cmk_kind kind, flavor flavor, size_t outputs, size_t in) {
    size_t panels = (outputs + CMK_LANES - 1) / CMK_LANES, bytes = cmk_panel_bytes(kind, in);
    uint8_t *w = room(panels * bytes);
    float *rows = numbers(flavor, outputs * in);
    for (size_t p = 0; p < panels; p++, rows += CMK_LANES * in) {
        size_t left = outputs - p * CMK_LANES, count = left < CMK_LANES ? left : CMK_LANES;
        void *panel = w + p * bytes;
        switch (kind) {
        case CMK_F32: cmk_pack_panel_f32(rows, count, in, in, panel); break;
        case CMK_BF16:
        case CMK_MIXED: cmk_pack_panel_bf16(rows, count, in, in, panel); break;
        case CMK_Q8:
        case CMK_Q4: cmk_pack_panel_quantized(kind, rows, count, in, in, panel); break;
        }
    }
    return w;
}

/// Rows of inputs with something between them, and their stride as a product counts it.
static const void *inputs(
    cmk_kind kind, flavor flavor, size_t rows, size_t in, size_t terms, size_t *stride) {
    *stride = in + 6;
    if (kind == CMK_BF16) return bf16_numbers(flavor, rows * *stride);
    float *x = numbers(flavor, rows * *stride);
    if (!is_quantized(kind)) return x;
    size_t bytes = terms * cmk_quantized_term_bytes(in) + 8;
    uint8_t *quantized = room(rows * bytes);
    for (size_t r = 0; r < rows; r++)
        scalar->quantize_f32(x + r * *stride, in, terms, quantized + r * bytes);
    *stride = bytes;
    return quantized;
}

static void check_product(cmk_kind kind, flavor flavor, size_t rows, size_t in, size_t panels) {
    in = valid_inputs(kind, in);
    for (size_t terms = 1; terms <= (is_quantized(kind) ? 2 : 1); terms++) {
        begin_case(
            "%s, %zu rows x %zu inputs x %zu panels, %zu terms, numbers %d", kind_names[kind], rows, in, panels,
            terms, flavor);
        size_t x_stride, y_stride = panels * CMK_LANES + 3;
        const void *x = inputs(kind, flavor, rows, in, terms, &x_stride);
        const void *w = packed(kind, flavor, panels * CMK_LANES - random_between(0, 15), in);
        float *start = numbers(flavor, rows * y_stride), *y = numbers(flavor, rows * y_stride);
        for (int accumulate = 0; accumulate < 2; accumulate++)
            FOR_EACH_SET(set) {
                if (kind == CMK_BF16 && flushes(set, flavor)) continue;
                memcpy(y, start, rows * y_stride * sizeof *y);
                cmk_product job = {
                    .x = x, .x_stride = x_stride, .rows = rows, .w = w, .in = in, .panels = panels, .y = y,
                    .y_stride = y_stride, .accumulate = accumulate, .terms = terms};
                set->matmul(kind, &job, 1);
                check(set, accumulate ? "matmul +=" : "matmul", y, rows * y_stride * sizeof *y);
            }
    }
}

/// Products that follow each other, with nothing to do in some.
static void check_product_list(cmk_kind kind) {
    enum { MOST = 5, Y = 9 * 5 * CMK_LANES };
    for (size_t count = 0; count <= MOST; count++) {
        begin_case("%s, a list of %zu products", kind_names[kind], count);
        cmk_product jobs[MOST];
        float *y = numbers(ORDINARY, MOST * Y), *start = numbers(ORDINARY, MOST * Y);
        for (size_t i = 0; i < count; i++) {
            size_t rows = random_between(0, 9), panels = random_between(i % 2, 5), x_stride;
            size_t in = valid_inputs(kind, random_between(1, 80));
            const void *x = inputs(kind, ORDINARY, rows + 1, in, 1, &x_stride);
            jobs[i] = (cmk_product){
                .x = x, .x_stride = x_stride, .rows = rows, .w = packed(kind, ORDINARY, panels * CMK_LANES, in),
                .in = in, .panels = panels, .y = y + i * Y, .y_stride = 5 * CMK_LANES, .accumulate = i % 2,
                .terms = 1};
        }
        FOR_EACH_SET(set) {
            memcpy(y, start, MOST * Y * sizeof *y);
            set->matmul(kind, jobs, count);
            check(set, "matmul of a list", y, MOST * Y * sizeof *y);
        }
    }
}

void check_products(void) {
    static const size_t rows[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17};
    static const size_t ins[] = {1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 67, 130};
    static const size_t panels[] = {1, 2, 5};
    for (int kind = CMK_F32; kind <= CMK_Q4; kind++) {
        for (size_t i = 0; i < COUNT(ins); i++) {
            // Rounded up it is the one before.
            if (i > 0 && valid_inputs(kind, ins[i]) == valid_inputs(kind, ins[i - 1])) continue;
            for (size_t r = 0; r < COUNT(rows); r++)
                for (size_t p = 0; p < COUNT(panels); p++)
                    for (int f = 0; f < FLAVORS; f++) check_product(kind, f, rows[r], ins[i], panels[p]);
        }
        check_product_list(kind);
    }
}

// MARK: Low-rank updates

enum { SEGMENTS = 4, OUTPUTS = 3 * CMK_LANES };

/// An adapter of this rank for two of three projections, the last with gain and bias.
static cmk_low_rank update(
    cmk_kind kind, size_t rank, size_t in, size_t *shrunk_columns, size_t *rounded_columns) {
    size_t padded = valid_inputs(kind, rank);
    size_t place = is_quantized(kind) ? cmk_quantized_term_bytes(padded) : padded;
    size_t panels = (2 * padded + CMK_LANES - 1) / CMK_LANES;
    cmk_low_rank result = {.shrink = packed(kind, ORDINARY, 2 * padded, in), .panels = panels};
    for (size_t i = 0; i < 2; i++)
        result.expansions[i * 2] = (cmk_expansion){
            .w = packed(kind, ORDINARY, OUTPUTS, padded),
            .panels = (OUTPUTS + CMK_LANES - 1) / CMK_LANES, .in = padded, .column = i * padded, .place = i * place,
            .scale = 0.7f};
    result.expansions[2].gain = numbers(ORDINARY, OUTPUTS);
    result.expansions[2].bias = numbers(ORDINARY, OUTPUTS);
    if (panels * CMK_LANES > *shrunk_columns) *shrunk_columns = panels * CMK_LANES;
    if (2 * place > *rounded_columns) *rounded_columns = 2 * place;
    return result;
}

static void check_update(cmk_kind kind, const size_t *ranks) {
    begin_case(
        "%s, ranks %zu, %zu, none and %zu", kind_names[kind], ranks[0], ranks[1], ranks[2]);
    size_t in = valid_inputs(kind, random_between(1, 70)), x_stride, columns = 0, rounded_columns = 0, rows = 0;
    cmk_low_rank updates[SEGMENTS] = {
        update(kind, ranks[0], in, &columns, &rounded_columns),
        update(kind, ranks[1], in, &columns, &rounded_columns),
        {0},
        update(kind, ranks[2], in, &columns, &rounded_columns),
    };
    cmk_segment segments[SEGMENTS];
    for (size_t i = 0; i < SEGMENTS; i++) {
        segments[i] = (cmk_segment){rows, random_between(1, 7), &updates[i]};
        rows += segments[i].row_count;
    }
    const void *x = inputs(kind, ORDINARY, rows, in, 1, &x_stride);
    size_t element = is_quantized(kind) ? 1 : kind == CMK_BF16 ? 2 : 4, y_count = rows * OUTPUTS;
    size_t shrunk_bytes = rows * columns * sizeof(float), rounded_bytes = rows * rounded_columns * element;
    float *shrunk = room(shrunk_bytes), *start = numbers(ORDINARY, y_count), *y = numbers(ORDINARY, y_count);
    void *rounded = room(rounded_bytes);
    FOR_EACH_SET(set) {
        memset(shrunk, 0, shrunk_bytes);
        memset(rounded, 0, rounded_bytes);
        memcpy(y, start, y_count * sizeof *y);
        cmk_low_rank_step step = {.kernels = set, .kind = kind, .segments = segments, .count = SEGMENTS};
        cmk_shrink(&step, 0, rows / 2, x, x_stride, in, shrunk, columns, rounded, rounded_columns);
        cmk_shrink(&step, rows / 2, rows, x, x_stride, in, shrunk, columns, rounded, rounded_columns);
        for (size_t p = 0; p < CMK_SITE_PROJECTIONS; p++) {
            cmk_expand(&step, p, 0, rows / 3, rounded, rounded_columns, 0, 1, CMK_LANES, y, OUTPUTS);
            cmk_expand(&step, p, rows / 3, rows, rounded, rounded_columns, 0, 1, CMK_LANES, y, OUTPUTS);
            cmk_expand(
                &step, p, 0, rows, rounded, rounded_columns, 1, 2, OUTPUTS - CMK_LANES - 3, y + CMK_LANES, OUTPUTS);
        }
        check(set, "shrink and expand", y, y_count * sizeof *y);
    }
}

void check_low_rank(void) {
    static const size_t ranks[] = {1, 2, 3, 4, 5, 7, 8, 11, 13, 15, 16, 17, 31, 32, 33, 64, 65, 100};
    for (int kind = CMK_F32; kind <= CMK_Q4; kind++)
        for (size_t i = 0; i + 2 < COUNT(ranks); i++)
            for (int again = 0; again < 4; again++) check_update(kind, ranks + i);
}
