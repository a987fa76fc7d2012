/* option.h: the values of a request that are neither tensors nor objects. */
#ifndef WIRE_JSON_OPTION_H
#define WIRE_JSON_OPTION_H

#include "server/attend/fields.h"
#include "server/wire/json/lexer.h"

/* Reads the value that begins here into `member`, which is what the type of the field says
 * and is zeroed by the caller; null leaves it so. `path` is the field's whole name, like "view.heads". Fails
 * with everything filled in. */
problem_code json_read_option(json_reader *r, const field *f, const char *path, void *member);

/* Reads a string at `path` like json_read_string. Fails with everything filled in, also
 * if it is none. */
problem_code json_read_name(json_reader *r, const char *path, char *name, size_t room, size_t *length);

#endif
