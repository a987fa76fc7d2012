/* object.h: JSON objects whose keys are known, read member by member. */
#ifndef WIRE_OIP_OBJECT_H
#define WIRE_OIP_OBJECT_H

#include "server/wire/json/lexer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OIP_PATH_MAX  128
#define OIP_NAMES_MAX 64 /* keys that one object can have */

/* An object that is being read; all but the last two are set by the caller. */
typedef struct {
    json_reader *r;
    const char *place;        /* its path: "inputs[0]"; "" for the request itself */
    const char *noun;         /* what a sentence calls its keys: "field of an input" */
    const char *const *names; /* the keys that it can have */
    size_t count;
    uint64_t seen; /* bit n: the key names[n] was there */
    bool opened;
} oip_object;

/* Moves to the value of the next member whose value is not null (which is absent), and sets *key to the place
 * of its name among the names and `path` to its whole path; or past the end of the object, and sets *done.
 * Fails with *p filled in: not an object, an unknown key, one that is there twice. */
problem_code oip_next_member(oip_object *object, size_t *key, char path[OIP_PATH_MAX], bool *done);

/* Reads an array whose elements are read one by one; "inputs" is its `path`. */
typedef problem_code (*oip_read_item)(void *context, const char *path);
problem_code oip_read_list(json_reader *r, const char *path, oip_read_item read_item, void *context);

/* json_fail with a path. */
problem_code oip_fail(json_reader *r, const char *where, const char *path, problem_code code,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

/* bad_value: the value that begins here is not what was `expected`. */
problem_code oip_fail_kind(json_reader *r, const char *path, const char *expected);

/* The failure that was told is in the place `path`, unless it says itself where. Returns its code. */
problem_code oip_locate(json_reader *r, const char *path);

/* Writes "a, b, c" as far as there is room. */
void oip_list_names(const char *const *names, size_t count, char *list, size_t room);

#endif
