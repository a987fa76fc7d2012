#include "core/attention/view.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

attn_view attn_view_all(const attn_config *config, const attn_input *input) {
    return (attn_view){
        .batch_count = input->B,
        .head_count = config->num_heads,
        .row_to = input->L,
        .col_to = attn_keys_with_extra(config, input->S, input->omit_extra),
    };
}

attn_view_writer attn_view_writer_of(const attn_map *map, const attn_view *view, bool are_weights) {
    return (attn_view_writer){.map = map,
                              .view = view,
                              .are_weights = are_weights,
                              .heads = are_weights && view->average ? 1 : view->head_count,
                              .rows = view->row_to - view->row_from,
                              .columns = view->col_to - view->col_from};
}

/* ---- Pooling ---- */

/* count <= 2^25 and n <= bins <= count. */
size_t attn_bin_start(size_t n, size_t count, size_t bins) {
    return (size_t)((uint64_t)n * count / bins);
}

/* The bin that row `n` is in: the largest whose start is at most n. */
static size_t bin_of(size_t n, size_t count, size_t bins) {
    size_t bin = (size_t)((uint64_t)n * bins / count);
    while (bin + 1 < bins && attn_bin_start(bin + 1, count, bins) <= n)
        bin++;
    return bin;
}

/* Adds a row of the window to its bins, and writes them out if it is their last. ATTN_BAD_VALUE if the sum of
 * one is beyond float32, ATTN_CANCELLED if the watch says stop. */
static attn_status pool_row(const attn_view_writer *w, size_t index, size_t i, const float *row, double *bins,
                            attn_watch *watch) {
    const attn_view *view = w->view;
    const size_t bin = bin_of(i, w->rows, view->pooled_rows);
    const size_t start = attn_bin_start(bin, w->rows, view->pooled_rows);
    const size_t end = attn_bin_start(bin + 1, w->rows, view->pooled_rows);
    float *out = w->map->values + (index * view->pooled_rows + bin) * view->pooled_cols;
    for (size_t n = 0; n < view->pooled_cols; n++) {
        const size_t from = attn_bin_start(n, w->columns, view->pooled_cols);
        const size_t to = attn_bin_start(n + 1, w->columns, view->pooled_cols);
        if (attn_watch_stops(watch, 1 + (to - from)))
            return ATTN_CANCELLED;
        if (i == start)
            bins[n] = view->pool == ATTN_POOL_MAX ? -INFINITY : 0;
        for (size_t j = from; j < to; j++)
            bins[n] = view->pool != ATTN_POOL_MAX ? bins[n] + (double)row[j] : fmax(bins[n], (double)row[j]);
        const double cells = (double)(end - start) * (double)(to - from);
        if (i + 1 < end)
            continue;
        out[n] = (float)(view->pool == ATTN_POOL_MEAN ? bins[n] / cells : bins[n]);
        if (!isfinite(out[n]))
            return ATTN_BAD_VALUE;
    }
    return ATTN_OK;
}

/* ---- The largest ---- */

/* Does column a of the row come after column b in the selection? */
static bool comes_after(const float *row, int32_t a, int32_t b) {
    return row[a] < row[b] || (row[a] == row[b] && a > b);
}

/* Sifts down the root of a heap, whose root comes last in the selection. */
static void sift(const float *row, int32_t *heap, size_t count) {
    const int32_t moved = heap[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_after(row, heap[child + 1], heap[child]))
            child++;
        if (!comes_after(row, heap[child], moved))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

#define SIFT_STEPS ((size_t)16) /* that a change of a large heap costs, roughly */

/* The k first columns of the row by value, in order, into `heap` [k]; k >= 1. False if the watch says stop.
 */
static bool select_largest(const float *row, size_t columns, size_t k, int32_t *heap, attn_watch *watch) {
    size_t count = 0;
    for (; count < k; count++) { /* upwards: a child must not come after its parent */
        size_t at = count;
        for (; at > 0 && comes_after(row, (int32_t)count, heap[(at - 1) / 2]); at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = (int32_t)count;
        if (attn_watch_stops_after(watch, count, SIFT_STEPS))
            return false;
    }
    for (size_t j = k; j < columns; j++) {
        if (comes_after(row, heap[0], (int32_t)j)) {
            heap[0] = (int32_t)j;
            sift(row, heap, k);
        }
        if (attn_watch_stops_after(watch, j, SIFT_STEPS))
            return false;
    }
    for (; count > 1; count--) {
        const int32_t last = heap[0];
        heap[0] = heap[count - 1];
        sift(row, heap, count - 1);
        heap[count - 1] = last;
        if (attn_watch_stops_after(watch, count, SIFT_STEPS))
            return false;
    }
    return true;
}

/* A weight of zero has no index, for its key was not attended to; a score of zero has one. False if the watch
 * says stop. */
static bool write_largest(const attn_view_writer *w, size_t index, const float *row, attn_watch *watch) {
    const size_t k = w->view->top_k;
    int32_t *indices = w->map->indices + index * k;
    float *values = w->map->values + index * k;
    if (!select_largest(row, w->columns, k, indices, watch))
        return false;
    for (size_t n = 0; n < k; n++) {
        values[n] = row[indices[n]];
        indices[n] = w->are_weights && values[n] == 0 ? -1 : indices[n] + (int32_t)w->view->col_from;
    }
    return true;
}

static bool all_finite(const float *row, size_t count) {
    bool finite = true;
    for (size_t n = 0; n < count; n++)
        finite &= fabsf(row[n]) <= FLT_MAX;
    return finite;
}

attn_status attn_view_write_row(const attn_view_writer *w, size_t batch, size_t head, size_t i,
                                const float *row, double *bins, attn_watch *watch) {
    const size_t index = batch * w->heads + head;
    if (attn_watch_stops(watch, w->columns))
        return ATTN_CANCELLED;
    if (!all_finite(row, w->columns))
        return ATTN_BAD_VALUE;
    if (w->view->pooled_rows != 0)
        return pool_row(w, index, i, row, bins, watch);
    if (w->view->top_k != 0)
        return write_largest(w, index * w->rows + i, row, watch) ? ATTN_OK : ATTN_CANCELLED;
    memcpy(w->map->values + (index * w->rows + i) * w->columns, row, w->columns * sizeof *row);
    return ATTN_OK;
}
