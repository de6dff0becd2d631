// Made by scripts/make_kernels.py from the kernels' sources: what kernels are given, and what they read through
// addresses. Do not edit.
#ifndef KERNEL_ARGUMENTS_H
#define KERNEL_ARGUMENTS_H

#include <stddef.h>
#include <stdint.h>

typedef struct cmd_place {
    uint64_t blocks;
    uint32_t position;
    uint32_t unused;
} cmd_place;
_Static_assert(offsetof(cmd_place, blocks) == 0, "cmd_place");
_Static_assert(offsetof(cmd_place, position) == 8, "cmd_place");
_Static_assert(offsetof(cmd_place, unused) == 12, "cmd_place");
_Static_assert(sizeof(cmd_place) == 16, "cmd_place");

typedef struct cmd_cache {
    uint32_t layer;
    uint32_t key_words;
    uint32_t head_words;
} cmd_cache;
_Static_assert(offsetof(cmd_cache, layer) == 0, "cmd_cache");
_Static_assert(offsetof(cmd_cache, key_words) == 4, "cmd_cache");
_Static_assert(offsetof(cmd_cache, head_words) == 8, "cmd_cache");

typedef struct cmd_position {
    uint64_t projections;
    uint64_t places;
    uint64_t angles;
    uint64_t query_norm;
    uint64_t key_norm;
    uint64_t own_query_norms;
    uint64_t own_key_norms;
    uint32_t stride;
    uint32_t key_column;
    uint32_t value_column;
    uint32_t heads;
    uint32_t group;
    uint32_t d;
    float epsilon;
    cmd_cache cache;
} cmd_position;
_Static_assert(offsetof(cmd_position, projections) == 0, "cmd_position");
_Static_assert(offsetof(cmd_position, places) == 8, "cmd_position");
_Static_assert(offsetof(cmd_position, angles) == 16, "cmd_position");
_Static_assert(offsetof(cmd_position, query_norm) == 24, "cmd_position");
_Static_assert(offsetof(cmd_position, key_norm) == 32, "cmd_position");
_Static_assert(offsetof(cmd_position, own_query_norms) == 40, "cmd_position");
_Static_assert(offsetof(cmd_position, own_key_norms) == 48, "cmd_position");
_Static_assert(offsetof(cmd_position, stride) == 56, "cmd_position");
_Static_assert(offsetof(cmd_position, key_column) == 60, "cmd_position");
_Static_assert(offsetof(cmd_position, value_column) == 64, "cmd_position");
_Static_assert(offsetof(cmd_position, heads) == 68, "cmd_position");
_Static_assert(offsetof(cmd_position, group) == 72, "cmd_position");
_Static_assert(offsetof(cmd_position, d) == 76, "cmd_position");
_Static_assert(offsetof(cmd_position, epsilon) == 80, "cmd_position");
_Static_assert(offsetof(cmd_position, cache) == 84, "cmd_position");
_Static_assert(sizeof(cmd_position) == 96, "cmd_position");

typedef struct cmd_attend {
    uint64_t queries;
    uint64_t places;
    uint64_t y;
    uint32_t stride;
    uint32_t y_stride;
    uint32_t heads;
    uint32_t group;
    uint32_t d;
    uint32_t window;
    float scale;
    cmd_cache cache;
} cmd_attend;
_Static_assert(offsetof(cmd_attend, queries) == 0, "cmd_attend");
_Static_assert(offsetof(cmd_attend, places) == 8, "cmd_attend");
_Static_assert(offsetof(cmd_attend, y) == 16, "cmd_attend");
_Static_assert(offsetof(cmd_attend, stride) == 24, "cmd_attend");
_Static_assert(offsetof(cmd_attend, y_stride) == 28, "cmd_attend");
_Static_assert(offsetof(cmd_attend, heads) == 32, "cmd_attend");
_Static_assert(offsetof(cmd_attend, group) == 36, "cmd_attend");
_Static_assert(offsetof(cmd_attend, d) == 40, "cmd_attend");
_Static_assert(offsetof(cmd_attend, window) == 44, "cmd_attend");
_Static_assert(offsetof(cmd_attend, scale) == 48, "cmd_attend");
_Static_assert(offsetof(cmd_attend, cache) == 52, "cmd_attend");
_Static_assert(sizeof(cmd_attend) == 64, "cmd_attend");

typedef struct cmd_expansion {
    uint64_t w;
    uint64_t gain;
    uint64_t bias;
    uint32_t words;
    uint32_t column;
    float scale;
    uint32_t unused;
} cmd_expansion;
_Static_assert(offsetof(cmd_expansion, w) == 0, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, gain) == 8, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, bias) == 16, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, words) == 24, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, column) == 28, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, scale) == 32, "cmd_expansion");
_Static_assert(offsetof(cmd_expansion, unused) == 36, "cmd_expansion");
_Static_assert(sizeof(cmd_expansion) == 40, "cmd_expansion");

