/* config.h: the configuration of a layer, and the config.json of a model directory. */
#ifndef ATTN_CONFIG_H
#define ATTN_CONFIG_H

#include "core/attention.h"
#include "core/model/weights.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

#define ATTN_DIMENSION_MAX   ((size_t)1 << 24)    /* of a width, and of the number of heads */
#define ATTN_DISTANCE_MAX    ((size_t)0x7fffffff) /* between two positions */
#define ATTN_CONFIG_TEXT_MAX ((size_t)1 << 20)    /* bytes of a config.json */

/* Takes a configuration from JSON: embed_dim and num_heads, and what README, "Models", lists besides, where
 * null means the default, as None does in torch. Any other key is refused: a layer computed without it would
 * not be the one that was meant. `where` names the document in sentences. Fails with ATTN_BAD_MODEL.
 *
 * `precision` is for a configuration that does not say. config->sinks stays false: that is for the tensors to
 * say. */
attn_status attn_config_from_json(const char *where, const json_t *object, attn_precision precision,
                                  attn_config *config, attn_error *error);

/* Writes the arrays that stand in the configuration itself: ATTN_SCALE, ATTN_ALIBI_SLOPES, ATTN_ROPE_SHORT
 * and ATTN_ROPE_LONG, where `config`, which was taken from the same JSON, has them. Fails as
 * attn_config_from_json does, and so not if that has succeeded. */
attn_status attn_config_fill(const char *where, const json_t *object, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error);

/* Replaces what is 0 (not given) of num_kv_heads, head_dim, kdim and vdim by the default, and checks that
 * these fit together. Fails with ATTN_BAD_MODEL. */
attn_status attn_config_complete(const char *where, attn_config *config, attn_error *error);

#endif
