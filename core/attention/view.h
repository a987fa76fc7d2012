/* view.h: writes rows of weights and scores in the shape of the view that the caller wants. Nothing is kept
 * from one row to the next but what the caller of these functions holds, so several threads may write rows of
 * different heads. */
#ifndef ATTN_VIEW_H
#define ATTN_VIEW_H

#include "core/attention.h"
#include "core/watch.h"

/* One quadratic result, and the window of rows and columns that its view has. */
typedef struct {
    const attn_map *map;
    const attn_view *view;
    bool are_weights;
    size_t heads;         /* of the result; 1 for a mean, which is taken of weights only, and by the caller */
    size_t rows, columns; /* of the window */
} attn_view_writer;

attn_view_writer attn_view_writer_of(const attn_map *map, const attn_view *view, bool are_weights);

/* Where bin `n` of `bins` begins among `count` rows or columns. */
size_t attn_bin_start(size_t n, size_t count, size_t bins);

/* Writes row i of the window, `row` [columns], of entry `batch` and head `head` of the view. The rows of a
 * head come in ascending order; with pooling, `bins` [pooled_cols] holds the current row of bins, which its
 * first row begins anew. ATTN_BAD_VALUE if a number or a bin is not finite; ATTN_CANCELLED if the watch says
 * stop. */
attn_status attn_view_write_row(const attn_view_writer *writer, size_t batch, size_t head, size_t i,
                                const float *row, double *bins, attn_watch *watch);

#endif