typedef struct cmd_update {
    uint64_t shrink;
    uint32_t panels;
    uint32_t unused;
    cmd_expansion expansions[3];
} cmd_update;
_Static_assert(offsetof(cmd_update, shrink) == 0, "cmd_update");
_Static_assert(offsetof(cmd_update, panels) == 8, "cmd_update");
_Static_assert(offsetof(cmd_update, unused) == 12, "cmd_update");
_Static_assert(offsetof(cmd_update, expansions) == 16, "cmd_update");
_Static_assert(sizeof(cmd_update) == 136, "cmd_update");

typedef struct cmd_chunk {
    uint64_t updates;
    uint32_t first_row;
    uint32_t row_count;
} cmd_chunk;
_Static_assert(offsetof(cmd_chunk, updates) == 0, "cmd_chunk");
_Static_assert(offsetof(cmd_chunk, first_row) == 8, "cmd_chunk");
_Static_assert(offsetof(cmd_chunk, row_count) == 12, "cmd_chunk");
_Static_assert(sizeof(cmd_chunk) == 16, "cmd_chunk");

typedef struct cmd_shrink {
    uint64_t chunks;
    uint64_t x;
    uint64_t shrunk;
    uint32_t update;
    uint32_t words;
    uint32_t x_stride;
    uint32_t shrunk_stride;
} cmd_shrink;
_Static_assert(offsetof(cmd_shrink, chunks) == 0, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, x) == 8, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, shrunk) == 16, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, update) == 24, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, words) == 28, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, x_stride) == 32, "cmd_shrink");
_Static_assert(offsetof(cmd_shrink, shrunk_stride) == 36, "cmd_shrink");
_Static_assert(sizeof(cmd_shrink) == 40, "cmd_shrink");

typedef struct cmd_expand {
    uint64_t chunks;
    uint64_t shrunk;
    uint64_t y;
    uint32_t update;
    uint32_t shrunk_stride;
    uint32_t y_stride;
    uint32_t columns[3];
    uint32_t outputs[3];
} cmd_expand;
_Static_assert(offsetof(cmd_expand, chunks) == 0, "cmd_expand");
_Static_assert(offsetof(cmd_expand, shrunk) == 8, "cmd_expand");
_Static_assert(offsetof(cmd_expand, y) == 16, "cmd_expand");
_Static_assert(offsetof(cmd_expand, update) == 24, "cmd_expand");
_Static_assert(offsetof(cmd_expand, shrunk_stride) == 28, "cmd_expand");
_Static_assert(offsetof(cmd_expand, y_stride) == 32, "cmd_expand");
_Static_assert(offsetof(cmd_expand, columns) == 36, "cmd_expand");
_Static_assert(offsetof(cmd_expand, outputs) == 48, "cmd_expand");
_Static_assert(sizeof(cmd_expand) == 64, "cmd_expand");

typedef struct cmd_product {
    uint64_t w;
    uint64_t x;
    uint64_t y;
    uint32_t rows;
    uint32_t words;
    uint32_t panels;
    uint32_t x_stride;
    uint32_t y_stride;
    uint32_t unused;
} cmd_product;
_Static_assert(offsetof(cmd_product, w) == 0, "cmd_product");
_Static_assert(offsetof(cmd_product, x) == 8, "cmd_product");
_Static_assert(offsetof(cmd_product, y) == 16, "cmd_product");
_Static_assert(offsetof(cmd_product, rows) == 24, "cmd_product");
_Static_assert(offsetof(cmd_product, words) == 28, "cmd_product");
_Static_assert(offsetof(cmd_product, panels) == 32, "cmd_product");
_Static_assert(offsetof(cmd_product, x_stride) == 36, "cmd_product");
_Static_assert(offsetof(cmd_product, y_stride) == 40, "cmd_product");
_Static_assert(offsetof(cmd_product, unused) == 44, "cmd_product");
_Static_assert(sizeof(cmd_product) == 48, "cmd_product");

typedef struct cmd_source {
    uint64_t table;
    uint32_t place;
    uint32_t unused;
} cmd_source;
_Static_assert(offsetof(cmd_source, table) == 0, "cmd_source");
_Static_assert(offsetof(cmd_source, place) == 8, "cmd_source");
_Static_assert(offsetof(cmd_source, unused) == 12, "cmd_source");
_Static_assert(sizeof(cmd_source) == 16, "cmd_source");

