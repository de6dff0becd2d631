// Sixteen-lane vectors: loads, stores, rounding, exp. Part of vector_kernels.h.
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only

#define WIDEST (TILE_PANELS > FEW_PANELS ? TILE_PANELS : FEW_PANELS)
#define UNROLL _Pragma("clang loop unroll(full)")

/// Not `(v16f){} + x`: adding to zero is an instruction, as it makes a positive zero of a negative one.
CMK_INLINE v16f splat(float x) { return (v16f){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
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

/// See cmk_soft_cap.
CMK_INLINE v16f soft_capped(v16f x, float cap) {
    return cap * (1.0f - 2.0f / (exponential(x * (2.0f / cap)) + 1.0f));
}
