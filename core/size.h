/* size.h: arithmetic with sizes. Those that come from outside are multiplied and added only through these. */
#ifndef ATTN_SIZE_H
#define ATTN_SIZE_H

#include <stdbool.h>
#include <stddef.h>

/* How working memory and weights are aligned: one cache line, and the widest vector register. */
#define ATTN_ALIGNMENT ((size_t)64)

/* *product = a * b. Returns false, and leaves *product alone, if it does not fit into a size_t. */
static inline bool attn_multiply(size_t a, size_t b, size_t *product) {
    size_t result;
    if (__builtin_mul_overflow(a, b, &result))
        return false;
    *product = result;
    return true;
}

/* *sum = a + b. Returns false, and leaves *sum alone, if it does not fit into a size_t. */
static inline bool attn_add(size_t a, size_t b, size_t *sum) {
    size_t result;
    if (__builtin_add_overflow(a, b, &result))
        return false;
    *sum = result;
    return true;
}

/* *product = the product of all `count` factors; false if it overflows. No factors make 1. */
static inline bool attn_multiply_all(const size_t *factors, size_t count, size_t *product) {
    size_t result = 1;
    for (size_t i = 0; i < count; i++)
        if (!attn_multiply(result, factors[i], &result))
            return false;
    *product = result;
    return true;
}

/* n / unit, rounded up. */
static inline size_t attn_divide_up(size_t n, size_t unit) {
    return n / unit + (n % unit != 0);
}

/* n, rounded up to a multiple of `unit`; the caller knows that this fits into a size_t. */
static inline size_t attn_round_up(size_t n, size_t unit) {
    return attn_divide_up(n, unit) * unit;
}

#endif
