/* bias.h: what the distance of a query and a key adds to their score: ALiBi, and the buckets of T5. */
#ifndef ATTN_BIAS_H
#define ATTN_BIAS_H

#include "core/attention/tile.h"

/* The bucket of a distance t - p (transformers, modeling_t5.py, _relative_position_bucket, whose float32
 * arithmetic decides at the edges). */
size_t attn_relative_bucket(const attn_relative_bias *bias, int64_t distance);

/* Makes the pass's table of biases. */
attn_status attn_bias_prepare(attn_pass *pass);

/* Adds biases to the scores of a block of S keys. */
void attn_bias_add(attn_tile *tile);

/* What is added to the score of query n of the tile and key j. */
float attn_bias_at(const attn_tile *tile, size_t n, size_t j);

/* What must be added to all scores of query n of the tile to have the biases in full. */
double attn_bias_shift(const attn_tile *tile, size_t n);

#endif
