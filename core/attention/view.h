/* view.h: from rows of weights and scores to the view of them that the caller wants. Nothing is kept
 * between two rows but what the caller of these functions holds, so rows of different heads may be taken by
 * several threads. */
#ifndef ATTN_VIEW_H
#define ATTN_VIEW_H

#include "core/attention.h"
#include "core/watch.h"

/* One quadratic result and its window of rows and columns. */
typedef struct {
    const attn_map *map;
    const attn_view *view;
    bool are_weights;
    size_t heads;         /* of the result: 1 for a mean */
    size_t rows, columns; /* of the window */
} attn_view_writer;

/* A mean over the heads is taken of weights only, and is made by the caller. */
attn_view_writer attn_view_writer_of(const attn_map *map, const attn_view *view, bool are_weights);

/* Where bin `n` of `bins` begins among `count` rows or columns. */
size_t attn_bin_start(size_t n, size_t count, size_t bins);

/* Takes row i of the window, `row` [columns], of entry `batch` and head `head` of the view. With pooling,
 * `bins` [pooled_cols] holds the bins of the row of bins that is being filled: the rows of a head come in
 * ascending order, and the first one of a bin starts it anew. ATTN_BAD_VALUE if a number is not finite, or a
 * bin; ATTN_CANCELLED if the watch says stop. */
attn_status attn_view_write_row(const attn_view_writer *collector, size_t batch, size_t head, size_t i,
                                const float *row, double *bins, attn_watch *watch);

#endif
