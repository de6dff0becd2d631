// Paged attention. Part of vector_kernels.h.

CMK_INLINE v16i lane_numbers(size_t from) {
    v16i numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return numbers + (int32_t)from;
}

/// See softmax in scalar_kernels.c. With `bf16` the weights are left as bf16 in the first half.
CMK_INLINE float softmax(
    bool bf16, float *scores, size_t count, size_t begin, size_t end, float scale, float cap) {
    v16f maxima = splat(-INFINITY);
    for (size_t i = begin / CMK_LANES * CMK_LANES; i < end; i += CMK_LANES) {
        v16i lane = lane_numbers(i);
        v16i seen = (lane >= (int32_t)begin) & (lane < (int32_t)end);
        v16f value = load(scores + i) * scale;
        if (cap != 0) value = soft_capped(value, cap);
        value = choose(seen, value, splat(-INFINITY));
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

// A single row is all memory. What it reads is one stream of chunks, which is fetched some way ahead: the
// keys of a block each, then two panels of a block's values each, block after block, panels after
// panels, then the keys of the piece after this one.
enum { CHUNKS_AHEAD = 8, CHUNK_PANELS = 2 };

CMK_INLINE size_t attention_blocks(const cmk_attention *job) {
    size_t first = cmk_attention_first_block(job);
    return (cmk_attention_end(job) + CMK_BLOCK_POSITIONS - 1) / CMK_BLOCK_POSITIONS - first;
}

CMK_INLINE void prefetch_lines(const char *from, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
}

CMK_INLINE void prefetch_keys(bool bf16, const cmk_attention *job, size_t block) {
    size_t element = bf16 ? 2 : 4;
    prefetch_lines(
        (const char *)job->keys + (size_t)job->blocks[block] * job->key_stride * element,
        job->head_dim * CMK_BLOCK_POSITIONS * element);
}

CMK_INLINE void prefetch_chunk(bool bf16, const cmk_attention *job, size_t chunk) {
    size_t first = cmk_attention_first_block(job), blocks = attention_blocks(job);
    if (chunk < blocks) return prefetch_keys(bf16, job, first + chunk);
    size_t width = CHUNK_PANELS * CMK_LANES, groups = (job->head_dim + width - 1) / width;
    size_t element = bf16 ? 2 : 4, bytes = width * CMK_BLOCK_POSITIONS * element;
    chunk -= blocks;
    if (chunk < groups * blocks) {
        size_t block = (size_t)job->blocks[first + chunk % blocks];
        const char *values = (const char *)job->values + block * job->value_stride * element;
        return prefetch_lines(values + chunk / blocks * bytes, bytes);
    }
    chunk -= groups * blocks;
    const cmk_attention *next = job->next;
    if (next == NULL || chunk >= attention_blocks(next)) return;
    first = cmk_attention_first_block(next);
    prefetch_keys(bf16, next, first + chunk);
    // The newest position is written before anything is read.
    if (chunk == 0) prefetch_keys(bf16, next, first + attention_blocks(next) - 1);
}

/// weights (rows, positions) · values for `panels` panels of dimensions, block after block.
CMK_INLINE void weigh_values(
    bool bf16, int rows, int panels, const cmk_attention *job, const uint32_t *weights,
    size_t weight_stride, size_t first_block, size_t width, size_t panel, float *result,
    size_t result_stride) {
    tile t;
    UNROLL for (int i = 0; i < rows * panels; i++) t.acc[i] = splat(0);
    size_t per_block = bf16 ? CMK_BLOCK_POSITIONS / 2 : CMK_BLOCK_POSITIONS;
    size_t blocks = (width + CMK_BLOCK_POSITIONS - 1) / CMK_BLOCK_POSITIONS;
    size_t chunk = blocks + panel / CHUNK_PANELS * blocks + CHUNKS_AHEAD;
    size_t units = bf16 ? (width + 1) / 2 : width, stride = bf16 ? job->value_stride / 2 : job->value_stride;
    for (size_t b = 0; b < blocks; b++) {
        if (job->row_count == 1) prefetch_chunk(bf16, job, chunk + b);
        const uint32_t *values =
            (const uint32_t *)job->values + (size_t)job->blocks[first_block + b] * stride;
        const uint32_t *w[TILE_PANELS];
        UNROLL for (int p = 0; p < panels; p++)
            w[p] = values + (panel + (size_t)p) * per_block * CMK_LANES;
        tile_add(
            bf16 ? CMK_BF16 : CMK_F32, rows, panels, &t, weights + b * per_block, weight_stride, w,
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

    bool fetches = job->row_count == 1;
    if (fetches)
        for (size_t i = 0; i < CHUNKS_AHEAD; i++) prefetch_chunk(bf16, job, i);
    size_t height = tile_height(bf16 ? CMK_BF16 : CMK_F32, queries);
    for (size_t b = 0, width_blocks; b < blocks; b += width_blocks) {
        width_blocks = blocks - b >= TILE_PANELS ? TILE_PANELS : 1;
        const uint32_t *keys[FEW_PANELS];
        for (size_t i = 0; i < width_blocks; i++)
            keys[i] = (const uint32_t *)job->keys + (size_t)job->blocks[first + b + i] * key_stride;
        if (fetches)
            for (size_t i = 0; i < width_blocks; i++) prefetch_chunk(bf16, job, b + i + CHUNKS_AHEAD);
        for (size_t i = 0; i < queries; i += height)
            products(bf16 ? CMK_BF16 : CMK_F32, smaller(height, queries - i), width_blocks, &(product){
                .x = (const uint32_t *)(packed + i * padded), .x_stride = padded, .w = keys,
                .units = key_units, .y = scores + i * count + b * CMK_BLOCK_POSITIONS,
                .y_stride = count, .accumulate = false, .ahead = {0}});
    }

    for (size_t i = 0; i < queries; i++) {
        size_t position = job->first_position + i / job->group, base = first * CMK_BLOCK_POSITIONS;
        size_t begin = job->window != 0 && position + 1 > job->window
            ? position + 1 - job->window - base : 0;
        sums[i] = softmax(bf16, scores + i * count, count, begin, position + 1 - base, job->scale, job->cap);
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
