/* bias.h: what the distance of a query and a key adds to their score: ALiBi, and the buckets of T5. */
#ifndef ATTN_BIAS_H
#define ATTN_BIAS_H

#include "core/attention/tile.h"

/* The bucket of a distance t - p (transformers, modeling_t5.py, _relative_position_bucket, whose float32
 * arithmetic decides at the edges). */
size_t attn_relative_bucket(const attn_relative_bias *bias, int64_t distance);

/* Prepares what depends on distances only. */
attn_status attn_bias_prepare(attn_pass *pass);

/* Adds them to the scores of a block. */
void attn_bias_add(attn_tile *tile);

/* What is added to the score of query n of the tile and key j. */
float attn_bias_at(const attn_tile *tile, size_t n, size_t j);

/* What is added to all scores of query n of the tile, and left out of them; 0 if tile->complete. */
double attn_bias_left_out(const attn_tile *tile, size_t n);

#endif
