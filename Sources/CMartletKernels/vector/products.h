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
CMK_INLINE size_t tile_height(size_t rows) {
    size_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    return (rows + tiles - 1) / tiles;
}

/// Bytes that memory delivers to a core while it waits for the first of them, and then some.
enum { FAR = 4096 };

/// What to fetch while `width` panels from panel p on are multiplied: the next ones, or `after`. Small
/// groups ask further ahead: memory takes its time.
CMK_INLINE const char *upcoming(
    const cmk_product *job, size_t p, size_t width, size_t panel_bytes, const void *after) {
    size_t ahead = (p + width) * panel_bytes + (width * panel_bytes < FAR ? FAR : 0);
    size_t end = job->panels * panel_bytes;
    return ahead < end ? (const char *)job->w + ahead : (const char *)after + (ahead - end);
}

/// `after` is what the caller multiplies next.
CMK_INLINE void matmul_one(cmk_kind kind, const cmk_product *job, const void *after) {
    if (job->rows == 0) return;
    assert(kind == CMK_F32 || job->in % 2 == 0);
    size_t rows = job->rows, units = kind == CMK_F32 ? job->in : job->in / 2;
    size_t x_stride = kind == CMK_BF16 ? job->x_stride / 2 : job->x_stride;
    size_t height = tile_height(rows), widest = rows <= FEW_ROWS ? FEW_PANELS : TILE_PANELS;
    size_t tiles = (rows + height - 1) / height;
    const uint32_t *w = job->w;
    size_t panel_bytes = units * CMK_LANES * sizeof(uint32_t);
    for (size_t p = 0, width; p < job->panels; p += width) {
        size_t left = job->panels - p;
        width = left >= widest ? widest : left >= TILE_PANELS ? TILE_PANELS : 1;
        const uint32_t *panel[FEW_PANELS];
        for (size_t i = 0; i < width; i++) panel[i] = w + (p + i) * units * CMK_LANES;
        // While one group of panels meets the tiles of rows, the next one comes from memory, each
        // tile asking for its share.
        const char *next = upcoming(job, p, width, panel_bytes, after);
        size_t lines = (width + tiles - 1) / tiles, asked = 0;
        for (size_t r = 0; r < rows; r += height, asked += lines)
            products(kind, smaller(height, rows - r), width, &(product){
                .x = (const uint32_t *)job->x + r * x_stride, .x_stride = x_stride, .w = panel,
                .units = units, .y = job->y + r * job->y_stride + p * CMK_LANES,
                .y_stride = job->y_stride, .accumulate = job->accumulate,
                .ahead = {
                    .next = next + asked * panel_bytes,
                    .lines = asked < width ? (int)lines : 0}});
    }
}
