/* check_list.h: does each function of a set of kernels compute rightly on this CPU? The list of the checks,
 * how much of each is done, and what runs them. They hold it against plain loops in double precision, and
 * against what is promised to the bit. The service asks when it starts, the tests with many shapes, and a
 * program for CPUs that qemu plays. */
#ifndef ATTN_CHECK_LIST_H
#define ATTN_CHECK_LIST_H

#include "core/kernels/kernels.h"
#include "core/parallel.h"
#include "core/status.h"

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

/* check.c: runs all checks that the effort allows, or the one called `only`. Some versions of OpenBLAS give
 * wrong products on some CPUs, and so might a CPU or an emulator of one; nothing but the numbers tells. Fails
 * with ATTN_BAD_VALUE (the sentence names the kernel, the shape and both numbers) or ATTN_NO_MEMORY. */
attn_status attn_check_kernels(const attn_kernels *kernels, const attn_check_effort *effort, const char *only,
                               attn_error *error);

#endif
