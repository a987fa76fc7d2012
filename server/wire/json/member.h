/* member.h: the members of a JSON object, as a table of fields says. */
#ifndef WIRE_JSON_MEMBER_H
#define WIRE_JSON_MEMBER_H

#include "server/attend/fields.h"
#include "server/wire/json/lexer.h"

/* Reads a key, and finds it in the table; `seen` tells which were found before. Fails if it is not there, and
 * if it was before. */
problem_code json_read_key(json_reader *r, const field_table *table, bool seen[FIELDS_MAX],
                           const field **found);

/* Reads the value of a field into its `member`, which the caller zeroed; null leaves it so. `path` is the
 * field's whole name, like "view.heads". Fails with everything filled in. */
problem_code json_read_value(json_reader *r, const field *f, const char *path, void *member);

/* Reads the rest of an object with these fields, from after its '{' to after its '}', into `object`. */
problem_code json_read_members(json_reader *r, const field_table *table, void *object);

#endif
