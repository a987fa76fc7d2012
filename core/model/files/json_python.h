/* json_python.h: config.json of a checkpoint, read as Python reads it.
 *
 * Checkpoints are written and read by Python, whose json module accepts more than RFC 8259: keys that occur
 * twice (the last value counts), NaN and Infinity, numbers of any size, and any \\uXXXX in strings. In keys
 * that have nothing to do with attention none of that is a reason to refuse a checkpoint. */
#ifndef ATTN_JSON_PYTHON_H
#define ATTN_JSON_PYTHON_H

#include "core/status.h"

#include <jansson.h>
#include <stddef.h>

/* Parses a text that holds one JSON object. A whole number beyond 64 bits becomes a real; what is no number
 * for a double (NaN, Infinity, 1e999) a string with its text, so that whoever expects a number there
 * refuses it and can show it. Fails with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *object with
 * json_decref. */
attn_status attn_json_parse_python(const char *where, const char *text, size_t length, json_t **object,
                                   attn_error *error);

#endif
