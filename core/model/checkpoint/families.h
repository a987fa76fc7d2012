/* families.h: the families of models whose checkpoints are served, each a row of one table: its names
 * for the keys of config.json and for tensors, and the defaults that transformers has for absent keys. */
#ifndef ATTN_FAMILIES_H
#define ATTN_FAMILIES_H

#include "core/model/layout.h"

#include <stdbool.h>
#include <stddef.h>

/* A key with a whole number, and its value if the key is absent. 0: the key must be there; or, where the
 * number can be derived from others, it is (as for null). */
typedef struct {
    const char *key;
    size_t absent;
} attn_count_key;

/* The same with a number. */
typedef struct {
    const char *key;
    double absent;
} attn_number_key;

/* Another name that transformers has for a key (attribute_map of its configurations). If it is there, it
 * wins over the other one. */
typedef struct {
    const char *name, *key;
} attn_key_alias;

/* Which layers see only a window of the keys, `sliding_window` wide. */
typedef enum {
    ATTN_WINDOW_NONE,
    ATTN_WINDOW_ALL,
    ATTN_WINDOW_TYPED, /* all; or as layer_types says */
    ATTN_WINDOW_UPPER, /* with use_sliding_window, from layer max_window_layers on; or as layer_types says */
    ATTN_WINDOW_PATTERNED /* all but every n-th; or as layer_types says */
} attn_window_rule;

/* The factor of a score. */
typedef enum {
    ATTN_SCALE_WIDTH,         /* 1 / sqrt(D) */
    ATTN_SCALE_ONE,           /* nothing: T5 */
    ATTN_SCALE_INVERSE_LAYER, /* as scale_attn_weights and scale_attn_by_inverse_layer_idx say: GPT-2 */
    ATTN_SCALE_QUERY,         /* 1 / sqrt(query_pre_attn_scalar): Gemma */
} attn_scale_rule;

typedef struct {
    attn_number_key theta;         /* its key is NULL: the family rotates nothing */
    attn_number_key local_theta;   /* of the layers with a window, if they have their own */
    attn_number_key part;          /* of a head that is rotated; its key is NULL: all of it */
    double max_positions;          /* where max_position_embeddings is absent */
    double original_max_positions; /* original_max_position_embeddings; 0: what the scaling says */
    const char *longrope_alias;    /* another name for that type */
} attn_rope_keys;

/* Layers of one kind. The names of tensors are for printf and get the number of the layer. */
#define ATTN_PART_TENSORS 8
typedef struct {
    const char *name;             /* "encoder"; NULL: the family has one kind only */
    attn_count_key layers;        /* how many */
    const char *layers_else;      /* the key that says so where the first is absent or null */
    attn_count_key heads;         /* its key is NULL: as the family has it */
    bool causal;                  /* do queries see only the past? */
    bool optional;                /* some classes of the family are saved without this part */
    bool relative, bidirectional; /* T5's relative biases; do keys after the query have their own? */
    attn_source tensors[ATTN_PART_TENSORS]; /* the first one decides under which prefix the part is */
    attn_source biases[ATTN_PART_TENSORS];  /* there only if family.bias says so */
} attn_part;

/* Lists that are not full end with a NULL. */
#define ATTN_PARTS_MAX    3
#define ATTN_PREFIXES_MAX 6
#define ATTN_ALIASES_MAX  4
typedef struct {
    const char *model_type;
    const char *inside; /* the key of config.json with the object that has all others; NULL: itself */
    const char *prefixes[ATTN_PREFIXES_MAX]; /* before each tensor's name, by the class that was saved */
    attn_key_alias aliases[ATTN_ALIASES_MAX];
    attn_count_key width, heads, kv_heads, head_dim;
    attn_number_key dropout;
    const char *bias; /* key: are there `biases`? NULL: always */
    bool bias_absent;
    attn_scale_rule scale;
    double query_scalar; /* where query_pre_attn_scalar is absent */
    attn_number_key softcap;
    const char *qk_norm_eps; /* key; NULL: no norms */
    attn_window_rule window;
    size_t window_absent;
    attn_count_key pattern;    /* ATTN_WINDOW_PATTERNED: n; its key is NULL: always the same */
    const char *bidirectional; /* key: do queries see the future after all, and half a window to each side? */
    attn_rope_keys rope;
    attn_part parts[ATTN_PARTS_MAX];
} attn_family;

/* The table; *count is how many families it has. */
const attn_family *attn_families(size_t *count);

#endif
