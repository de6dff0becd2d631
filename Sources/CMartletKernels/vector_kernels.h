// The vector kernels, written once over 16-lane vectors and compiled by each instruction set's file,
// which defines before including this:
//   SET_NAME, SET_TABLE    the table's name and symbol
//   TILE_ROWS TILE_PANELS  the register tile: rows * panels accumulators, plus panels, plus one
//   FEW_ROWS FEW_PANELS    the wider tile for few rows, where streaming the weights is the work
//   dot_pair_step(acc, x, w)  bf16 pairs in 32-bit lanes: acc + x1 * w1 + x0 * w0, in that order
// Tiles index their accumulators by constants only, once unrolled, so they live in registers.
#include "internal.h"

#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only

#define WIDEST (TILE_PANELS > FEW_PANELS ? TILE_PANELS : FEW_PANELS)
#define UNROLL _Pragma("clang loop unroll(full)")

CMK_INLINE size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
CMK_INLINE v16f splat(float x) { return (v16f){} + x; }
CMK_INLINE v16f load(const float *p) { return *(const v16f_unaligned *)p; }
CMK_INLINE v16u load_units(const uint32_t *p) { return *(const v16u_unaligned *)p; }
CMK_INLINE void store(float *p, v16f x) { *(v16f_unaligned *)p = x; }
CMK_INLINE v16f fused(v16f a, v16f b, v16f c) { return __builtin_elementwise_fma(a, b, c); }
CMK_INLINE v16f choose(v16i mask, v16f a, v16f b) {
    return (v16f)(((v16i)a & mask) | ((v16i)b & ~mask));
}

/// The first n of 16 lanes; the others are `fill`.
CMK_INLINE v16f load_part(const float *p, size_t n, float fill) {
    v16f x = splat(fill);
    memcpy(&x, p, n * sizeof(float));
    return x;
}

CMK_INLINE v16f load_up_to(const float *p, size_t n, float fill) {
    return n >= CMK_LANES ? load(p) : load_part(p, n, fill);
}

CMK_INLINE v16h round_to_bf16(v16f x) {
    v16u u = (v16u)x;
    v16u rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
    v16u quieted = (u >> 16) | 0x40;
    v16u is_nan = (v16u)((u & 0x7fffffff) > 0x7f800000);
    return __builtin_convertvector((rounded & ~is_nan) | (quieted & is_nan), v16h);
}

/// Stores up to 16 values as f32 or bf16 at element `at` of y.
CMK_INLINE void store_up_to(bool bf16, void *y, size_t at, v16f x, size_t n) {
    n = smaller(n, CMK_LANES);
    if (bf16) {
        v16h h = round_to_bf16(x);
        if (n == CMK_LANES) memcpy((uint16_t *)y + at, &h, sizeof h);
        else memcpy((uint16_t *)y + at, &h, n * sizeof(uint16_t));
    } else if (n == CMK_LANES) {
        store((float *)y + at, x);
    } else {
        memcpy((float *)y + at, &x, n * sizeof(float));
    }
}

CMK_INLINE float fold(v16f x) {
    float lanes[CMK_LANES];
    memcpy(lanes, &x, sizeof lanes);
    return cmk_fold(lanes);
}

CMK_INLINE v16f exponential(v16f x) {
    v16f clamped = choose(x > CMK_EXP_MAX, splat(CMK_EXP_MAX), x);
    v16f shifted = fused(clamped, splat(CMK_LOG2E), splat(CMK_ROUND_MAGIC));
    v16f n = shifted - CMK_ROUND_MAGIC;
    v16f r = fused(n, splat(-CMK_LN2_HIGH), clamped);
    r = fused(n, splat(-CMK_LN2_LOW), r);
    v16f p = splat(CMK_EXP_C0);
    p = fused(p, r, splat(CMK_EXP_C1));
    p = fused(p, r, splat(CMK_EXP_C2));
    p = fused(p, r, splat(CMK_EXP_C3));
    p = fused(p, r, splat(CMK_EXP_C4));
    p = fused(p, r, splat(CMK_EXP_C5));
    p = fused(p, r * r, r) + 1.0f;
    v16u exponent = (v16u)shifted - cmk_bits(CMK_ROUND_MAGIC);
    v16f result = (v16f)((v16u)p + (exponent << 23));
    return choose(x < CMK_EXP_MIN, splat(0), result);
}

