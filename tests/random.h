/* random.h: random numbers for tests, from a seed that is printed, so that a failure can be repeated:
 * TEST_SEED=123 make test. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The seed of this run, printed once for each test that asks. */
static inline uint64_t test_seed(const char *test) {
    const char *given = getenv("TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    fprintf(stderr, "%s: TEST_SEED=%llu\n", test, (unsigned long long)seed);
    return seed;
}

/* splitmix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
static inline uint64_t random_bits(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A whole number from 0 to n - 1. */
static inline size_t random_below(uint64_t *state, size_t n) {
    return (size_t)(random_bits(state) % n);
}

/* A number from -1 to 1. */
static inline float random_float(uint64_t *state) {
    return (float)(random_bits(state) >> 40) * 0x1p-23f - 1;
}

#endif
