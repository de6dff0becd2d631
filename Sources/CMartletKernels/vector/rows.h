// What works row by row: norms, gates, rotations, logits, probes. Part of vector_kernels.h.

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

CMK_INLINE void gelu_mul(bool bf16, const float *gate, const float *up, size_t n, void *y) {
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f g = load_up_to(gate + i, n - i, 0);
        v16f exponent = g * fused(g * g, splat(CMK_GELU_A), splat(CMK_GELU_B));
        v16f value = g / (1.0f + exponential(exponent)) * load_up_to(up + i, n - i, 0);
        store_up_to(bf16, y, i, value, n - i);
    }
}

static void gelu_mul_f32(const float *gate, const float *up, size_t n, float *y) {
    gelu_mul(false, gate, up, n, y);
}

static void gelu_mul_bf16(const float *gate, const float *up, size_t n, uint16_t *y) {
    gelu_mul(true, gate, up, n, y);
}

static void soft_cap(float cap, size_t n, float *y) {
    for (size_t i = 0; i < n; i += CMK_LANES)
        store_up_to(false, y, i, soft_capped(load_up_to(y + i, n - i, 0), cap), n - i);
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

// MARK: Logits

static void exp_scaled(
    const float *x, float maximum, float inverse_temperature, size_t n, float *y, float *sums) {
    v16f lanes = splat(0);
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(x + i, n - i, -INFINITY);
        value = exponential((value - maximum) * inverse_temperature);
        store_up_to(false, y, i, value, n - i);
        lanes += value;
        if ((i + CMK_LANES) % CMK_SUM_BLOCK > 0 && i + CMK_LANES < n) continue;
        sums[i / CMK_SUM_BLOCK] = fold(lanes);
        lanes = splat(0);
    }
}

static cmk_peak peak(const float *x, size_t n) {
    v16f maxima = splat(-INFINITY);
    v16i invalid = {0};
    for (size_t i = 0; i < n; i += CMK_LANES) {
        v16f value = load_up_to(x + i, n - i, -INFINITY);
        invalid |= value != value;
        maxima = choose(value > maxima, value, maxima);
    }
    cmk_peak peak = {.maximum = maxima[0], .index = 0};
    int any_invalid = invalid[0];
    for (int i = 1; i < CMK_LANES; i++) {
        peak.maximum = maxima[i] > peak.maximum ? maxima[i] : peak.maximum;
        any_invalid |= invalid[i];
    }
    while (peak.index + 1 < n && x[peak.index] != peak.maximum) peak.index++;
    peak.maximum = x[peak.index];  // of zeros the first one's sign
    if (any_invalid) peak.maximum = NAN;
    return peak;
}

static float log_sum_exp(const float *x, float maximum, size_t n) {
    v16f lanes = splat(0);
    for (size_t i = 0; i < n; i += CMK_LANES)
        lanes += exponential(load_up_to(x + i, n - i, -INFINITY) - maximum);
    return maximum + logf(fold(lanes));
}

// MARK: Probes

/// Accumulators that are in registers together with an input and weights: those of a tile.
CMK_INLINE int probe_accumulators(int rows) {
    return rows * TILE_PANELS < CMK_PROBE_STEPS ? rows * TILE_PANELS : CMK_PROBE_STEPS;
}

/// Inputs and weights that the compiler cannot know, so that no step is worked out ahead.
typedef struct probe_operands {
    uint32_t inputs[CMK_PROBE_STEPS], weights[CMK_LANES];
} probe_operands;

CMK_INLINE probe_operands probe_fill(uint32_t input, uint32_t weight) {
    probe_operands operands;
    for (int i = 0; i < CMK_PROBE_STEPS; i++) operands.inputs[i] = input;
    for (int i = 0; i < CMK_LANES; i++) operands.weights[i] = weight;
    return operands;
}

CMK_INLINE void probe_forget(probe_operands *operands) { __asm__ volatile("" : "+m"(*operands)); }

CMK_INLINE float probe(bool bf16, size_t rounds) {
    probe_operands operands = bf16 ? probe_fill(0x3f003f00u, 0x3e803e80u)
                                   : probe_fill(cmk_bits(0.5f), cmk_bits(0.25f));
    int count = probe_accumulators(bf16 ? PAIR_ROWS : TILE_ROWS);
    v16f acc[CMK_PROBE_STEPS];
    UNROLL for (int i = 0; i < count; i++) acc[i] = splat((float)i);
    for (size_t round = 0; round < rounds; round++) {
        probe_forget(&operands);
        v16u w = load_units(operands.weights);
        UNROLL for (int i = 0; i < CMK_PROBE_STEPS; i++) {
            v16f *sum = &acc[i % count];
            uint32_t x = operands.inputs[i];
            *sum = bf16 ? dot_pair_step(*sum, (v16u){} + x, w)
                        : fused(splat(cmk_float(x)), (v16f)w, *sum);
        }
    }
    v16f sum = splat(0);
    UNROLL for (int i = 0; i < count; i++) sum += acc[i];
    return fold(sum);
}

static float probe_q8(size_t rounds) {
    probe_operands operands = probe_fill(0x01020304u, 0x04030201u);
    int count = probe_accumulators(TILE_ROWS);
    v16i acc[CMK_PROBE_STEPS];
    UNROLL for (int i = 0; i < count; i++) acc[i] = splat_integer(i);
    for (size_t round = 0; round < rounds; round++) {
        probe_forget(&operands);
        v16u w = load_units(operands.weights);
        UNROLL for (int i = 0; i < CMK_PROBE_STEPS; i++) {
            v16i *sum = &acc[i % count];
            *sum = dot_quad_step(*sum, (v16u){} + operands.inputs[i], w);
        }
    }
    v16i sum = splat_integer(0);
    UNROLL for (int i = 0; i < count; i++) sum += acc[i];
    return fold(__builtin_convertvector(sum, v16f));
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
