/* collect.h: what a caller wants to know besides the output, taken row by row as the rows are computed. */
#ifndef ATTN_COLLECT_H
#define ATTN_COLLECT_H

#include "core/attention.h"

/* One quadratic result on its way into its view. */
typedef struct {
    const attn_map *map; /* its values are NULL if it is not wanted */
    const attn_view *view;
    bool average;
    size_t heads;         /* of the result: 1 with `average` */
    size_t rows, columns; /* of the window */
    float *mean;          /* [block rows, columns]: the sum over the heads so far, with `average` */
    double *bins;         /* [heads, pooled_cols]: of the row of bins that is being filled, with pooling */
} attn_map_collector;

typedef struct {
    const attn_output *output;
    size_t H, L, S, extra;
    uint64_t query_offset, key_offset;
    size_t *batch_slot; /* [B]: the place of a batch entry in the view, or SIZE_MAX */
    size_t *head_slot;  /* [H]: likewise */
    float *row;         /* [S+]: a row on its way into its view */
    double *received;   /* [H, S+]: sums over the queries so far, if they are wanted */
    attn_map_collector weights, scores;
} attn_collector;

/* Prepares for blocks of at most `block_rows` rows. Memory comes from `work`; it grows with S+, not with L *
 * S+. False if there is none. */
bool attn_collect_start(attn_collector *collector, const attn_layer *layer, const attn_input *input,
                        const attn_output *output, size_t block_rows, attn_arena *work);

void attn_collect_end(attn_collector *collector, attn_arena *work);

/* Is this row of this result part of the view? */
bool attn_collect_wants(const attn_collector *collector, const attn_map_collector *map, size_t b, size_t h,
                        size_t i);

/* Takes a row [S+] of weights or scores. The rows come in blocks: all heads of the rows [first, ..) of a
 * batch entry, then attn_collect_block_end, then the next rows. False if a number in the window is not
 * finite. */
bool attn_collect_row(attn_collector *collector, attn_map_collector *map, size_t b, size_t h, size_t first,
                      size_t i, const float *row);

void attn_collect_block_end(attn_collector *collector, size_t b, size_t first, size_t rows);

/* Takes the statistics and the entropy of a row, whose weights are `row` [columns]: those of the keys
 * [from, to), then those of the extra ones. */
void attn_collect_stats(attn_collector *collector, size_t b, size_t h, size_t i, size_t from, size_t to,
                        const float *row);

/* After the last block of batch entry b. */
void attn_collect_batch_end(attn_collector *collector, size_t b);

#endif
