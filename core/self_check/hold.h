/* hold.h: what the parts of the self-check have in common. */
#ifndef ATTN_HOLD_H
#define ATTN_HOLD_H

#include "core/kernels/kernels.h"
#include "core/status.h"

typedef struct {
    const attn_kernels *kernels;
    uint64_t state; /* of the random numbers */
    attn_error *error;
} attn_checking;

/* Fills an array with random numbers from -scale to scale. */
void attn_check_fill(attn_checking *c, float *numbers, size_t count, float scale);

/* Holds one number against the plain one: ATTN_BAD_VALUE if they differ by more than `allowed`, or if one is
 * NaN. The sentence names the kernel and the shape. What rounding may do to a sum of n products of numbers up
 * to 1 is far below n * 2^-20. */
attn_status attn_check_hold(const attn_checking *c, const char *kernel, const char *shape, double found,
                            double expected, double allowed);

/* ATTN_NO_MEMORY, with its sentence. */
attn_status attn_check_no_memory(const attn_checking *c);

/* The parts. Each fails as attn_self_check does. */

/* The product of the attention itself. */
attn_status attn_check_product(attn_checking *c);

/* The product with weights in this precision, and the projections: sums of several blocks, of rows from
 * several places, which have the same bits by themselves. */
attn_status attn_check_weights(attn_checking *c, attn_precision precision);

/* The softmax, what else works on rows of scores, and what is done with the numbers between two products. */
attn_status attn_check_rows(attn_checking *c);

#endif
