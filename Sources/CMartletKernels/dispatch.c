// Which tables this processor can run, and how many processors there are.
#define _GNU_SOURCE
#include <sched.h>
#include <unistd.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include "internal.h"

size_t cmk_usable_processors(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return (size_t)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}

size_t cmk_attention_scratch_count(
    size_t row_count, size_t group, size_t head_dim, size_t position_count) {
    size_t queries = row_count * group;
    size_t padded = cmk_round_up(head_dim, CMK_LANES);
    size_t scores = cmk_round_up(position_count, CMK_BLOCK_POSITIONS);
    return queries * (scores + padded + 1) + 2 * padded;
}

#if defined(__x86_64__)
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("f16c");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

// Best first; a processor that can run a table can run all that follow it in its list.
static const cmk_kernels *const wide_tables[] = {
    &cmk_avx512bf16_kernels, &cmk_avx512vnni_kernels, &cmk_avx512_kernels, &cmk_avx2_kernels,
    &cmk_scalar_kernels, NULL,
};
static const cmk_kernels *const narrow_tables[] = {
    &cmk_avx2vnni_kernels, &cmk_avx2_kernels, &cmk_scalar_kernels, NULL,
};

const cmk_kernels *const *cmk_available_kernels(void) {
    if (has_avx512()) {
        if (!__builtin_cpu_supports("avx512vnni")) return wide_tables + 2;
        return wide_tables + (__builtin_cpu_supports("avx512bf16") ? 0 : 1);
    }
    if (!has_avx2()) return narrow_tables + 2;
    return narrow_tables + (__builtin_cpu_supports("avxvnni") ? 0 : 1);
}

void cmk_relax(void) { __builtin_ia32_pause(); }
#elif defined(__aarch64__)
typedef struct features {
    bool dotprod, i8mm, bf16;
} features;

#if defined(__linux__)
static features processor_features(void) {
    unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    return (features){
        .dotprod = first & HWCAP_ASIMDDP, .i8mm = second & HWCAP2_I8MM, .bf16 = second & HWCAP2_BF16};
}
#elif defined(__APPLE__)
// Written by Apple's documentation; never built.
static bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}

static features processor_features(void) {
    return (features){
        .dotprod = has_feature("hw.optional.arm.FEAT_DotProd"),
        .i8mm = has_feature("hw.optional.arm.FEAT_I8MM"),
        .bf16 = has_feature("hw.optional.arm.FEAT_BF16")};
}
#else
static features processor_features(void) { return (features){0}; }
#endif

// Best first; a processor that can run a table can run all that follow it.
static const cmk_kernels *const tables[] = {
    &cmk_neonbf16_kernels, &cmk_neoni8mm_kernels, &cmk_neondotprod_kernels, &cmk_neon_kernels,
    &cmk_scalar_kernels, NULL,
};

const cmk_kernels *const *cmk_available_kernels(void) {
    features has = processor_features();
    if (!has.dotprod) return tables + 3;
    if (!has.i8mm) return tables + 2;
    return tables + (has.bf16 ? 0 : 1);
}

void cmk_relax(void) { __asm__ __volatile__("yield"); }
#else
static const cmk_kernels *const tables[] = {&cmk_scalar_kernels, NULL};

const cmk_kernels *const *cmk_available_kernels(void) { return tables; }

void cmk_relax(void) {}
#endif
