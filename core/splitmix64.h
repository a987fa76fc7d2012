/* splitmix64.h: random numbers that are the same on every machine (Steele, Lea, Flood, "Fast Splittable
 * Pseudorandom Number Generators", 2014, in Vigna's formulation). */
#ifndef ATTN_SPLITMIX64_H
#define ATTN_SPLITMIX64_H

#include <stdint.h>

/* The next 64 bits of the stream; its seed is the first *state. */
static inline uint64_t attn_splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

/* The next number, uniformly in [-1, 1). */
static inline float attn_splitmix64_float(uint64_t *state) {
    return (float)(attn_splitmix64(state) >> 40) * 0x1p-23f - 1;
}

#endif
