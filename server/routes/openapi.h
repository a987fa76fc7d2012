/* openapi.h: what GET /openapi.json says. The parts that say what a request may hold come from the tables
 * that the decoders use; the rest is server/openapi.json. */
#ifndef ROUTES_OPENAPI_H
#define ROUTES_OPENAPI_H

#include "core/model/registry.h"

#include <jansson.h>

/* The description of the API, with examples for the first of these models; the caller owns it. NULL: no
 * memory. */
json_t *describe_api(const attn_registry *registry);

#endif
