// Products of quantized rows with quantized weights, and the products' entry. Part of
// vector_kernels.h.

enum { BLOCK_LINES = CMK_BLOCK / 4 };

typedef _Float16 v16half __attribute__((vector_size(32), aligned(2)));

#ifndef HAS_NIBBLE_STEP
CMK_INLINE v16i dot_nibble_step(v16i acc, v16u x, v16u w) { return dot_quad_step(acc, x, w); }
CMK_INLINE v16i nibble_sums(v16i acc) { return acc; }
#endif

CMK_INLINE v16i splat_integer(int32_t x) { return (v16i){} + x; }

/// Adds the products of one line of weights, `j` of block `b` of a superblock.
CMK_INLINE void line_quantized(
    cmk_kind kind, int rows, int panels, const cmk_product *job, const uint8_t *const *superblocks,
    const char *values, int b, int j, v16i *acc) {
    v16u weights[TILE_PANELS];
    UNROLL for (int p = 0; p < panels; p++) {
        const uint8_t *line = superblocks[p] + (kind == CMK_Q8 ? b * BLOCK_LINES + j : j) * CMK_LINE;
        weights[p] = load_units((const uint32_t *)line);
        if (kind == CMK_Q4) weights[p] = weights[p] >> (4 * b) & 0x0f0f0f0fu;
    }
    UNROLL for (int r = 0; r < rows; r++) {
        uint32_t quad;
        memcpy(&quad, values + (size_t)r * job->x_stride + j * 4, sizeof quad);
        UNROLL for (int p = 0; p < panels; p++)
            acc[r * panels + p] = kind == CMK_Q4
                ? dot_nibble_step(acc[r * panels + p], (v16u){} + quad, weights[p])
                : dot_quad_step(acc[r * panels + p], (v16u){} + quad, weights[p]);
    }
}

/// Adds the products of one block, `b` of its superblock and `block` of the row, to the sums. Of the
/// superblock's integers there are `lines`.
CMK_INLINE void block_quantized(
    cmk_kind kind, int rows, int panels, const cmk_product *job, const uint8_t *const *superblocks,
    size_t lines, const char *x, size_t block, int b, v16f *sums) {
    const char *values = (const char *)cmk_row_values(x, job->in) + block * CMK_BLOCK;
    cmk_row_block row[QUANTIZED_ROWS];
    v16i acc[QUANTIZED_ROWS * TILE_PANELS];
    UNROLL for (int r = 0; r < rows; r++) {
        row[r] = cmk_row_blocks(x + (size_t)r * job->x_stride)[block];
        v16i start = splat_integer(QUADS_ARE_SIGNED ? 0 : -cmk_zero_point(kind) * row[r].sum);
        UNROLL for (int p = 0; p < panels; p++) acc[r * panels + p] = start;
    }
    if (lines == cmk_superblock_lines(kind)) {
        UNROLL for (int j = 0; j < BLOCK_LINES; j++)
            line_quantized(kind, rows, panels, job, superblocks, values, b, j, acc);
    } else {
        for (int j = 0; j < BLOCK_LINES && b * BLOCK_LINES + j < (int)lines; j++)
            line_quantized(kind, rows, panels, job, superblocks, values, b, j, acc);
    }
    v16f scales[TILE_PANELS], minima[TILE_PANELS];
    UNROLL for (int p = 0; p < panels; p++) {
        const v16half *stored = (const v16half *)(superblocks[p] + lines * CMK_LINE);
        scales[p] = __builtin_convertvector(stored[b], v16f);
        if (kind == CMK_Q4) minima[p] = __builtin_convertvector(stored[2 + b], v16f);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++) {
            v16f *sum = &sums[r * panels + p];
            v16i integers = kind == CMK_Q4 ? nibble_sums(acc[r * panels + p]) : acc[r * panels + p];
            v16f product = __builtin_convertvector(integers, v16f);
            *sum = fused(product, scales[p] * row[r].scale, *sum);
            if (kind == CMK_Q4)
                *sum = fused(minima[p], splat(row[r].scale * (float)row[r].sum), *sum);
        }
}

