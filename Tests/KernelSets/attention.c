// Paged attention over scattered blocks.
#include "harness.h"

enum { BLOCKS = 5, POSITIONS = 61 };

/// A cache of one key/value head in which other sequences have been.
typedef struct cache {
    void *keys, *values;
    size_t key_stride, value_stride;
} cache;

static const int32_t table[] = {3, 0, 4, 1};

static cache filled(bool bf16, flavor flavor, size_t d) {
    size_t padded = (d + CMK_LANES - 1) / CMK_LANES * CMK_LANES, width = bf16 ? d + d % 2 : d;
    cache cache = {.key_stride = width * CMK_BLOCK_POSITIONS, .value_stride = padded * CMK_BLOCK_POSITIONS};
    size_t element = bf16 ? 2 : 4, stale = BLOCKS * (cache.value_stride + cache.key_stride);
    cache.keys = room(BLOCKS * cache.key_stride * element);
    cache.values = room(BLOCKS * cache.value_stride * element);
    const void *before = bf16 ? (void *)bf16_numbers(flavor, stale) : (void *)numbers(flavor, stale);
    // Pairs behind the last dimension are zero.
    if (!bf16 || d % 2 == 0) memcpy(cache.keys, before, BLOCKS * cache.key_stride * element);
    memcpy(cache.values, before, BLOCKS * cache.value_stride * element);
    float *new = numbers(flavor, POSITIONS * 2 * d);
    for (size_t i = 0; i < POSITIONS; i++, new += 2 * d) {
        size_t block = (size_t)table[i / CMK_BLOCK_POSITIONS], slot = i % CMK_BLOCK_POSITIONS;
        void *keys = (char *)cache.keys + block * cache.key_stride * element;
        void *values = (char *)cache.values + block * cache.value_stride * element;
        if (bf16) cmk_store_kv_bf16(new, new + d, d, slot, keys, values);
        else cmk_store_kv_f32(new, new + d, d, slot, keys, values);
    }
    return cache;
}

static void check_piece(
    bool bf16, flavor flavor, size_t d, size_t group, size_t first, size_t rows, size_t window, float cap) {
    begin_case(
        "%s, dimension %zu, group %zu, rows %zu at %zu, window %zu, cap %g, numbers %d", bf16 ? "bf16" : "f32",
        d, group, rows, first, window, (double)cap, flavor);
    cache cache = filled(bf16, flavor, d);
    size_t stride = group * d + 5, element = bf16 ? 2 : 4;
    size_t scratch = cmk_attention_scratch_count(rows, group, d, first + rows);
    uint8_t *out = room(rows * stride * element);
    cmk_attention job = {
        .q = numbers(flavor, rows * stride), .q_stride = stride, .out = out, .out_stride = stride,
        .keys = cache.keys, .key_stride = cache.key_stride, .values = cache.values,
        .value_stride = cache.value_stride, .blocks = table, .row_count = rows, .group = group, .head_dim = d,
        .first_position = first, .window = window, .scale = 0.3f, .cap = cap,
        .scratch = numbers(ORDINARY, scratch)};
    cmk_attention next = job;
    next.first_position = POSITIONS - 1;
    next.row_count = 1;
    if (random_bits() % 2 == 0) job.next = &next;
    FOR_EACH_SET(set) {
        if (bf16 && flushes(set, flavor)) continue;
        memset(out, 0, rows * stride * element);
        (bf16 ? set->attention_bf16 : set->attention_f32)(&job);
        check(set, bf16 ? "attention_bf16" : "attention_f32", out, rows * stride * element);
    }
}

void check_attention(void) {
    static const size_t dimensions[] = {1, 2, 6, 10, 16, 17, 40, 64, 80};
    static const size_t groups[] = {1, 3, 7};
    static const struct {
        size_t first, rows;
    } places[] = {{0, 1}, {0, 4}, {15, 1}, {17, 6}, {30, 9}, {44, 1}, {47, 3}, {60, 1}};
    static const struct {
        size_t window;
        float cap;
    } forms[] = {{0, 0}, {1, 0}, {5, 0.7f}, {20, 50}};
    for (size_t d = 0; d < COUNT(dimensions); d++)
        for (size_t g = 0; g < COUNT(groups); g++)
            for (size_t p = 0; p < COUNT(places); p++)
                for (size_t i = 0; i < COUNT(forms); i++)
                    for (int f = 0; f < FLAVORS; f++)
                        for (int bf16 = 0; bf16 < 2; bf16++)
                            check_piece(
                                bf16, f, dimensions[d], groups[g], places[p].first, places[p].rows,
                                forms[i].window, forms[i].cap);
}