typedef struct cmd_change {
    uint64_t a;
    uint64_t b;
    uint64_t gain;
    uint32_t rank;
    float scale;
    uint32_t row;
    uint32_t b_stride;
} cmd_change;
_Static_assert(offsetof(cmd_change, a) == 0, "cmd_change");
_Static_assert(offsetof(cmd_change, b) == 8, "cmd_change");
_Static_assert(offsetof(cmd_change, gain) == 16, "cmd_change");
_Static_assert(offsetof(cmd_change, rank) == 24, "cmd_change");
_Static_assert(offsetof(cmd_change, scale) == 28, "cmd_change");
_Static_assert(offsetof(cmd_change, row) == 32, "cmd_change");
_Static_assert(offsetof(cmd_change, b_stride) == 36, "cmd_change");
_Static_assert(sizeof(cmd_change) == 40, "cmd_change");

typedef struct cmd_peak {
    float maximum;
    uint32_t index;
} cmd_peak;
_Static_assert(offsetof(cmd_peak, maximum) == 0, "cmd_peak");
_Static_assert(offsetof(cmd_peak, index) == 4, "cmd_peak");
_Static_assert(sizeof(cmd_peak) == 8, "cmd_peak");

typedef struct cmd_embed {
    uint64_t sources;
    uint64_t hidden;
    uint32_t n;
    uint32_t stride;
} cmd_embed;
_Static_assert(offsetof(cmd_embed, sources) == 0, "cmd_embed");
_Static_assert(offsetof(cmd_embed, hidden) == 8, "cmd_embed");
_Static_assert(offsetof(cmd_embed, n) == 16, "cmd_embed");
_Static_assert(offsetof(cmd_embed, stride) == 20, "cmd_embed");
_Static_assert(sizeof(cmd_embed) == 24, "cmd_embed");

typedef struct cmd_change_embedding {
    uint64_t changes;
    uint64_t hidden;
    uint32_t n;
    uint32_t stride;
} cmd_change_embedding;
_Static_assert(offsetof(cmd_change_embedding, changes) == 0, "cmd_change_embedding");
_Static_assert(offsetof(cmd_change_embedding, hidden) == 8, "cmd_change_embedding");
_Static_assert(offsetof(cmd_change_embedding, n) == 16, "cmd_change_embedding");
_Static_assert(offsetof(cmd_change_embedding, stride) == 20, "cmd_change_embedding");
_Static_assert(sizeof(cmd_change_embedding) == 24, "cmd_change_embedding");

typedef struct cmd_norm {
    uint64_t x;
    uint64_t delta;
    uint64_t weight;
    uint64_t own;
    uint64_t y;
    uint32_t n;
    float epsilon;
    uint32_t x_stride;
    uint32_t delta_stride;
    uint32_t y_stride;
} cmd_norm;
_Static_assert(offsetof(cmd_norm, x) == 0, "cmd_norm");
_Static_assert(offsetof(cmd_norm, delta) == 8, "cmd_norm");
_Static_assert(offsetof(cmd_norm, weight) == 16, "cmd_norm");
_Static_assert(offsetof(cmd_norm, own) == 24, "cmd_norm");
_Static_assert(offsetof(cmd_norm, y) == 32, "cmd_norm");
_Static_assert(offsetof(cmd_norm, n) == 40, "cmd_norm");
_Static_assert(offsetof(cmd_norm, epsilon) == 44, "cmd_norm");
_Static_assert(offsetof(cmd_norm, x_stride) == 48, "cmd_norm");
_Static_assert(offsetof(cmd_norm, delta_stride) == 52, "cmd_norm");
_Static_assert(offsetof(cmd_norm, y_stride) == 56, "cmd_norm");
_Static_assert(sizeof(cmd_norm) == 64, "cmd_norm");

typedef struct cmd_gated {
    uint64_t gate;
    uint64_t up;
    uint64_t y;
    uint32_t n;
    uint32_t x_stride;
    uint32_t y_stride;
    uint32_t unused;
} cmd_gated;
_Static_assert(offsetof(cmd_gated, gate) == 0, "cmd_gated");
_Static_assert(offsetof(cmd_gated, up) == 8, "cmd_gated");
_Static_assert(offsetof(cmd_gated, y) == 16, "cmd_gated");
_Static_assert(offsetof(cmd_gated, n) == 24, "cmd_gated");
_Static_assert(offsetof(cmd_gated, x_stride) == 28, "cmd_gated");
_Static_assert(offsetof(cmd_gated, y_stride) == 32, "cmd_gated");
_Static_assert(offsetof(cmd_gated, unused) == 36, "cmd_gated");
_Static_assert(sizeof(cmd_gated) == 40, "cmd_gated");

