#include "harness.h"

#include <stdarg.h>
#include <stdlib.h>

enum { MOST_SETS = 8, MOST_ROOMS = 256, LINE = 64, GUARD = 0xa5 };

const cmk_kernels *scalar;

static char current[256];
static uint64_t state = 0x9e3779b97f4a7c15u, digest = 0xcbf29ce484222325u;
static size_t compared[MOST_SETS], noted;

static struct {
    uint8_t *start;
    size_t bytes;
} rooms[MOST_ROOMS];
static size_t room_count;

static struct {
    uint8_t *bytes;
    size_t count, capacity;
} expected;

static _Noreturn void fail(const char *set, const char *kernel, const char *what) {
    printf("FAILED: %s, %s, %s: %s\n", kernel, set, current, what);
    exit(1);
}

bool is_scalar_alone = false;

const cmk_kernels *set_at(size_t index) {
    const cmk_kernels *const *sets = cmk_available_kernels();
    size_t count = 0;
    while (sets[count] != NULL) count++;
    if (count > MOST_SETS) fail("all sets", "harness", "too many");
    scalar = sets[count - 1];
    if (index == 0) return scalar;
    if (is_scalar_alone) return NULL;
    return index < count ? sets[index - 1] : NULL;
}

static void check_guards(const char *set, const char *kernel) {
    for (size_t i = 0; i < room_count; i++)
        for (size_t j = 0; j < LINE; j++)
            if (rooms[i].start[rooms[i].bytes + j] != GUARD) fail(set, kernel, "wrote behind its memory");
}

void begin_case(const char *format, ...) {
    for (size_t i = 0; i < room_count; i++) free(rooms[i].start);
    room_count = 0;
    va_list list;
    va_start(list, format);
    vsnprintf(current, sizeof current, format, list);
    va_end(list);
}

void *room(size_t bytes) {
    if (room_count == MOST_ROOMS) fail("all sets", "harness", "too many rooms");
    size_t rounded = (bytes + 2 * LINE - 1) / LINE * LINE;
    uint8_t *start = aligned_alloc(LINE, rounded + LINE);
    if (start == NULL) fail("all sets", "harness", "no memory");
    memset(start, 0, bytes);
    memset(start + bytes, GUARD, rounded + LINE - bytes);
    rooms[room_count].start = start;
    rooms[room_count++].bytes = bytes;
    return start;
}

uint64_t random_bits(void) {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t random_between(size_t low, size_t high) { return low + random_bits() % (high - low + 1); }

static float number(flavor flavor) {
    uint64_t bits = random_bits();
    uint32_t choice = (uint32_t)(bits >> 56), sign = (uint32_t)(bits >> 32) & 0x80000000u;
    uint32_t fraction = (uint32_t)bits & 0x7fffffu, exponent = (uint32_t)(bits >> 40) & 0xff;
    if (choice < 4) return sign ? -0.0f : 0.0f;
    bool ordinary = flavor == ORDINARY || (flavor == TINY && choice < 128);
    if (ordinary) exponent = 128 - exponent % 8;
    else if (flavor == WIDE) exponent = 127 - 40 + exponent % 81;
    else exponent %= 3;
    uint32_t value = sign | exponent << 23 | fraction;
    float result;
    memcpy(&result, &value, sizeof result);
    return result;
}

float *numbers(flavor flavor, size_t count) {
    size_t shift = room_count % 15 + 1;
    float *x = (float *)room((count + shift) * sizeof(float)) + shift;
    for (size_t i = 0; i < count; i++) x[i] = number(flavor);
    return x;
}

uint16_t *bf16_numbers(flavor flavor, size_t count) {
    // Aligned as pairs are.
    size_t shift = room_count % 15 * 2 + 2;
    uint16_t *y = (uint16_t *)room((count + shift) * sizeof *y) + shift;
    scalar->scale_bf16(numbers(flavor, count), 1, count, y);
    return y;
}

void note(const void *result, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) digest = (digest ^ ((const uint8_t *)result)[i]) * 0x100000001b3u;
    noted++;
}

void check(const cmk_kernels *set, const char *kernel, const void *result, size_t bytes) {
    check_guards(set->name, kernel);
    if (set == scalar) {
        if (bytes > expected.capacity) {
            expected.capacity = 2 * bytes;
            expected.bytes = realloc(expected.bytes, expected.capacity);
            if (expected.bytes == NULL) fail(set->name, "harness", "no memory");
        }
        memcpy(expected.bytes, result, bytes);
        expected.count = bytes;
        note(result, bytes);
        return;
    }
    if (bytes != expected.count || memcmp(result, expected.bytes, bytes) != 0) {
        size_t at = 0;
        while (at < bytes && ((const uint8_t *)result)[at] == expected.bytes[at]) at++;
        char what[64];
        snprintf(what, sizeof what, "differs at byte %zu of %zu", at, bytes);
        fail(set->name, kernel, what);
    }
    for (size_t i = 1; set_at(i) != NULL; i++)
        if (set_at(i) == set) compared[i]++;
}

bool flushes(const cmk_kernels *set, flavor flavor) {
    return flavor != ORDINARY && strcmp(set->name, "avx512bf16") == 0;
}

void report(void) {
    for (size_t i = 1; set_at(i) != NULL; i++)
        printf("%s: %zu results, all equal to the scalar set's\n", set_at(i)->name, compared[i]);
    printf("digest of %zu results: %016llx\n", noted, (unsigned long long)digest);
}
