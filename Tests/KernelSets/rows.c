// What works row by row: norms, gates, caps, scales, quantizing, rotations, logits, probes.
#include "harness.h"

static void check_norms(flavor flavor, size_t n) {
    if (n == 0) return;
    float *x = numbers(flavor, n), *weight = numbers(flavor, n), *y = numbers(ORDINARY, n);
    uint16_t *y16 = bf16_numbers(ORDINARY, n);
    FOR_EACH_SET(set) {
        set->rms_norm_f32(x, weight, 1e-5f, n, y);
        check(set, "rms_norm_f32", y, n * sizeof *y);
    }
    FOR_EACH_SET(set) {
        set->rms_norm_bf16(x, weight, 1e-5f, n, y16);
        check(set, "rms_norm_bf16", y16, n * sizeof *y16);
    }
    FOR_EACH_SET(set) {
        memcpy(y, x, n * sizeof *y);
        set->rms_norm_f32(y, weight, 1e-5f, n, y);
        check(set, "rms_norm_f32 in place", y, n * sizeof *y);
    }
}

static void check_gates(flavor flavor, size_t n) {
    float *gate = numbers(flavor, n), *up = numbers(flavor, n), *y = numbers(ORDINARY, n);
    uint16_t *y16 = bf16_numbers(ORDINARY, n);
    FOR_EACH_SET(set) {
        set->silu_mul_f32(gate, up, n, y);
        check(set, "silu_mul_f32", y, n * sizeof *y);
    }
    FOR_EACH_SET(set) {
        set->silu_mul_bf16(gate, up, n, y16);
        check(set, "silu_mul_bf16", y16, n * sizeof *y16);
    }
    FOR_EACH_SET(set) {
        set->gelu_mul_f32(gate, up, n, y);
        check(set, "gelu_mul_f32", y, n * sizeof *y);
    }
    FOR_EACH_SET(set) {
        set->gelu_mul_bf16(gate, up, n, y16);
        check(set, "gelu_mul_bf16", y16, n * sizeof *y16);
    }
}

static void check_elements(flavor flavor, size_t n) {
    float *x = numbers(flavor, n), *start = numbers(flavor, n), *y = numbers(ORDINARY, n);
    uint16_t *y16 = bf16_numbers(ORDINARY, n);
    static const float caps[] = {0.7f, 2, 30, 50};
    for (size_t i = 0; i < COUNT(caps); i++)
        FOR_EACH_SET(set) {
            memcpy(y, start, n * sizeof *y);
            set->soft_cap(caps[i], n, y);
            check(set, "soft_cap", y, n * sizeof *y);
        }
    FOR_EACH_SET(set) {
        set->scale_f32(x, 1.7f, n, y);
        check(set, "scale_f32", y, n * sizeof *y);
    }
    FOR_EACH_SET(set) {
        set->scale_bf16(x, 1.7f, n, y16);
        check(set, "scale_bf16", y16, n * sizeof *y16);
    }
    FOR_EACH_SET(set) {
        memcpy(y, start, n * sizeof *y);
        set->add(x, n, y);
        check(set, "add", y, n * sizeof *y);
    }
    FOR_EACH_SET(set) {
        memcpy(y, start, n * sizeof *y);
        set->multiply(x, n, y);
        check(set, "multiply", y, n * sizeof *y);
    }
}

static void check_quantizing(flavor flavor, size_t n) {
    float *x = numbers(flavor, n);
    uint16_t *x16 = bf16_numbers(flavor, n);
    for (size_t terms = 1; terms <= 2; terms++) {
        size_t bytes = terms * cmk_quantized_term_bytes(n);
        void *row = room(bytes);
        FOR_EACH_SET(set) {
            memset(row, 0, bytes);
            set->quantize_f32(x, n, terms, row);
            check(set, "quantize_f32", row, bytes);
        }
        FOR_EACH_SET(set) {
            memset(row, 0, bytes);
            set->quantize_bf16(x16, n, terms, row);
            check(set, "quantize_bf16", row, bytes);
        }
    }
}

