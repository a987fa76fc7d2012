/* object.h: JSON objects whose members are known, read member by member. */
#ifndef WIRE_JSON_OBJECT_H
#define WIRE_JSON_OBJECT_H

#include "server/attend/fields.h"
#include "server/wire/json/lexer.h"

#include <stdbool.h>
#include <stdint.h>

#define JSON_PATH_MAX 128 /* with its NUL */

/* The members of an object, from after its '{'; the caller sets the first two. */
typedef struct {
    json_reader *r;
    const field_table *table;
    bool begun;
    uint64_t seen; /* bit n: the key of table->fields[n] was there */
} json_members;

/* Takes the '{' of an object at `path`; fails if there is none. */
problem_code json_open_object(json_reader *r, const char *path);

/* Moves to the value of the next member, and sets *f to its row in the table and `path` to its path; or past
 * the '}', and sets *f to NULL. Fails with *p filled in: an unknown key, one that is there twice. */
problem_code json_next_member(json_members *members, const field **f, char path[JSON_PATH_MAX]);

#endif
