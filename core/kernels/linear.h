/* linear.h: y = x W^T + b for packed weights and rows that come from several places.
 *
 * The rows of all parts are computed together, so that each weight is read once for all of them, in tasks of
 * some rows by some columns. How it is cut into tasks depends on the shapes alone, never on the number of
 * threads, and no bit of the result depends on how it is cut. */
#ifndef ATTN_LINEAR_H
#define ATTN_LINEAR_H

#include "core/kernels/packed.h"
#include "core/parallel.h"

/* Rows from one place: x [rows, depth], without gaps. */
typedef struct {
    const float *x;
    size_t rows;
} attn_linear_part;

/* y [rows, columns], y_row apart, are finished: rows [row, ..) of part `part`, columns [column, ..) of the
 * result. They are the callee's to change, and gone after it returns. Called by several threads for different
 * places. */
typedef void attn_linear_deliver(void *context, size_t part, size_t row, size_t rows, size_t column,
                                 size_t columns, float *y, size_t y_row);

typedef struct {
    const attn_packed *weight;
    const float *bias;             /* [width], or NULL */
    const attn_linear_part *parts; /* [part_count] */
    size_t part_count;
    size_t unit; /* columns come in multiples of this (a head's width), so that a head is delivered whole */
    attn_linear_deliver *deliver;
    /* Is this part not wanted any more? Asked about every millisecond; the rows of such a part are left
     * out. NULL: every part is wanted. */
    bool (*stopped)(void *context, size_t part);
    void *context;
} attn_linear;

/* The most products that are computed together. */
#define ATTN_LINEARS ((size_t)3)

/* Bytes of working memory for one slot: less than 1 MiB for heads of up to 512 numbers, whatever the shapes.
 */
size_t attn_linear_scratch(const attn_linear *linears, size_t count);

/* Computes `count` products, at most ATTN_LINEARS, in one loop. `scratch` has attn_linear_scratch bytes,
 * aligned to 64, for each slot of `parallel`. */
void attn_linear_run(const attn_linear *linears, size_t count, const attn_parallel *parallel, char *scratch);

#endif
