/* arrays.h: random arrays for the checks of the kernels, and how a check says that it failed. */
#ifndef TESTS_KERNELS_ARRAYS_H
#define TESTS_KERNELS_ARRAYS_H

#include "tests/random.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What stands where nothing may be written. */
#define UNTOUCHED 12345.0f

/* Says what went wrong, and is false. */
#define FAIL(...)                                                                                            \
    (fprintf(stderr, "%s, %s: ", kernels->name, __func__), fprintf(stderr, __VA_ARGS__),                     \
     fputc('\n', stderr), false)

/* `count` numbers and one behind them, all UNTOUCHED. Never NULL; the caller frees it. */
static inline float *array(size_t count) {
    float *numbers = malloc((count + 1) * sizeof *numbers);
    if (numbers == NULL)
        abort();
    for (size_t n = 0; n < count + 1; n++)
        numbers[n] = UNTOUCHED;
    return numbers;
}

/* The same with `count` random numbers from -1 to 1. */
static inline float *random_array(size_t count, uint64_t *seed) {
    float *numbers = array(count);
    for (size_t n = 0; n < count; n++)
        numbers[n] = random_float(seed);
    return numbers;
}

static inline size_t between(uint64_t *seed, size_t least, size_t most) {
    return least + random_below(seed, most - least + 1);
}

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
