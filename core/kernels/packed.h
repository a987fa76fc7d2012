/* packed.h: the weights of one projection, laid out at load time as the kernels read them.
 *
 * The matrix W [width, depth] of y = x W^T + b is cut into panels of kernels->panel columns of y; a panel
 * lies in memory as [depth, panel], so a kernel reads it from end to end. The last panel is filled up with
 * zeros. */
#ifndef ATTN_PACKED_H
#define ATTN_PACKED_H

#include "core/kernels/kernels.h"

typedef struct {
    const attn_kernels *kernels; /* NULL: there is no such weight */
    attn_precision precision;
    size_t width, depth;
    void *numbers;    /* panels, in the precision; its own block of memory, aligned to 64 bytes */
    size_t scale_row; /* width rounded up to panels */
    float *scales; /* [depth / ATTN_DEPTH, rounded up, scale_row], of int8: one for each column of y and each
                    * ATTN_DEPTH numbers of its sum; part of that block */
    size_t bytes;  /* of the block */
} attn_packed;

/* Packs weight [width, depth]. In bfloat16 each number is rounded to nearest, ties to even; in int8
 * ATTN_DEPTH numbers of a column of y are divided by their scale, the largest of them / 127. False if memory
 * ran out or a size overflows; then *packed is empty. The caller frees with attn_packed_free. */
bool attn_pack(attn_packed *packed, const attn_kernels *kernels, attn_precision precision, size_t width,
               size_t depth, const float *weight);

/* The bytes that attn_pack would allocate; false on overflow. */
bool attn_packed_size(const attn_kernels *kernels, attn_precision precision, size_t width, size_t depth,
                      size_t *bytes);

/* Frees the block; an empty one is allowed. */
void attn_packed_free(attn_packed *packed);

/* The number that stands for weight[row][column]: what is computed with, widened to float32. Slow. */
float attn_packed_at(const attn_packed *packed, size_t row, size_t column);

/* numbers [count]: those of weight[row], from `column` on. */
void attn_packed_numbers(const attn_packed *packed, size_t row, size_t column, size_t count, float *numbers);

/* "float32", "bfloat16", "int8" */
const char *attn_precision_name(attn_precision precision);

#endif
