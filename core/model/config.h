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

/* Reads a configuration from JSON: embed_dim, num_heads and the optional keys listed in README, "Models".
 * null means the default, as None does in torch. Any other key is refused: a layer computed without it would
 * not be the one that was meant. `where` names the document in error sentences. Fails with ATTN_BAD_MODEL.
 *
 * `precision` is the default of the key of that name. config->sinks stays false: only the tensors tell
 * whether there are any. */
attn_status attn_config_from_json(const char *where, const json_t *object, attn_precision precision,
                                  attn_config *config, attn_error *error);

/* Writes the arrays whose numbers the configuration itself holds: ATTN_SCALE, ATTN_ALIBI_SLOPES,
 * ATTN_ROPE_SHORT and ATTN_ROPE_LONG, those that `config` has, which was read from the same JSON. Cannot fail
 * where attn_config_from_json has succeeded. */
attn_status attn_config_fill(const char *where, const json_t *object, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error);

/* Sets num_kv_heads, head_dim, kdim and vdim to their defaults where they are 0 (not given), and checks that
 * they fit together. Fails with ATTN_BAD_MODEL. */
attn_status attn_config_complete(const char *where, attn_config *config, attn_error *error);

#endif
