/* value.h: the value of a field of any type, and objects of them. */
#ifndef WIRE_JSON_VALUE_H
#define WIRE_JSON_VALUE_H

#include "server/attend/fields.h"
#include "server/wire/json/lexer.h"

/* Reads the value of a field into its `member`, which the caller zeroed; null leaves it so. `path` is the
 * field's whole name, like "view.heads". Fails with everything filled in. */
problem_code json_read_value(json_reader *r, const field *f, const char *path, void *member);

/* Reads the rest of an object with these fields, from after its '{' to after its '}', into `object`. */
problem_code json_read_members(json_reader *r, const field_table *table, void *object);

#endif