typedef struct cmd_add {
    uint64_t x;
    uint64_t y;
    uint32_t n;
    uint32_t x_stride;
    uint32_t y_stride;
    uint32_t unused;
} cmd_add;
_Static_assert(offsetof(cmd_add, x) == 0, "cmd_add");
_Static_assert(offsetof(cmd_add, y) == 8, "cmd_add");
_Static_assert(offsetof(cmd_add, n) == 16, "cmd_add");
_Static_assert(offsetof(cmd_add, x_stride) == 20, "cmd_add");
_Static_assert(offsetof(cmd_add, y_stride) == 24, "cmd_add");
_Static_assert(offsetof(cmd_add, unused) == 28, "cmd_add");
_Static_assert(sizeof(cmd_add) == 32, "cmd_add");

typedef struct cmd_gather {
    uint64_t from;
    uint64_t to;
    uint64_t rows;
    uint32_t words;
    uint32_t from_stride;
    uint32_t to_stride;
} cmd_gather;
_Static_assert(offsetof(cmd_gather, from) == 0, "cmd_gather");
_Static_assert(offsetof(cmd_gather, to) == 8, "cmd_gather");
_Static_assert(offsetof(cmd_gather, rows) == 16, "cmd_gather");
_Static_assert(offsetof(cmd_gather, words) == 24, "cmd_gather");
_Static_assert(offsetof(cmd_gather, from_stride) == 28, "cmd_gather");
_Static_assert(offsetof(cmd_gather, to_stride) == 32, "cmd_gather");
_Static_assert(sizeof(cmd_gather) == 40, "cmd_gather");

typedef struct cmd_scatter {
    uint64_t x;
    uint64_t y;
    uint64_t places;
    uint32_t n;
    uint32_t x_stride;
    uint32_t y_stride;
    uint32_t unused;
} cmd_scatter;
_Static_assert(offsetof(cmd_scatter, x) == 0, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, y) == 8, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, places) == 16, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, n) == 24, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, x_stride) == 28, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, y_stride) == 32, "cmd_scatter");
_Static_assert(offsetof(cmd_scatter, unused) == 36, "cmd_scatter");
_Static_assert(sizeof(cmd_scatter) == 40, "cmd_scatter");

typedef struct cmd_find_peaks {
    uint64_t x;
    uint64_t peaks;
    uint32_t n;
    uint32_t stride;
} cmd_find_peaks;
_Static_assert(offsetof(cmd_find_peaks, x) == 0, "cmd_find_peaks");
_Static_assert(offsetof(cmd_find_peaks, peaks) == 8, "cmd_find_peaks");
_Static_assert(offsetof(cmd_find_peaks, n) == 16, "cmd_find_peaks");
_Static_assert(offsetof(cmd_find_peaks, stride) == 20, "cmd_find_peaks");
_Static_assert(sizeof(cmd_find_peaks) == 24, "cmd_find_peaks");

typedef struct cmd_weigh {
    uint64_t x;
    uint64_t peaks;
    uint64_t inverses;
    uint64_t sums;
    uint32_t n;
    uint32_t stride;
    uint32_t sum_stride;
    uint32_t unused;
} cmd_weigh;
_Static_assert(offsetof(cmd_weigh, x) == 0, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, peaks) == 8, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, inverses) == 16, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, sums) == 24, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, n) == 32, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, stride) == 36, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, sum_stride) == 40, "cmd_weigh");
_Static_assert(offsetof(cmd_weigh, unused) == 44, "cmd_weigh");
_Static_assert(sizeof(cmd_weigh) == 48, "cmd_weigh");

typedef struct cmd_product_tile {
    uint64_t w;
    uint64_t x;
    uint64_t y;
    uint32_t rows;
    uint32_t words;
    uint32_t panels;
    uint32_t x_stride;
    uint32_t y_stride;
    uint32_t unused;
} cmd_product_tile;
_Static_assert(offsetof(cmd_product_tile, w) == 0, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, x) == 8, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, y) == 16, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, rows) == 24, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, words) == 28, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, panels) == 32, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, x_stride) == 36, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, y_stride) == 40, "cmd_product_tile");
_Static_assert(offsetof(cmd_product_tile, unused) == 44, "cmd_product_tile");
_Static_assert(sizeof(cmd_product_tile) == 48, "cmd_product_tile");

/// The kernels, in the order of `cmd_kernels`.
typedef enum cmd_kernel {
    CMD_POSITION,
    CMD_ATTEND,
    CMD_LOW_RANK_SHRINK,
    CMD_LOW_RANK_EXPAND,
    CMD_PRODUCT,
    CMD_EMBED,
    CMD_CHANGE_EMBEDDING,
    CMD_RMS_NORM,
    CMD_GATED,
    CMD_ADD,
    CMD_GATHER,
    CMD_SCATTER,
    CMD_FIND_PEAKS,
    CMD_WEIGH,
    CMD_PRODUCT_TILE_SHARED,
    CMD_PRODUCT_TILE_HALF,
    CMD_PRODUCT_TILE_BF16,
    CMD_KERNEL_COUNT,
} cmd_kernel;

#endif
