/* routes.h: the table of endpoints. */
#ifndef ROUTES_H
#define ROUTES_H

#include "server/http.h"

/* Finds the route of `method` and `path`. NULL if there is none: then *allowed names the methods of that
 * path, or is NULL if no route has the path. *argument is set to the segment that {} stands for, or NULL; it
 * points into `path`. */
const http_route *route_find(const char *method, const char *path, const char **argument,
                             const char **allowed);

void handle_attend(http_exchange *x);  /* attend.c: POST /attend, POST /attend/{model} */
void handle_models(http_exchange *x);  /* models.c: GET /models */
void handle_model(http_exchange *x);   /* models.c: GET /models/{name} */
void handle_healthz(http_exchange *x); /* health.c: GET /healthz */
void handle_readyz(http_exchange *x);  /* health.c: GET /readyz */

/* The answer is 404: no model is called `name`; the sentence lists those that are. `path` is where the name
 * stood, or "". */
void answer_no_model(http_exchange *x, const char *name, const char *path);

#endif
