/* key_rules.h: the keys of a checkpoint's config.json that change attention, or are believed to, and that no
 * family reads: which of them stop the start, and which are ignored with a warning. One table, in the
 * order of docs/families.md; keys that are not in it have nothing to do with attention. */
#ifndef ATTN_KEY_RULES_H
#define ATTN_KEY_RULES_H

#include "core/model/warnings.h"
#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>

typedef enum {
    ATTN_KEY_STOPS, /* the layers would be others without it */
    ATTN_KEY_WARNS, /* transformers computes as without it */
} attn_key_verdict;

typedef struct {
    bool rope;            /* a key of rope_scaling and rope_parameters, not of the configuration itself */
    const char *key;      /* "*": any other */
    const char *families; /* those that it is about, with spaces between them, or with a ! first all others;
                           * NULL: all */
    attn_key_verdict verdict;
    const char *only; /* the string that is as good as no key, as null, false, 0 and [] always are */
    const char *why;
} attn_key_rule;

/* The table; *count is how many rules it has. */
const attn_key_rule *attn_key_rules(size_t *count);

/* Checks the keys of the configuration of a family's checkpoint against the table; `family` NULL: only
 * against the rules for all families. Fails with ATTN_BAD_MODEL. */
attn_status attn_key_rules_check(const char *where, const char *family, const json_t *config,
                                 attn_warnings *warnings, attn_error *error);

/* Checks a key of an object about rotary embeddings, which its type does not read, against the table. An
 * object always stops the start: it would be for some of the layers. Fails with ATTN_BAD_MODEL. */
attn_status attn_key_rules_check_rope(const char *where, const char *key, const json_t *value,
                                      attn_warnings *warnings, attn_error *error);

#endif
