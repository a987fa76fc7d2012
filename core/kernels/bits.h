/* bits.h: a float32 as the bits of IEEE 754 that it is, and back. */
#ifndef ATTN_BITS_H
#define ATTN_BITS_H

#include <stdint.h>
#include <string.h>

/* The bits of infinity; those of NaN, without the sign, are above it. */
#define ATTN_INFINITE ((uint32_t)0x7f800000)

static inline uint32_t attn_bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float attn_float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