// MARK: Matrix products

/// What a product's inputs and panels hold. A unit is 32 bits of a panel's lane: one f32 input, or
/// a pair of bf16 ones.
typedef enum kind { F32, BF16, MIXED } kind;

/// f32 inputs to a unit of activations.
CMK_INLINE size_t values_per_unit(kind kind) { return kind == MIXED ? 2 : 1; }

typedef struct tile {
    v16f acc[TILE_ROWS * TILE_PANELS];
} tile;

/// Weights that are wanted soon: `lines` cache lines from `next` on for each step.
typedef struct prefetch {
    const char *next;
    int lines;
} prefetch;

/// Adds rows × panels products over `units` steps to the tile.
CMK_INLINE void tile_add(
    kind kind, int rows, int panels, tile *t, const uint32_t *x, size_t x_stride,
    const uint32_t *const *w, size_t units, prefetch ahead) {
    for (size_t k = 0; k < units; k++) {
        for (int i = 0; i < ahead.lines; i++, ahead.next += CMK_LANES * sizeof(uint32_t))
            __builtin_prefetch(ahead.next, 0, 2);
        v16u weights[WIDEST], odd[WIDEST];
        UNROLL for (int p = 0; p < panels; p++) {
            weights[p] = load_units(w[p] + k * CMK_LANES);
            if (kind == MIXED) {
                odd[p] = weights[p] & 0xffff0000u;
                weights[p] = weights[p] << 16;
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const uint32_t *input = x + (size_t)r * x_stride + k * values_per_unit(kind);
            UNROLL for (int p = 0; p < panels; p++) {
                v16f *acc = &t->acc[r * panels + p];
                if (kind == MIXED) *acc = fused(splat(cmk_float(input[1])), (v16f)odd[p], *acc);
                *acc = kind == BF16 ? dot_pair_step(*acc, (v16u){} + input[0], weights[p])
                                    : fused(splat(cmk_float(input[0])), (v16f)weights[p], *acc);
            }
        }
    }
}

/// A rectangle of a product: y rows r, panel p at y + r * y_stride + p * 16.
typedef struct product {
    const uint32_t *x;
    size_t x_stride;
    const uint32_t *const *w;
    size_t units;
    float *y;
    size_t y_stride;
    bool accumulate;
    prefetch ahead;
} product;

CMK_INLINE void tile_product(kind kind, int rows, int panels, const product *job) {
    tile t;
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            t.acc[r * panels + p] = job->accumulate
                ? load(job->y + (size_t)r * job->y_stride + p * CMK_LANES) : splat(0);
    tile_add(kind, rows, panels, &t, job->x, job->x_stride, job->w, job->units, job->ahead);
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            store(job->y + (size_t)r * job->y_stride + p * CMK_LANES, t.acc[r * panels + p]);
}

// A tile is compiled for every number of rows; `CASES` picks one.
#define CASE(n, call) case n: { enum { R = n }; call; } break;
#define CASES_4(call) CASE(1, call) CASE(2, call) CASE(3, call) CASE(4, call)
#define CASES_6(call) CASES_4(call) CASE(5, call) CASE(6, call)
#define CASES_8(call) CASES_6(call) CASE(7, call) CASE(8, call)
#define CASES_(n, call) CASES_##n(call)
#define CASES(n, call) CASES_(n, call)

CMK_INLINE void products(kind kind, size_t rows, size_t panels, const product *job) {
    if (panels == FEW_PANELS && FEW_PANELS > TILE_PANELS) {
        switch (rows) { CASES(FEW_ROWS, tile_product(kind, R, FEW_PANELS, job)) }
    } else if (panels == TILE_PANELS) {
        switch (rows) { CASES(TILE_ROWS, tile_product(kind, R, TILE_PANELS, job)) }
    } else {
        switch (rows) { CASES(TILE_ROWS, tile_product(kind, R, 1, job)) }
    }
}

/// Tiles of equal height: 12 rows are two of 6, not one of 8 and one of 4.
CMK_INLINE size_t tile_height(size_t rows) {
    size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    return (rows + tiles - 1) / tiles;
}

CMK_INLINE void matmul(
    kind kind, const uint32_t *x, size_t x_stride, size_t rows, const uint32_t *w, size_t units,
    size_t panels, float *y, size_t y_stride, bool accumulate) {
    if (rows == 0) return;
    size_t height = tile_height(rows), widest = rows <= FEW_ROWS ? FEW_PANELS : TILE_PANELS;
    size_t tiles = (rows + height - 1) / height;
    for (size_t p = 0, width; p < panels; p += width) {
        size_t left = panels - p;
        width = left >= widest ? widest : left >= TILE_PANELS ? TILE_PANELS : 1;
        const uint32_t *panel[FEW_PANELS];
        for (size_t i = 0; i < width; i++) panel[i] = w + (p + i) * units * CMK_LANES;
        // While one group of panels meets the tiles of rows, the next one comes from memory, each
        // tile asking for its share. The last group asks for what lies behind: most often the
        // caller's next panels, and a prefetch never faults.
        const char *next = (const char *)(w + (p + width) * units * CMK_LANES);
        size_t lines = (width + tiles - 1) / tiles, asked = 0;
        for (size_t r = 0; r < rows; r += height, asked += lines)
            products(kind, smaller(height, rows - r), width, &(product){
                .x = x + r * x_stride, .x_stride = x_stride, .w = panel, .units = units,
                .y = y + r * y_stride + p * CMK_LANES, .y_stride = y_stride,
                .accumulate = accumulate,
                .ahead = {
                    .next = next + asked * units * CMK_LANES * sizeof(uint32_t),
                    .lines = asked < width ? (int)lines : 0}});
    }
}

static void matmul_f32(
    const float *x, size_t x_stride, size_t rows, const float *w, size_t in, size_t panels,
    float *y, size_t y_stride, bool accumulate) {
    matmul(
        F32, (const uint32_t *)x, x_stride, rows, (const uint32_t *)w, in, panels, y, y_stride,
        accumulate);
}

static void matmul_bf16(
    const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *w, size_t in, size_t panels,
    float *y, size_t y_stride, bool accumulate) {
    assert(x_stride % 2 == 0 && in % 2 == 0);
    matmul(
        BF16, (const uint32_t *)x, x_stride / 2, rows, (const uint32_t *)w, in / 2, panels, y,
        y_stride, accumulate);
}

static void matmul_mixed(
    const float *x, size_t x_stride, size_t rows, const uint16_t *w, size_t in, size_t panels,
    float *y, size_t y_stride, bool accumulate) {
    assert(in % 2 == 0);
    matmul(
        MIXED, (const uint32_t *)x, x_stride, rows, (const uint32_t *)w, in / 2, panels, y,
        y_stride, accumulate);
}

// MARK: Row by row

CMK_INLINE void rms_norm(
    bool bf16, const float *x, const float *weight, float epsilon, size_t n, void *y) {
    v16f lanes = splat(0);
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(x + i, n - i, 0);
        lanes = fused(value, value, lanes);
    }
    float scale = 1.0f / sqrtf(fold(lanes) / (float)n + epsilon);
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(x + i, n - i, 0) * scale;
        store_up_to(bf16, y, i, value * load_up_to(weight + i, n - i, 0), n - i);
    }
}