static void check_rotation(flavor flavor, size_t half) {
    for (size_t heads = 0; heads < 4; heads++) {
        size_t n = heads * 2 * half;
        float *start = numbers(flavor, n), *y = numbers(ORDINARY, n);
        float *cosines = numbers(ORDINARY, half), *sines = numbers(ORDINARY, half);
        FOR_EACH_SET(set) {
            memcpy(y, start, n * sizeof *y);
            set->rope(y, heads, 2 * half, cosines, sines);
            check(set, "rope", y, n * sizeof *y);
        }
    }
}

static void check_peak(const float *x, size_t n) {
    FOR_EACH_SET(set) {
        cmk_peak peak = set->peak(x, n);
        uint64_t result[2] = {0, peak.index};
        memcpy(result, &peak.maximum, sizeof peak.maximum);
        check(set, "peak", result, sizeof result);
    }
}

/// Zeros of both signs are one maximum, and the first one's sign is its sign.
static void check_peaks_of_zeros(void) {
    for (size_t i = 0; i < 100; i++) {
        begin_case("zeros of both signs, %zu", i);
        size_t n = random_between(1, 50);
        float *x = numbers(ORDINARY, n);
        for (size_t j = 0; j < n; j++) x[j] = j % 3 == 0 ? -1.0f : random_bits() % 2 == 0 ? 0.0f : -0.0f;
        check_peak(x, n);
    }
}

static void check_logits(flavor flavor, size_t n) {
    if (n == 0) return;
    size_t blocks = (n + CMK_SUM_BLOCK - 1) / CMK_SUM_BLOCK;
    float *x = numbers(flavor, n), *y = numbers(ORDINARY, n + blocks);
    // The largest twice: the first one counts.
    float maximum = scalar->peak(x, n).maximum;
    if (n > 2) x[random_between(0, n - 1)] = maximum;
    check_peak(x, n);
    FOR_EACH_SET(set) {
        float result = set->log_sum_exp(x, maximum, n);
        check(set, "log_sum_exp", &result, sizeof result);
    }
    FOR_EACH_SET(set) {
        set->exp_scaled(x, maximum, 1.3f, n, y, y + n);
        check(set, "exp_scaled", y, (n + blocks) * sizeof *y);
    }
}

/// Where a probe starts is a set's own affair; every round adds the same.
static void check_probe(const cmk_kernels *set, const char *kernel, float (*probe)(size_t rounds)) {
    float second = probe(2) - probe(1), third = probe(3) - probe(2);
    bool steady = second != 0 && second == third;
    check(set, kernel, &steady, sizeof steady);
}

static void check_probes(void) {
    begin_case("three rounds");
    FOR_EACH_SET(set) check_probe(set, "probe_f32", set->probe_f32);
    FOR_EACH_SET(set) check_probe(set, "probe_bf16", set->probe_bf16);
    FOR_EACH_SET(set) check_probe(set, "probe_q8", set->probe_q8);
    enum { NUMBERS = 64 * 9 };
    float *x = numbers(ORDINARY, NUMBERS);
    for (size_t i = 0; i < NUMBERS; i++) x[i] = (float)random_between(0, 1000);
    FOR_EACH_SET(set) {
        float sum = set->probe_read(x, NUMBERS);
        check(set, "probe_read", &sum, sizeof sum);
    }
}

static void check_count(size_t n) {
    for (int f = 0; f < FLAVORS; f++) {
        begin_case("%zu, numbers %d", n, f);
        check_norms(f, n);
        check_gates(f, n);
        check_elements(f, n);
        check_quantizing(f, n);
        check_rotation(f, n);
        check_logits(f, n);
    }
}

void check_rows(void) {
    static const size_t more[] = {79, 95, 96, 97, 127, 128, 129, 191, 257, 300, 509, 1021};
    for (size_t n = 0; n <= 67; n++) check_count(n);
    for (size_t i = 0; i < COUNT(more); i++) check_count(more[i]);
    check_peaks_of_zeros();
    check_probes();
}
