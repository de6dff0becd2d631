// Compares kernel sets with the scalar one, bit for bit, without Swift: for processors that are emulated.
#ifndef HARNESS_H
#define HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "CMartletKernels.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

/// What random numbers are like.
typedef enum flavor {
    ORDINARY,  ///< between -4 and 4
    WIDE,      ///< magnitudes from 2^-40 to 2^40
    TINY,      ///< denormal numbers and the smallest normal ones, with ordinary ones between
    FLAVORS,
} flavor;

/// The specification.
extern const cmk_kernels *scalar;

/// Whether the others are left out.
extern bool is_scalar_alone;

/// The scalar set first, then the others; NULL after the last.
const cmk_kernels *set_at(size_t index);
#define FOR_EACH_SET(set) \
    for (const cmk_kernels *set = NULL, **once = &set; once; once = NULL) \
        for (size_t at = 0; (set = set_at(at)) != NULL; at++)

/// Names the case that the following checks belong to, and forgets the memory of the one before.
__attribute__((format(printf, 1, 2))) void begin_case(const char *format, ...);

/// Memory of this case, aligned to a cache line, zeroed; and beyond it what must not be written.
void *room(size_t bytes);
/// Random numbers of this case, aligned as floats are and no better.
float *numbers(flavor flavor, size_t count);
uint16_t *bf16_numbers(flavor flavor, size_t count);
/// At least `low`, at most `high`.
size_t random_between(size_t low, size_t high);
uint64_t random_bits(void);

/// A result of a set: of the scalar one it is kept, any other must equal what was kept. Ends the process if not.
void check(const cmk_kernels *set, const char *kernel, const void *result, size_t bytes);
/// What one portable version computes: it counts for the digest alone.
void note(const void *result, size_t bytes);
/// Whether results of bf16 products that a denormal number may be in are left out: vdpbf16ps has none.
bool flushes(const cmk_kernels *set, flavor flavor);

/// Prints how much was compared, and a digest of all of the scalar set's results.
void report(void);

void check_products(void);
void check_low_rank(void);
void check_rows(void);
void check_attention(void);
void note_portable(void);

#endif