static void rms_norm_f32(const float *x, const float *weight, float epsilon, size_t n, float *y) {
    rms_norm(false, x, weight, epsilon, n, y);
}

static void rms_norm_bf16(
    const float *x, const float *weight, float epsilon, size_t n, uint16_t *y) {
    rms_norm(true, x, weight, epsilon, n, y);
}

CMK_INLINE void silu_mul(bool bf16, const float *gate, const float *up, size_t n, void *y) {
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f g = load_up_to(gate + i, n - i, 0);
        v16f value = g / (1.0f + exponential(-g)) * load_up_to(up + i, n - i, 0);
        store_up_to(bf16, y, i, value, n - i);
    }
}

static void silu_mul_f32(const float *gate, const float *up, size_t n, float *y) {
    silu_mul(false, gate, up, n, y);
}

static void silu_mul_bf16(const float *gate, const float *up, size_t n, uint16_t *y) {
    silu_mul(true, gate, up, n, y);
}

static void scale_f32(const float *x, float scale, size_t n, float *y) {
    for (size_t i = 0; i < n; i += CMK_LANES)
        store_up_to(false, y, i, load_up_to(x + i, n - i, 0) * scale, n - i);
}

static void scale_bf16(const float *x, float scale, size_t n, uint16_t *y) {
    for (size_t i = 0; i < n; i += CMK_LANES)
        store_up_to(true, y, i, load_up_to(x + i, n - i, 0) * scale, n - i);
}

