// A checksum against damage by disks and memory, not against forgery: four CRC-32C of interleaved words.
#include <string.h>

#include "../internal.h"

enum { CHECKSUM_LANES = 4, LINE = CHECKSUM_LANES * sizeof(uint64_t) };

typedef uint32_t word_step(uint32_t crc, uint64_t word);

/// The reflected Castagnoli polynomial, bit by bit: the specification.
static uint32_t portable_step(uint32_t crc, uint64_t word) {
    uint64_t state = word ^ crc;
    for (int i = 0; i < 64; i++) state = (state >> 1) ^ (state & 1 ? 0x82f63b78u : 0);
    return (uint32_t)state;
}

static inline __attribute__((always_inline)) void update(
    cmk_checksum *sum, const uint8_t *bytes, size_t n, word_step *step) {
    sum->count += n;
    for (; n >= LINE; n -= LINE, bytes += LINE) {
        uint64_t words[CHECKSUM_LANES];
        memcpy(words, bytes, LINE);
        for (int i = 0; i < CHECKSUM_LANES; i++) sum->lanes[i] = step(sum->lanes[i], words[i]);
    }
    if (n == 0) return;
    uint64_t rest[CHECKSUM_LANES] = {0};
    memcpy(rest, bytes, n);
    for (int i = 0; i < CHECKSUM_LANES; i++) sum->lanes[i] = step(sum->lanes[i], rest[i]);
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static inline uint32_t sse_step(uint32_t crc, uint64_t word) {
    return (uint32_t)__builtin_ia32_crc32di(crc, word);
}

__attribute__((target("sse4.2"))) static void update_sse(
    cmk_checksum *sum, const uint8_t *bytes, size_t n) {
    sum->count += n;
    uint32_t a = sum->lanes[0], b = sum->lanes[1], c = sum->lanes[2], d = sum->lanes[3];
    for (; n >= LINE; n -= LINE, bytes += LINE) {
        uint64_t words[CHECKSUM_LANES];
        memcpy(words, bytes, LINE);
        a = sse_step(a, words[0]);
        b = sse_step(b, words[1]);
        c = sse_step(c, words[2]);
        d = sse_step(d, words[3]);
    }
    uint64_t rest[CHECKSUM_LANES] = {0};
    if (n > 0) {
        memcpy(rest, bytes, n);
        a = sse_step(a, rest[0]);
        b = sse_step(b, rest[1]);
        c = sse_step(c, rest[2]);
        d = sse_step(d, rest[3]);
    }
    sum->lanes[0] = a;
    sum->lanes[1] = b;
    sum->lanes[2] = c;
    sum->lanes[3] = d;
}
#endif

void cmk_checksum_add_portable(cmk_checksum *sum, const void *bytes, size_t n) {
    update(sum, bytes, n, portable_step);
}

void cmk_checksum_add(cmk_checksum *sum, const void *bytes, size_t n) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) {
        update_sse(sum, bytes, n);
        return;
    }
#endif
    cmk_checksum_add_portable(sum, bytes, n);
}
