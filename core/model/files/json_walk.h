/* json_walk.h: the members of a JSON object, one after the other.
 *
 * jansson's tree of a text takes up to 80 bytes of heap for each of its bytes ("[{},{},{}]"). A header or an
 * index may be some MiB long, so only one small part of it at a time becomes a tree. */
#ifndef ATTN_JSON_WALK_H
#define ATTN_JSON_WALK_H

#include "core/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *where; /* names the document in sentences */
    const char *text;  /* the whole document; positions in sentences count from here */
    size_t at, end;    /* what is left of the object */
    bool first;        /* has no member been read yet? */
} attn_walk;

/* A value that has not been parsed yet. */
typedef struct {
    size_t begin, length; /* in the document */
    size_t depth;         /* how deep arrays and objects are nested: 0 for a scalar */
} attn_walk_value;

/* Begins to read a document that is one object (RFC 8259), white space around it. The text must stay. Fails
 * with ATTN_BAD_MODEL. */
attn_status attn_walk_begin(attn_walk *walk, const char *where, const char *text, size_t length,
                            attn_error *error);

/* Begins to read an object that is a value of another. Fails with ATTN_BAD_MODEL if it is none. */
attn_status attn_walk_enter(attn_walk *inner, const attn_walk *outer, const attn_walk_value *value,
                            attn_error *error);

/* Reads the next member: its name, which the caller frees with free(), and where its value is. After the
 * last one *name is NULL. Whether a name occurs twice is for the caller to check. Fails with ATTN_BAD_MODEL,
 * also if something follows the object, or ATTN_NO_MEMORY. */
attn_status attn_walk_next(attn_walk *walk, char **name, attn_walk_value *value, attn_error *error);

/* Parses the value of member `name`, which may have at most `bytes` and be nested at most `depth` deep. Fails
 * with ATTN_BAD_MODEL or ATTN_NO_MEMORY. The caller frees *parsed with json_decref. */
attn_status attn_walk_parse(const attn_walk *walk, const char *name, const attn_walk_value *value,
                            size_t bytes, size_t depth, json_t **parsed, attn_error *error);

#endif
