/* config_json.h: what is read from a checkpoint's config.json, by the names that its family has for the keys.
 * What fails does so with ATTN_BAD_MODEL; `where` and keys->where name the document in sentences. */
#ifndef ATTN_CONFIG_JSON_H
#define ATTN_CONFIG_JSON_H

#include "core/model/checkpoint/families.h"
#include "core/model/files/tensors.h"
#include "core/model/warnings.h"
#include "core/model/weights.h"

#include <jansson.h>

/* ---- family_keys.c: single keys ---- */

#define ATTN_TYPE_SLIDING "sliding_attention"
#define ATTN_TYPE_FULL    "full_attention"

/* The keys of a checkpoint. */
typedef struct {
    const attn_family *family;
    const char *where;    /* which document it is */
    const json_t *object; /* the one that has the keys */
    attn_warnings *warnings;
} attn_family_keys;

/* The name that the key has in this document: its own or an alias. */
const char *attn_family_name(const attn_family_keys *keys, const char *key);

/* The value of a key, under its own name or an alias; NULL if there is none, or the key is NULL. */
const json_t *attn_family_find(const attn_family_keys *keys, const char *key);

/* A number that must be there, unless the family has a default. */
attn_status attn_family_count(const attn_family_keys *keys, const attn_count_key *key, size_t most,
                              size_t *result, attn_error *error);

/* A number that can be derived from others; then it is 0. */
attn_status attn_family_derived(const attn_family_keys *keys, const attn_count_key *key, size_t *result,
                                attn_error *error);

/* A number above 0; the default of the family for an absent key or null. */
attn_status attn_family_positive(const attn_family_keys *keys, const attn_number_key *key, double *result,
                                 attn_error *error);

/* A truth value, `absent` for an absent key or null. */
attn_status attn_family_boolean(const attn_family_keys *keys, const char *key, bool absent, bool *result,
                                attn_error *error);

/* ---- family_config.c: the configuration of a layer ---- */

#define ATTN_LAYERS_MAX 1024 /* of one kind */

/* How many layers the part has, at most ATTN_LAYERS_MAX. */
attn_status attn_family_layers(const attn_family_keys *keys, const attn_part *part, size_t *layers,
                               attn_error *error);

/* The configuration of one layer of the part. */
attn_status attn_family_config(const attn_family_keys *keys, const attn_part *part, size_t layer,
                               attn_config *config, attn_error *error);

/* Writes the arrays whose numbers config.json itself holds: ATTN_SCALE, ATTN_ROPE_SHORT and ATTN_ROPE_LONG,
 * those that `config`, the configuration of the layer, has. */
attn_status attn_family_fill(const attn_family_keys *keys, size_t layer, const attn_config *config,
                             float *const arrays[ATTN_SLOTS], attn_error *error);

/* ---- family_rope.c: its rotation ---- */

/* Sets config->rope of a layer, which has a window or not; config->head_dim must be known. Fails also with
 * ATTN_NO_MEMORY, as does the next one. */
attn_status attn_family_rope(const attn_family_keys *keys, bool sliding, attn_config *config,
                             attn_error *error);

/* Writes ATTN_ROPE_SHORT and ATTN_ROPE_LONG of a layer with LongRoPE, whose configuration is `config`. */
attn_status attn_family_rope_factors(const attn_family_keys *keys, bool sliding, const attn_config *config,
                                     float *const arrays[ATTN_SLOTS], attn_error *error);

/* ---- quantized.c: quantization_config ---- */

/* Checks that a tensor of attention, whose name ends in ".weight" or ".bias", is as it was before the
 * quantisation that quantization_config describes: of a type that is no quantised one, without scales and
 * the like beside it, and of a module that is excepted by name (unless the method stores what it quantises
 * under other names, or does not quantise attention at all). A tensor that is not there is left to others.
 * The sentence names the key. */
attn_status attn_quantized_check(const char *where, const json_t *quantization, const attn_tensors *tensors,
                                 const char *tensor, attn_error *error);

#endif