static void add(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

static void multiply(const float *x, size_t n, float *y) {
    for (size_t i = 0; i < n; i++) y[i] *= x[i];
}

static void rope(
    float *x, size_t heads, size_t head_dim, const float *cosines, const float *sines) {
    size_t half = head_dim / 2;
    for (size_t head = 0; head < heads; head++, x += head_dim)
        for (size_t i = 0; i < half; i += CMK_LANES) {
            size_t n = half - i;
            v16f a = load_up_to(x + i, n, 0), b = load_up_to(x + half + i, n, 0);
            v16f c = load_up_to(cosines + i, n, 0), s = load_up_to(sines + i, n, 0);
            store_up_to(false, x, i, a * c - b * s, n);
            store_up_to(false, x, half + i, b * c + a * s, n);
        }
}

// MARK: Attention

CMK_INLINE v16i lane_numbers(size_t from) {
    v16i numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return numbers + (int32_t)from;
}

/// See softmax in scalar_kernels.c. With `bf16` the weights are left as bf16 in the first half.
CMK_INLINE float softmax(
    bool bf16, float *scores, size_t count, size_t begin, size_t end, float scale) {
    v16f maxima = splat(-INFINITY);
    for (size_t i = begin / CMK_LANES * CMK_LANES; i < end; i += CMK_LANES) {
        v16i lane = lane_numbers(i);
        v16i seen = (lane >= (int32_t)begin) & (lane < (int32_t)end);
        v16f value = choose(seen, load(scores + i) * scale, splat(-INFINITY));
        store(scores + i, value);
        maxima = choose(value > maxima, value, maxima);
    }
    float maximum = maxima[0];
    for (int i = 1; i < CMK_LANES; i++) maximum = maxima[i] > maximum ? maxima[i] : maximum;
    v16f lanes = splat(0);
    for (size_t i = 0; i < count; i += CMK_LANES) {
        v16i lane = lane_numbers(i);
        v16i seen = (lane >= (int32_t)begin) & (lane < (int32_t)end);
        v16f weight = choose(seen, exponential(load(scores + i) - maximum), splat(0));
        if (bf16) {
            v16h rounded = round_to_bf16(weight);
            memcpy((uint16_t *)scores + i, &rounded, sizeof rounded);
            weight = (v16f)(__builtin_convertvector(rounded, v16u) << 16);
        } else {
            store(scores + i, weight);
        }
        lanes += weight;
    }
    return fold(lanes);
}

/// weights (rows, positions) · values for `panels` panels of dimensions, block after block.
CMK_INLINE void weigh_values(
    bool bf16, int rows, int panels, const cmk_attention *job, const uint32_t *weights,
    size_t weight_stride, size_t first_block, size_t width, size_t panel, float *result,
    size_t result_stride) {
    tile t;
    UNROLL for (int i = 0; i < rows * panels; i++) t.acc[i] = splat(0);
    size_t per_block = bf16 ? CMK_BLOCK_POSITIONS / 2 : CMK_BLOCK_POSITIONS;
    size_t units = bf16 ? (width + 1) / 2 : width, stride = bf16 ? job->value_stride / 2 : job->value_stride;
    for (size_t b = 0; b * per_block < units; b++) {
        const uint32_t *values =
            (const uint32_t *)job->values + (size_t)job->blocks[first_block + b] * stride;
        const uint32_t *w[TILE_PANELS];
        UNROLL for (int p = 0; p < panels; p++)
            w[p] = values + (panel + (size_t)p) * per_block * CMK_LANES;
        tile_add(
            bf16 ? BF16 : F32, rows, panels, &t, weights + b * per_block, weight_stride, w,
            smaller(per_block, units - b * per_block), (prefetch){0});
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            store(result + (size_t)r * result_stride + p * CMK_LANES, t.acc[r * panels + p]);
}

CMK_INLINE void attention(bool bf16, const cmk_attention *job) {
    size_t d = job->head_dim, padded = cmk_round_up(d, CMK_LANES);
    size_t queries = cmk_attention_queries(job), first = cmk_attention_first_block(job);
    size_t width = cmk_attention_end(job) - first * CMK_BLOCK_POSITIONS;
    size_t count = cmk_round_up(width, CMK_BLOCK_POSITIONS), blocks = count / CMK_BLOCK_POSITIONS;
    size_t key_units = bf16 ? (d + 1) / 2 : d, key_stride = bf16 ? job->key_stride / 2 : job->key_stride;
    float *scores = job->scratch, *packed = scores + queries * count, *sums = packed + queries * padded;

    for (size_t i = 0; i < queries; i++) {
        const float *q = job->q + i / job->group * job->q_stride + i % job->group * d;
        float *query = packed + i * padded;
        memset(query, 0, padded * sizeof(float));
        for (size_t j = 0; j < d; j += CMK_LANES)
            store_up_to(bf16, query, j, load_up_to(q + j, d - j, 0), d - j);
    }

    size_t height = tile_height(queries);
    for (size_t b = 0, width_blocks; b < blocks; b += width_blocks) {
        width_blocks = blocks - b >= TILE_PANELS ? TILE_PANELS : 1;
        const uint32_t *keys[FEW_PANELS];
        for (size_t i = 0; i < width_blocks; i++)
            keys[i] = (const uint32_t *)job->keys + (size_t)job->blocks[first + b + i] * key_stride;
        for (size_t i = 0; i < queries; i += height)
            products(bf16 ? BF16 : F32, smaller(height, queries - i), width_blocks, &(product){
                .x = (const uint32_t *)(packed + i * padded), .x_stride = padded, .w = keys,
                .units = key_units, .y = scores + i * count + b * CMK_BLOCK_POSITIONS,
                .y_stride = count, .accumulate = false, .ahead = {0}});
    }

    for (size_t i = 0; i < queries; i++) {
        size_t position = job->first_position + i / job->group, base = first * CMK_BLOCK_POSITIONS;
        size_t begin = job->window != 0 && position + 1 > job->window
            ? position + 1 - job->window - base : 0;
        sums[i] = softmax(bf16, scores + i * count, count, begin, position + 1 - base, job->scale);
    }

    float *result = packed;  // the queries are spent
    size_t panels = padded / CMK_LANES;
    for (size_t p = 0, width_panels; p < panels; p += width_panels) {
        width_panels = panels - p >= TILE_PANELS ? TILE_PANELS : 1;
        for (size_t i = 0; i < queries; i += height) {
            const uint32_t *weights = (const uint32_t *)(scores + i * count);
            float *y = result + i * padded + p * CMK_LANES;
            size_t rows = smaller(height, queries - i);
            if (width_panels == TILE_PANELS)
                switch (rows) { CASES(TILE_ROWS, weigh_values(bf16, R, TILE_PANELS, job, weights, count, first, width, p, y, padded)) }
            else
                switch (rows) { CASES(TILE_ROWS, weigh_values(bf16, R, 1, job, weights, count, first, width, p, y, padded)) }
        }
    }

    for (size_t i = 0; i < queries; i++) {
        size_t target = i / job->group * job->out_stride + i % job->group * d;
        float inverse = 1.0f / sums[i];
        for (size_t j = 0; j < d; j += CMK_LANES)
            store_up_to(bf16, job->out, target + j, load(result + i * padded + j) * inverse, d - j);
    }
}

static void attention_f32(const cmk_attention *job) { attention(false, job); }
static void attention_bf16(const cmk_attention *job) { attention(true, job); }

// MARK: Logits

static float exp_scaled(
    const float *x, float maximum, float inverse_temperature, size_t n, float *y) {
    v16f lanes = splat(0);
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(x + i, n - i, -INFINITY);
        value = exponential((value - maximum) * inverse_temperature);
        store_up_to(false, y, i, value, n - i);
        lanes += value;
    }
    return fold(lanes);
}

static cmk_row_summary summarize(const float *logits, size_t n) {
    v16f maxima = splat(-INFINITY);
    v16i invalid = {0};
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(logits + i, n - i, -INFINITY);
        invalid |= value != value;
        maxima = choose(value > maxima, value, maxima);
    }
    cmk_row_summary summary = {.maximum = maxima[0], .argmax = 0};
    int any_invalid = invalid[0];
    for (int i = 1; i < CMK_LANES; i++) {
        summary.maximum = maxima[i] > summary.maximum ? maxima[i] : summary.maximum;
        any_invalid |= invalid[i];
    }
    while (summary.argmax + 1 < n && logits[summary.argmax] != summary.maximum) summary.argmax++;
    if (any_invalid) summary.maximum = NAN;
    v16f lanes = splat(0);
    for (size_t i = 0; i < n; i += CMK_LANES)
        lanes += exponential(load_up_to(logits + i, n - i, -INFINITY) - summary.maximum);
    summary.log_sum_exp = summary.maximum + logf(fold(lanes));
    return summary;
}

