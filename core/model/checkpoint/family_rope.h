/* family_rope.h: the rotation of a layer from the config.json of a checkpoint. */
#ifndef ATTN_FAMILY_ROPE_H
#define ATTN_FAMILY_ROPE_H

#include "core/model/checkpoint/family_keys.h"
#include "core/model/weights.h"

/* Sets config->rope of a layer, which has a window or not; config->head_dim must be known. Fails with
 * ATTN_BAD_MODEL or ATTN_NO_MEMORY, as does the next one. */
attn_status attn_family_rope(const attn_family_keys *keys, bool sliding, attn_config *config,
                             attn_error *error);

/* Writes ATTN_ROPE_SHORT and ATTN_ROPE_LONG of a layer with LongRoPE, whose configuration is `config`. */
attn_status attn_family_rope_factors(const attn_family_keys *keys, bool sliding, const attn_config *config,
                                     float *const arrays[ATTN_SLOTS], attn_error *error);

#endif
