/* option.h: the values of a request that are neither tensors nor objects. */
#ifndef WIRE_JSON_OPTION_H
#define WIRE_JSON_OPTION_H

#include "server/attend/fields.h"
#include "server/wire/json/lexer.h"

/* Reads the value that begins at the reader's place into `member`, which is what the type of the field says
 * and is zeroed by the caller. `path` is the field's whole name, like "view.heads". Fails with the code,
 * sentence and offset filled in, and the path where it is longer than `path`. */
problem_code json_read_option(json_reader *r, const field *f, const char *path, void *member);

#endif
