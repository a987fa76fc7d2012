/* lookup.h: what a name in a path or a body stands for. */
#ifndef ROUTES_LOOKUP_H
#define ROUTES_LOOKUP_H

#include "server/http/exchange.h"

/* The model called `name`, or the default for NULL. NULL with the answer given, 404, which lists those that
 * there are; `path` is the place in the body where the name stood, or "". */
const attn_model *lookup_model(http_exchange *x, const char *name, const char *path);

/* The answer is 404: no result is kept under the path. */
void answer_no_result(http_exchange *x);

#endif
