// Low-rank updates of rows with different adapters, on the products of whatever set is handed in.
#include "../internal.h"

enum { JOBS = 32 };

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/// Address of element `at` of inputs, or of byte `at` of quantized ones.
static void *input(cmk_kind kind, const void *x, size_t at) {
    switch (kind) {
    case CMK_BF16: return (char *)x + at * sizeof(uint16_t);
    case CMK_F32:
    case CMK_MIXED: return (char *)x + at * sizeof(float);
    case CMK_Q8:
    case CMK_Q4: return (char *)x + at;
    }
}

/// Products that wait for each other, so that each one's weights are fetched during the one before.
typedef struct queue {
    const cmk_low_rank_step *step;
    size_t count;
    cmk_product jobs[JOBS];
} queue;

static void flush(queue *queue) {
    queue->step->kernels->matmul(queue->step->kind, queue->jobs, queue->count);
    queue->count = 0;
}

static void add(queue *queue, cmk_product job) {
    queue->jobs[queue->count++] = job;
    if (queue->count == JOBS) flush(queue);
}

/// to = s · from as an input of the expansion.
static void scale(
    const cmk_low_rank_step *step, float *from, const cmk_expansion *part, void *to) {
    switch (step->kind) {
    case CMK_BF16: step->kernels->scale_bf16(from, part->scale, part->in, to); break;
    case CMK_F32:
    case CMK_MIXED: step->kernels->scale_f32(from, part->scale, part->in, to); break;
    case CMK_Q8:
    case CMK_Q4:
        step->kernels->scale_f32(from, part->scale, part->in, from);
        step->kernels->quantize_f32(from, part->in, 1, to);
        break;
    }
}

void cmk_shrink(
    const cmk_low_rank_step *step, size_t first_row, size_t end_row, const void *x, size_t x_stride,
    size_t in, float *shrunk, size_t shrunk_stride, void *rounded, size_t rounded_stride) {
    queue queue = {.step = step};
    for (size_t i = 0; i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_low_rank *update = &segment->updates[step->update];
        size_t row = larger(first_row, segment->first_row);
        size_t end = smaller(end_row, segment->first_row + segment->row_count);
        if (update->shrink == NULL || row >= end) continue;
        add(&queue, (cmk_product){
            .x = input(step->kind, x, row * x_stride), .x_stride = x_stride, .rows = end - row,
            .w = update->shrink, .in = in, .panels = update->panels,
            .y = shrunk + row * shrunk_stride, .y_stride = shrunk_stride, .terms = 1});
    }
    flush(&queue);
    for (size_t i = 0; i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_low_rank *update = &segment->updates[step->update];
        if (update->shrink == NULL) continue;
        size_t end = smaller(end_row, segment->first_row + segment->row_count);
        for (size_t row = larger(first_row, segment->first_row); row < end; row++)
            for (size_t p = 0; p < CMK_SITE_PROJECTIONS; p++) {
                const cmk_expansion *part = &update->expansions[p];
                if (part->w == NULL) continue;
                float *from = shrunk + row * shrunk_stride + part->column;
                void *to = input(step->kind, rounded, row * rounded_stride + part->place);
                scale(step, from, part, to);
            }
    }
}

void cmk_expand(
    const cmk_low_rank_step *step, size_t projection, size_t first_row, size_t end_row,
    const void *rounded, size_t rounded_stride, size_t first_panel, size_t panels, size_t outputs,
    float *y, size_t y_stride) {
    queue queue = {.step = step};
    bool has_more = false;
    for (size_t i = 0; i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_expansion *part = &segment->updates[step->update].expansions[projection];
        size_t row = larger(first_row, segment->first_row);
        size_t end = smaller(end_row, segment->first_row + segment->row_count);
        if (part->w == NULL || row >= end) continue;
        // Heads have not all as many outputs.
        size_t own = part->panels > first_panel ? smaller(panels, part->panels - first_panel) : 0;
        if (own == 0) continue;
        has_more |= part->gain != NULL || part->bias != NULL;
        size_t from = row * rounded_stride + part->place;
        size_t panel = first_panel * cmk_panel_bytes(step->kind, part->in);
        add(&queue, (cmk_product){
            .x = input(step->kind, rounded, from), .x_stride = rounded_stride,
            .rows = end - row,
            .w = (const char *)part->w + panel, .in = part->in, .terms = 1,
            .panels = own, .y = y + row * y_stride, .y_stride = y_stride,
            .accumulate = true});
    }
    flush(&queue);
    for (size_t i = 0; has_more && i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_expansion *part = &segment->updates[step->update].expansions[projection];
        if (part->w == NULL || part->panels <= first_panel) continue;
        size_t end = smaller(end_row, segment->first_row + segment->row_count);
        size_t column = first_panel * CMK_LANES;
        size_t own = smaller(outputs, part->panels * CMK_LANES - column);
        for (size_t row = larger(first_row, segment->first_row); row < end; row++) {
            float *target = y + row * y_stride;
            if (part->gain != NULL) step->kernels->multiply(part->gain + column, own, target);
            if (part->bias != NULL) step->kernels->add(part->bias + column, own, target);
        }
    }
}
