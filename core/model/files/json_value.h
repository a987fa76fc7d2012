/* json_value.h: JSON documents and the values in them, with a sentence about whatever is not as expected.
 *
 * `where` says in each sentence which document or which object in it that is: a path, made printable. What
 * reads a value fails with ATTN_BAD_MODEL. */
#ifndef ATTN_JSON_VALUE_H
#define ATTN_JSON_VALUE_H

#include "core/printable.h"
#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Parses a text that holds one JSON object (RFC 8259), white space around it, no key twice. Fails with
 * ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *object with json_decref. */
attn_status attn_json_parse(const char *where, const char *text, size_t length, json_t **object,
                            attn_error *error);

/* The same, but of a key that is there twice the last value counts. */
attn_status attn_json_parse_last(const char *where, const char *text, size_t length, json_t **object,
                                 attn_error *error);

/* Reads a whole number from `least` to `most`. */
attn_status attn_json_whole(const char *where, const char *key, const json_t *value, size_t least,
                            size_t most, size_t *result, attn_error *error);

/* Reads a number in 0 <= x <= 1. */
attn_status attn_json_fraction(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error);

/* Reads a number that is finite as a float32. */
attn_status attn_json_number(const char *where, const char *key, const json_t *value, double *result,
                             attn_error *error);

/* The same, above 0, also as a float32. */
attn_status attn_json_positive(const char *where, const char *key, const json_t *value, double *result,
                               attn_error *error);

/* Reads an array of `count` numbers that are finite as float32, and if `positive` above 0. `results` [count]
 * can be NULL: then they are only checked. */
attn_status attn_json_numbers(const char *where, const char *key, const json_t *value, size_t count,
                              bool positive, float *results, attn_error *error);

attn_status attn_json_boolean(const char *where, const char *key, const json_t *value, bool *result,
                              attn_error *error);

/* Reads one of `count` strings: *result is its index. */
attn_status attn_json_choice(const char *where, const char *key, const json_t *value,
                             const char *const *choices, size_t count, size_t *result, attn_error *error);

/* What the value of a key must be, and so which of the functions above reads it. */
typedef enum {
    ATTN_JSON_OTHER,    /* anything: the caller reads it */
    ATTN_JSON_WHOLE,    /* size_t, from least to most */
    ATTN_JSON_FRACTION, /* double, as the two below */
    ATTN_JSON_NUMBER,
    ATTN_JSON_POSITIVE,
    ATTN_JSON_BOOLEAN, /* bool */
} attn_json_kind;

typedef struct {
    const char *name;
    attn_json_kind kind;
    size_t field; /* offset in the struct that it is read into */
    size_t least, most;
    bool required;
} attn_json_key;

/* Reads the keys of an object into the struct at `fields`. A key that is absent or null leaves its field
 * alone, unless it is required; a key that is not among the `count` known ones is refused. */
attn_status attn_json_read(const char *where, const json_t *object, const attn_json_key *keys, size_t count,
                           void *fields, attn_error *error);

/* The same, but unknown keys are ignored. */
attn_status attn_json_read_known(const char *where, const json_t *object, const attn_json_key *keys,
                                 size_t count, void *fields, attn_error *error);

/* Is there a value, and is it not null? */
static inline bool attn_json_is_given(const json_t *value) {
    return value != NULL && !json_is_null(value);
}

/* A scalar as it was written, or the kind of another value: what a sentence says was found. */
const char *attn_json_printable(attn_printable *printable, const json_t *value);

#endif
