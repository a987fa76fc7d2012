/* json_value.h: JSON documents and the values in them, with a sentence for all that is not as expected.
 *
 * `where` says in each sentence which document it is: a path that was made fit to be shown. */
#ifndef ATTN_JSON_VALUE_H
#define ATTN_JSON_VALUE_H

#include "core/model/shown.h"
#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Parses a text that holds one JSON object (RFC 8259), white space around it, no key twice. Fails with
 * ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *object with json_decref. */
attn_status attn_json_parse(const char *where, const char *text, size_t length, json_t **object,
                            attn_error *error);

/* The same for a regular file of at most `limit` bytes. */
attn_status attn_json_read(const char *path, size_t limit, json_t **object, attn_error *error);

/* Takes a whole number from `least` to `most`. Fails with ATTN_BAD_MODEL. */
attn_status attn_json_whole(const char *where, const char *key, const json_t *value, size_t least,
                            size_t most, size_t *result, attn_error *error);

/* Takes a number in 0 <= x < 1, which as a float is still below 1. Fails with ATTN_BAD_MODEL. */
attn_status attn_json_fraction(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error);

/* A scalar as it was written, or the kind of another value: what a sentence says was found. */
const char *attn_json_show(attn_shown *shown, const json_t *value);

#endif
