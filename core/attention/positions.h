/* positions.h: which keys a query may see by its position, and what distance adds to a score. */
#ifndef ATTN_POSITIONS_H
#define ATTN_POSITIONS_H

#include "core/attention.h"

/* Keys [from, to), indices into S. */
typedef struct {
    size_t from, to;
} attn_range;

/* The keys that query i may see for causality and window. Both ends grow with i. */
attn_range attn_visible_keys(const attn_config *config, const attn_input *input, size_t i);

/* t - p of key 0 and query i. */
int64_t attn_distance(const attn_input *input, size_t i);

/* The bucket of a distance t - p (transformers, modeling_t5.py, _relative_position_bucket, whose float32
 * arithmetic decides at the edges). */
size_t attn_relative_bucket(const attn_relative_bias *bias, int64_t distance);

#endif
