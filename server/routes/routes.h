/* routes.h: the table of endpoints. */
#ifndef ROUTES_H
#define ROUTES_H

#include "server/http.h"

#include <jansson.h>

/* Finds the route of `method` and `path`. NULL if there is none: then *allowed names the methods of that
 * path, or is NULL if no route has the path. `argument` is set to the segment that {} stands for, cut to the
 * room that there is, or to "". */
const http_route *route_find(const char *method, const char *path, char argument[HTTP_SEGMENT_SIZE],
                             const char **allowed);

extern const http_work attend_work; /* attend.c: POST /attend, POST /attend/{model} */
extern const http_work oip_work;    /* oip.c: POST /v2/models/{name}/infer */

void handle_models(http_exchange *x);  /* models.c: GET /models */
void handle_model(http_exchange *x);   /* models.c: GET /models/{name} */
void handle_healthz(http_exchange *x); /* health.c: GET /healthz */
void handle_readyz(http_exchange *x);  /* health.c: GET /readyz */
void handle_openapi(http_exchange *x); /* openapi.c: GET /openapi.json */

void handle_oip_live(http_exchange *x);        /* oip.c: GET /v2/health/live */
void handle_oip_ready(http_exchange *x);       /* oip.c: GET /v2/health/ready */
void handle_oip_server(http_exchange *x);      /* oip.c: GET /v2 */
void handle_oip_model(http_exchange *x);       /* oip.c: GET /v2/models/{name} */
void handle_oip_model_ready(http_exchange *x); /* oip.c: GET /v2/models/{name}/ready */

/* models.c: the answer is this document, whose reference is taken over; NULL means that memory ran out. */
void answer_document(http_exchange *x, json_t *document);

/* The answer is 404: no model is called `name`; the sentence lists those that are. `path` is where the name
 * stood, or "". */
void answer_no_model(http_exchange *x, const char *name, const char *path);

#endif
