/* config.h: the configuration of a layer, and the config.json of a model directory. */
#ifndef ATTN_CONFIG_H
#define ATTN_CONFIG_H

#include "core/attention.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

#define ATTN_DIMENSION_MAX   ((size_t)1 << 24) /* of a width, and of the number of heads */
#define ATTN_CONFIG_TEXT_MAX ((size_t)1 << 20) /* bytes of a config.json */

/* Takes a configuration from JSON: embed_dim and num_heads; kdim and vdim (embed_dim), bias (true) and
 * dropout (0), where null means the default, as None does in torch. Any other key is refused: a layer
 * computed without it would not be the one that was meant. `where` names the document in sentences. Fails
 * with ATTN_BAD_MODEL. */
attn_status attn_config_from_json(const char *where, const json_t *object, attn_config *config,
                                  attn_error *error);

/* The same from a text, with ATTN_BAD_MODEL also if it is no JSON object, or ATTN_NO_MEMORY. */
attn_status attn_config_from_text(const char *where, const char *text, attn_config *config,
                                  attn_error *error);

/* Replaces a kdim and a vdim of 0 (not given) by embed_dim, and checks that num_heads divides it. Fails with
 * ATTN_BAD_MODEL. */
attn_status attn_config_complete(const char *where, attn_config *config, attn_error *error);

#endif