CMK_INLINE void fetch(prefetch *ahead, size_t lines) {
    lines *= (size_t)ahead->lines;
    for (size_t i = 0; i < lines; i++, ahead->next += CMK_LINE) __builtin_prefetch(ahead->next, 0, 2);
}

CMK_INLINE void tile_quantized(
    cmk_kind kind, int rows, int panels, const cmk_product *job, const uint8_t *const *panel,
    const char *x, float *y, prefetch ahead) {
    v16f sums[QUANTIZED_ROWS * TILE_PANELS];
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            sums[r * panels + p] = job->accumulate
                ? load(y + (size_t)r * job->y_stride + p * CMK_LANES) : splat(0);
    for (size_t term = 0; term < job->terms; term++, x += cmk_term_bytes(job->in)) {
        const uint8_t *superblocks[TILE_PANELS];
        UNROLL for (int p = 0; p < panels; p++) superblocks[p] = panel[p];
        size_t s = 0, lines = cmk_superblock_lines(kind);
        for (; s < job->in / CMK_SUPERBLOCK; s++) {
            if (term == 0) fetch(&ahead, cmk_superblock_bytes(kind) / CMK_LINE);
            UNROLL for (int b = 0; b < 2; b++)
                block_quantized(kind, rows, panels, job, superblocks, lines, x, 2 * s + b, b, sums);
            UNROLL for (int p = 0; p < panels; p++) superblocks[p] += cmk_superblock_bytes(kind);
        }
        lines = job->in % CMK_SUPERBLOCK / 4;
        if (kind == CMK_Q4 || lines == 0) continue;
        if (term == 0) fetch(&ahead, lines + 1);
        block_quantized(kind, rows, panels, job, superblocks, lines, x, 2 * s, 0, sums);
        if (lines > BLOCK_LINES)
            block_quantized(kind, rows, panels, job, superblocks, lines, x, 2 * s + 1, 1, sums);
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            store(y + (size_t)r * job->y_stride + p * CMK_LANES, sums[r * panels + p]);
}

CMK_INLINE void matmul_quantized(cmk_kind kind, const cmk_product *job, stream *wanted) {
    if (job->rows == 0) return;
    assert(job->in % (kind == CMK_Q8 ? 4 : CMK_SUPERBLOCK) == 0);
    size_t panel_bytes = cmk_panel_bytes(kind, job->in);
    size_t tiles = (job->rows + QUANTIZED_ROWS - 1) / QUANTIZED_ROWS;
    size_t height = (job->rows + tiles - 1) / tiles;
    const uint8_t *w = job->w;
    for (size_t p = 0, width; p < job->panels; p += width) {
        size_t left = job->panels - p;
        width = left >= TILE_PANELS ? TILE_PANELS : 1;
        const uint8_t *panel[TILE_PANELS];
        for (size_t i = 0; i < width; i++) panel[i] = w + (p + i) * panel_bytes;
        size_t there;
        const char *next = stream_next(wanted, kind, width, &there);
        size_t lines = (there + tiles - 1) / tiles, asked = 0;
        for (size_t r = 0; r < job->rows; r += height, asked += lines) {
            const char *x = (const char *)job->x + r * job->x_stride;
            float *y = job->y + r * job->y_stride + p * CMK_LANES;
            prefetch ahead = {
                .next = next + asked * wanted->panel_bytes, .lines = asked < there ? (int)lines : 0};
            size_t rows = smaller(height, job->rows - r);
            if (width == TILE_PANELS)
                switch (rows) { CASES(QUANTIZED_ROWS, tile_quantized(kind, R, TILE_PANELS, job, panel, x, y, ahead)) }
            else
                switch (rows) { CASES(QUANTIZED_ROWS, tile_quantized(kind, R, 1, job, panel, x, y, ahead)) }
        }
    }
}

static void matmul(cmk_kind kind, const cmk_product *jobs, size_t count) {
    if (count == 0) return;
    stream ahead = {.end = jobs + count};
    stream_enter(&ahead, kind, jobs);
    // The first group at least, for groups of large panels.
    size_t first = smaller(jobs->panels, jobs->rows <= FEW_ROWS ? FEW_PANELS : TILE_PANELS);
    first *= ahead.panel_bytes;
    stream_skip(&ahead, kind, first > FAR ? first : FAR);
    for (size_t i = 0; i < count; i++) {
        const cmk_product *job = &jobs[i];
        switch (kind) {
        case CMK_F32: matmul_one(CMK_F32, job, &ahead); break;
        case CMK_BF16: matmul_one(CMK_BF16, job, &ahead); break;
        case CMK_MIXED: matmul_one(CMK_MIXED, job, &ahead); break;
        case CMK_Q8: matmul_quantized(CMK_Q8, job, &ahead); break;
        case CMK_Q4: matmul_quantized(CMK_Q4, job, &ahead); break;
        }
    }
}

// MARK: Quantizing rows

/// As integers magnitudes are ordered as they are, and a NaN is above them all: it becomes the scale.
CMK_INLINE v16i magnitude(v16f x) { return (v16i)x & 0x7fffffff; }

CMK_INLINE v16f load_value(bool bf16, const void *x, size_t at, size_t n) {
    if (!bf16) return load_up_to((const float *)x + at, n, 0);
    v16h h = {0};
    // The usual case apart: a copy of constant size is one load.
    if (n >= CMK_LANES) memcpy(&h, (const uint16_t *)x + at, sizeof h);
    else memcpy(&h, (const uint16_t *)x + at, n * sizeof(uint16_t));
    return (v16f)(__builtin_convertvector(h, v16u) << 16);
}

CMK_INLINE void quantize(bool bf16, const void *x, size_t n, size_t terms, void *row) {
    typedef int8_t v16b __attribute__((vector_size(16), aligned(1)));
    size_t in = cmk_round_up(n, CMK_SUPERBLOCK);
    for (size_t k = 0; k < in; k += CMK_BLOCK) {
        v16f a = k < n ? load_value(bf16, x, k, n - k) : splat(0);
        v16f b = k + CMK_LANES < n ? load_value(bf16, x, k + CMK_LANES, n - k - CMK_LANES) : splat(0);
        for (size_t term = 0; term < terms; term++) {
            uint8_t *target = (uint8_t *)row + term * cmk_term_bytes(in);
            int8_t *values = (int8_t *)cmk_row_values(target, in) + k;
            v16i maxima = __builtin_elementwise_max(magnitude(a), magnitude(b));
            float largest = cmk_float((uint32_t)__builtin_reduce_max(maxima));
            float scale = largest / 127.0f;
            float inverse = largest > 0 ? 127.0f / largest : 0;
            int32_t magic = (int32_t)cmk_bits(CMK_ROUND_MAGIC);
            v16b low = __builtin_convertvector((v16i)(a * inverse + CMK_ROUND_MAGIC) - magic, v16b);
            v16b high = __builtin_convertvector((v16i)(b * inverse + CMK_ROUND_MAGIC) - magic, v16b);
            *(v16b *)values = low;
            *(v16b *)(values + CMK_LANES) = high;
            a = fused(-__builtin_convertvector(low, v16f), splat(scale), a);
            b = fused(-__builtin_convertvector(high, v16f), splat(scale), b);
            v16i pairs = __builtin_convertvector(low, v16i) + __builtin_convertvector(high, v16i);
            ((cmk_row_block *)target)[k / CMK_BLOCK] =
                (cmk_row_block){.scale = scale, .sum = __builtin_reduce_add(pairs)};
        }
    }
}

static void quantize_f32(const float *x, size_t n, size_t terms, void *row) {
    quantize(false, x, n, terms, row);
}

static void quantize_bf16(const uint16_t *x, size_t n, size_t terms, void *row) {
    quantize(true, x, n, terms, row);
}
