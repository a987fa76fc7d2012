/* stats.h: numbers about each row of weights: its largest, its entropy, what each key receives. */
#ifndef ATTN_STATS_H
#define ATTN_STATS_H

#include "core/attention.h"
#include "core/watch.h"

/* Are statistics or the entropy wanted? */
bool attn_wants_stats(const attn_output *output);

/* Writes what is wanted about row i of batch entry b, head h, whose weights are `row` [S+]; if
 * output->stats.received is wanted, adds the row to `received` [S+]. False if the watch says stop. */
bool attn_stats_write_row(const attn_layer *layer, const attn_input *input, const attn_output *output,
                          size_t b, size_t h, size_t i, const float *row, double *received,
                          attn_watch *watch);

#endif
