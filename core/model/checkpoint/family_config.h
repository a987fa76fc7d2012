/* family_config.h: the configuration of a layer from the config.json of a checkpoint. */
#ifndef ATTN_FAMILY_CONFIG_H
#define ATTN_FAMILY_CONFIG_H

#include "core/model/checkpoint/family_keys.h"

#define ATTN_LAYERS_MAX 1024 /* of one kind */

/* How many layers the part has, at most ATTN_LAYERS_MAX. Fails with ATTN_BAD_MODEL, as all functions here. */
attn_status attn_family_layers(const attn_family_keys *keys, const attn_part *part, size_t *layers,
                               attn_error *error);

/* The configuration of one layer of the part. */
attn_status attn_family_config(const attn_family_keys *keys, const attn_part *part, size_t layer,
                               attn_config *config, attn_error *error);

/* Writes the arrays whose numbers config.json itself holds: ATTN_SCALE, ATTN_ROPE_SHORT and ATTN_ROPE_LONG,
 * those that `config`, the configuration of the layer, has. */
attn_status attn_family_fill(const attn_family_keys *keys, size_t layer, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error);

#endif
