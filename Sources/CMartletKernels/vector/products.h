// Matrix products in register tiles. Part of vector_kernels.h.

// A unit is 32 bits of a panel's lane: one f32 input, or a pair of bf16 ones.

/// f32 inputs to a unit of activations.
CMK_INLINE size_t values_per_unit(cmk_kind kind) { return kind == CMK_MIXED ? 2 : 1; }

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
    cmk_kind kind, int rows, int panels, tile *t, const uint32_t *x, size_t x_stride,
    const uint32_t *const *w, size_t units, prefetch ahead) {
    for (size_t k = 0; k < units; k++) {
        for (int i = 0; i < ahead.lines; i++, ahead.next += CMK_LANES * sizeof(uint32_t))
            __builtin_prefetch(ahead.next, 0, 2);
        v16u weights[WIDEST], odd[WIDEST];
        UNROLL for (int p = 0; p < panels; p++) {
            weights[p] = load_units(w[p] + k * CMK_LANES);
            if (kind == CMK_MIXED) {
                odd[p] = weights[p] & 0xffff0000u;
                weights[p] = weights[p] << 16;
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            const uint32_t *input = x + (size_t)r * x_stride + k * values_per_unit(kind);
            UNROLL for (int p = 0; p < panels; p++) {
                v16f *acc = &t->acc[r * panels + p];
                if (kind == CMK_MIXED) *acc = fused(splat(cmk_float(input[1])), (v16f)odd[p], *acc);
                *acc = kind == CMK_BF16 ? dot_pair_step(*acc, (v16u){} + input[0], weights[p])
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

CMK_INLINE void tile_product(cmk_kind kind, int rows, int panels, const product *job) {
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
#define CASES_2(call) CASE(1, call) CASE(2, call)
#define CASES_4(call) CASES_2(call) CASE(3, call) CASE(4, call)
#define CASES_6(call) CASES_4(call) CASE(5, call) CASE(6, call)
#define CASES_8(call) CASES_6(call) CASE(7, call) CASE(8, call)
#define CASES_(n, call) CASES_##n(call)
#define CASES(n, call) CASES_(n, call)

CMK_INLINE void products(cmk_kind kind, size_t rows, size_t panels, const product *job) {
    if (panels == FEW_PANELS && FEW_PANELS > TILE_PANELS) {
        switch (rows) { CASES(FEW_ROWS, tile_product(kind, R, FEW_PANELS, job)) }
    } else if (panels == TILE_PANELS) {
        switch (rows) { CASES(TILE_ROWS, tile_product(kind, R, TILE_PANELS, job)) }
    } else {
        switch (rows) { CASES(TILE_ROWS, tile_product(kind, R, 1, job)) }
    }
}

/// Tiles of equal height: 12 rows are two of 6, not one of 8 and one of 4.
CMK_INLINE size_t tile_height(cmk_kind kind, size_t rows) {
    size_t most = kind == CMK_F32 ? TILE_ROWS : PAIR_ROWS, tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}

/// Bytes that memory delivers to a core while it waits for the first of them, and then some.
enum { FAR = 4096 };

/// The weights of products that follow each other, as one stream, some way ahead of what is being
/// multiplied: products may be smaller than that way. Behind the last one comes what the caller
/// multiplies next.
typedef struct stream {
    const cmk_product *job, *end;
    size_t panel_bytes, panel;
} stream;

CMK_INLINE void stream_enter(stream *s, cmk_kind kind, const cmk_product *job) {
    s->job = job;
    s->panel = 0;
    if (job < s->end) s->panel_bytes = cmk_panel_bytes(kind, job->in);
}

/// Goes on by about so many bytes.
CMK_INLINE void stream_skip(stream *s, cmk_kind kind, size_t bytes) {
    while (bytes > 0 && s->job < s->end) {
        size_t left = (s->job->panels - s->panel) * s->panel_bytes;
        if (bytes < left) {
            s->panel += (bytes + s->panel_bytes - 1) / s->panel_bytes;
            return;
        }
        bytes -= left;
        stream_enter(s, kind, s->job + 1);
    }
    // Behind the last product a panel counts as one of the last one's.
    if (bytes > 0) s->panel += (bytes + s->panel_bytes - 1) / s->panel_bytes;
}

/// Where the next `width` panels begin, and how many of them are there.
CMK_INLINE const char *stream_next(stream *s, cmk_kind kind, size_t width, size_t *there) {
    *there = width;
    if (s->job < s->end && s->panel == s->job->panels) stream_enter(s, kind, s->job + 1);
    if (s->job == s->end) {
        const cmk_product *last = s->end - 1;
        // A prefetch never faults, wherever it points.
        const char *after = last->next != NULL
            ? last->next : (const char *)last->w + last->panels * s->panel_bytes;
        s->panel += width;
        return after + (s->panel - width) * s->panel_bytes;
    }
    size_t left = s->job->panels - s->panel;
    if (left < width) *there = left;
    s->panel += *there;
    return (const char *)s->job->w + (s->panel - *there) * s->panel_bytes;
}

CMK_INLINE void matmul_one(cmk_kind kind, const cmk_product *job, stream *ahead) {
    if (job->rows == 0) return;
    assert(kind == CMK_F32 || job->in % 2 == 0);
    size_t rows = job->rows, units = kind == CMK_F32 ? job->in : job->in / 2;
    size_t x_stride = kind == CMK_BF16 ? job->x_stride / 2 : job->x_stride;
    size_t height = tile_height(kind, rows), widest = rows <= FEW_ROWS ? FEW_PANELS : TILE_PANELS;
    size_t tiles = (rows + height - 1) / height;
    const uint32_t *w = job->w;
    for (size_t p = 0, width; p < job->panels; p += width) {
        size_t left = job->panels - p;
        width = left >= widest ? widest : left >= TILE_PANELS ? TILE_PANELS : 1;
        const uint32_t *panel[FEW_PANELS];
        for (size_t i = 0; i < width; i++) panel[i] = w + (p + i) * units * CMK_LANES;
        // While one group of panels meets the tiles of rows, the next one comes from memory, each
        // tile asking for its share.
        size_t there;
        const char *next = stream_next(ahead, kind, width, &there);
        size_t lines = (there + tiles - 1) / tiles, asked = 0;
        for (size_t r = 0; r < rows; r += height, asked += lines)
            products(kind, smaller(height, rows - r), width, &(product){
                .x = (const uint32_t *)job->x + r * x_stride, .x_stride = x_stride, .w = panel,
                .units = units, .y = job->y + r * job->y_stride + p * CMK_LANES,
                .y_stride = job->y_stride, .accumulate = job->accumulate,
                .ahead = {
                    .next = next + asked * ahead->panel_bytes,
                    .lines = asked < there ? (int)lines : 0}});
    }
}
