/* reading.h: the parts of a request in JSON, each by the file that reads it. What fails does so with
 * everything filled in; null leaves a member as it is. */
#ifndef WIRE_JSON_READING_H
#define WIRE_JSON_READING_H

#include "server/attend/fields.h"
#include "server/attend/request.h"
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

/* object.c: takes the '{' of an object at `path`; fails if there is none. */
problem_code json_open_object(json_reader *r, const char *path);

/* object.c: moves to the value of the next member, and sets *f to its row in the table and `path` to its
 * path; or past the '}', and sets *f to NULL. Fails if a key is unknown, or is there twice. */
problem_code json_next_member(json_members *members, const field **f, char path[JSON_PATH_MAX]);

/* value.c: reads the value of a field into its `member`, which the caller zeroed. `path` is the field's whole
 * name, like "view.heads". */
problem_code json_read_value(json_reader *r, const field *f, const char *path, void *member);

/* value.c: reads the rest of an object with these fields, from after its '{' to after its '}', into `object`.
 */
problem_code json_read_members(json_reader *r, const field_table *table, void *object);

/* option.c: the same as json_read_value, of a field that is neither a tensor nor an object. */
problem_code json_read_option(json_reader *r, const field *f, const char *path, void *member);

/* option.c: reads a string at `path` like json_read_string. Fails also if it is none. */
problem_code json_read_name(json_reader *r, const char *path, char *name, size_t room, size_t *length);

/* tensor.c: reads the tensor that begins here into *t (zeroed by the caller), its data from the reader's
 * arena, where they stay after a failure. `f` is a FIELD_TENSOR or FIELD_MASK. */
problem_code json_read_tensor(json_reader *r, const field *f, request_tensor *t);

/* base64.c: the same, of an object with base64. */
problem_code json_read_base64(json_reader *r, const field *f, request_tensor *t);

#endif
