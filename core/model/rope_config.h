/* rope_config.h: Hugging Face's object about rotary embeddings (rope_scaling in config.json, from
 * transformers 5 on rope_parameters), as transformers reads it (modeling_rope_utils.py).
 *
 * `where` names the object in sentences, as in "FILE: rope_scaling". NULL and null stand for an object
 * without keys. What fails does so with ATTN_BAD_MODEL. */
#ifndef ATTN_ROPE_CONFIG_H
#define ATTN_ROPE_CONFIG_H

#include "core/attention.h"
#include "core/model/warnings.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Reads rope_theta, and the part of head_dim that partial_rotary_factor stands for: both can be in the object
 * or elsewhere. Leaves *theta and *dims alone where the object does not have them. */
attn_status attn_rope_base_from_json(const char *where, const json_t *scaling, size_t head_dim, double *theta,
                                     size_t *dims, attn_error *error);

/* Replaces dims of 0 by head_dim, and checks that they are even and at most that. */
attn_status attn_rope_complete(const char *where, size_t head_dim, attn_rope *rope, attn_error *error);

/* The same, but rounds an odd number of dims up, as transformers does: it rotates one number more, by
 * frequencies of the odd number. */
attn_status attn_rope_round_up(const char *where, size_t head_dim, attn_rope *rope, attn_error *error);

/* Reads the scaling: all of *rope but style, dims, odd and theta, which must be set. `max_positions` is
 * max_position_embeddings, 0 if that is not known; the caller puts an
 * original_max_position_embeddings from outside the object into (a copy of) it. A type that is not served is
 * refused. Keys that the type does not read go by the rules of key_rules.h; with `warnings` NULL they are
 * refused. */
attn_status attn_rope_scaling_from_json(const char *where, const json_t *scaling, double max_positions,
                                        attn_rope *rope, attn_warnings *warnings, attn_error *error);

/* Reads LongRoPE's short_factor and long_factor: arrays of rope->dims / 2 numbers above 0. The results can be
 * NULL: then they are only checked, which attn_rope_scaling_from_json does too. */
attn_status attn_rope_factors_from_json(const char *where, const json_t *scaling, const attn_rope *rope,
                                        float *short_factors, float *long_factors, attn_error *error);

#endif
