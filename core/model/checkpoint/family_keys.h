/* family_keys.h: single keys of a checkpoint's config.json, by the names that its family has for them. What
 * fails does so with ATTN_BAD_MODEL. */
#ifndef ATTN_FAMILY_KEYS_H
#define ATTN_FAMILY_KEYS_H

#include "core/model/checkpoint/families.h"
#include "core/model/warnings.h"
#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>

#define ATTN_TYPE_SLIDING "sliding_attention"
#define ATTN_TYPE_FULL    "full_attention"

/* The keys of a checkpoint. */
typedef struct {
    const attn_family *family;
    const char *where;    /* which document it is, for sentences */
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

#endif
