/* check_list.h: the list of the checks of a set of kernels, and how much of each is done. */
#ifndef ATTN_CHECK_LIST_H
#define ATTN_CHECK_LIST_H

#include "core/kernels/kernels.h"
#include "core/parallel.h"

/* What is checked. The first list is what can be without random shapes. */
#define ATTN_FIXED_CHECKS(CHECK)                                                                             \
    CHECK(product)                                                                                           \
    CHECK(dots)                                                                                              \
    CHECK(softmax)                                                                                           \
    CHECK(exponential)                                                                                       \
    CHECK(soft_cap)                                                                                          \
    CHECK(largest)                                                                                           \
    CHECK(copy)                                                                                              \
    CHECK(scale)                                                                                             \
    CHECK(accumulate)                                                                                        \
    CHECK(rescale)                                                                                           \
    CHECK(normalise)                                                                                         \
    CHECK(linear)                                                                                            \
    CHECK(linear_bits)

#define ATTN_RANDOM_CHECKS(CHECK)                                                                            \
    CHECK(product_bits)                                                                                      \
    CHECK(packing)                                                                                           \
    CHECK(linears)                                                                                           \
    CHECK(stopped)                                                                                           \
    CHECK(tiny)

typedef struct {
    uint64_t seed;
    bool in_use[ATTN_PRECISIONS]; /* the precisions of weights that are checked */
    size_t rounds;                /* of random shapes; 0: fixed shapes only */
    uint32_t step; /* of the float32 between 0 and the largest each step-th goes through exp and tanh */
    const attn_parallel *parallel; /* on which products are computed too; NULL: this thread alone */
} attn_check_effort;

#endif
