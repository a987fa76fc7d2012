/* stats.h: some numbers about each row of weights. */
#ifndef ATTN_STATS_H
#define ATTN_STATS_H

#include "core/attention.h"
#include "core/watch.h"

/* Are statistics or the entropy wanted? */
bool attn_wants_stats(const attn_output *output);

/* Takes the statistics and the entropy of row i of batch entry b, head h, whose weights are `row` [S+]; adds
 * the row to `received` [S+], if there are statistics. False if the watch says stop. */
bool attn_stats_add_row(const attn_layer *layer, const attn_input *input, const attn_output *output, size_t b,
                        size_t h, size_t i, const float *row, double *received, attn_watch *watch);

#endif
