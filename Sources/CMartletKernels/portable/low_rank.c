// Low-rank updates of rows with different adapters, on the products of whatever set is handed in.
#include "../internal.h"

enum { JOBS = 32 };

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

/// Address of element `at` of inputs, or of weights.
static const void *input(cmk_kind kind, const void *x, size_t at) {
    return (const char *)x + at * (kind == CMK_BF16 ? 2 : 4);
}

static const void *weight(cmk_kind kind, const void *w, size_t at) {
    return (const char *)w + at * (kind == CMK_F32 ? 4 : 2);
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
            .y = shrunk + row * shrunk_stride, .y_stride = shrunk_stride, .accumulate = false});
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
                const float *from = shrunk + row * shrunk_stride + part->column;
                size_t to = row * rounded_stride + part->column;
                if (step->kind == CMK_BF16)
                    step->kernels->scale_bf16(from, part->scale, part->in, (uint16_t *)rounded + to);
                else
                    step->kernels->scale_f32(from, part->scale, part->in, (float *)rounded + to);
            }
    }
}

void cmk_expand(
    const cmk_low_rank_step *step, size_t projection, const void *rounded, size_t rounded_stride,
    size_t first_panel, size_t panels, size_t outputs, float *y, size_t y_stride) {
    queue queue = {.step = step};
    bool has_more = false;
    for (size_t i = 0; i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_expansion *part = &segment->updates[step->update].expansions[projection];
        if (part->w == NULL) continue;
        has_more |= part->gain != NULL || part->bias != NULL;
        size_t from = segment->first_row * rounded_stride + part->column;
        add(&queue, (cmk_product){
            .x = input(step->kind, rounded, from), .x_stride = rounded_stride,
            .rows = segment->row_count,
            .w = weight(step->kind, part->w, first_panel * CMK_LANES * part->in), .in = part->in,
            .panels = panels, .y = y + segment->first_row * y_stride, .y_stride = y_stride,
            .accumulate = true});
    }
    flush(&queue);
    for (size_t i = 0; has_more && i < step->count; i++) {
        const cmk_segment *segment = &step->segments[i];
        const cmk_expansion *part = &segment->updates[step->update].expansions[projection];
        if (part->w == NULL) continue;
        for (size_t row = segment->first_row; row < segment->first_row + segment->row_count; row++) {
            float *target = y + row * y_stride;
            size_t column = first_panel * CMK_LANES;
            if (part->gain != NULL) step->kernels->multiply(part->gain + column, outputs, target);
            if (part->bias != NULL) step->kernels->add(part->bias + column, outputs, target);
        }
    }
}
