/* finite.h: how large numbers are, and whether they are numbers at all. */
#ifndef ATTN_FINITE_H
#define ATTN_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest |x[n]| of `count` numbers as the bits of a float32, which grow with it; at least ATTN_INFINITE
 * if one of them is infinity or NaN. No numbers: 0. */
uint32_t attn_largest(const float *x, size_t count);

#define ATTN_INFINITE ((uint32_t)0x7f800000)

/* Are all `count` numbers finite? */
static inline bool attn_all_finite(const float *x, size_t count) {
    return attn_largest(x, count) < ATTN_INFINITE;
}

#endif