// MARK: Probes

CMK_INLINE float probe(bool bf16, size_t rounds) {
    v16f acc[CMK_PROBE_STEPS];
    v16f x = splat(0.5f), w = splat(0.25f);
    UNROLL for (int i = 0; i < CMK_PROBE_STEPS; i++) acc[i] = splat((float)i);
    for (size_t round = 0; round < rounds; round++) {
        UNROLL for (int i = 0; i < CMK_PROBE_STEPS; i++) {
            acc[i] = bf16 ? dot_pair_step(acc[i], (v16u)x, (v16u)w) : fused(x, w, acc[i]);
        }
    }
    v16f sum = splat(0);
    UNROLL for (int i = 0; i < CMK_PROBE_STEPS; i++) sum += acc[i];
    return fold(sum);
}

static float probe_f32(size_t rounds) { return probe(false, rounds); }
static float probe_bf16(size_t rounds) { return probe(true, rounds); }

static float probe_read(const float *x, size_t n) {
    v16f a = splat(0), b = a, c = a, d = a;
    for (size_t i = 0; i < n; i += 4 * CMK_LANES) {
        a += load(x + i);
        b += load(x + i + CMK_LANES);
        c += load(x + i + 2 * CMK_LANES);
        d += load(x + i + 3 * CMK_LANES);
    }
    return fold(a + b + c + d);
}

const cmk_kernels SET_TABLE = {
    .name = SET_NAME,
    .matmul_f32 = matmul_f32,
    .matmul_bf16 = matmul_bf16,
    .matmul_mixed = matmul_mixed,
    .rms_norm_f32 = rms_norm_f32,
    .rms_norm_bf16 = rms_norm_bf16,
    .silu_mul_f32 = silu_mul_f32,
    .silu_mul_bf16 = silu_mul_bf16,
    .scale_f32 = scale_f32,
    .scale_bf16 = scale_bf16,
    .add = add,
    .multiply = multiply,
    .rope = rope,
    .attention_f32 = attention_f32,
    .attention_bf16 = attention_bf16,
    .summarize = summarize,
    .exp_scaled = exp_scaled,
    .probe_f32 = probe_f32,
    .probe_bf16 = probe_bf16,
    .probe_read = probe_read,
};
