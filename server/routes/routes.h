/* routes.h: the table of endpoints. */
#ifndef ROUTES_H
#define ROUTES_H

#include "server/http/http.h"

#include <jansson.h>

/* Finds the route of `method` and `path`. NULL if there is none: then `allowed` is set to the methods of that
 * path, or to "" if no route has the path. OPTIONS has a route on any path, and `allowed` is set as well, to
 * all methods if no other route has the path. `argument` is set to the text that {} stands for, cut to the
 * room that there is, or to "". */
const http_route *route_find(const char *method, const char *path, char argument[HTTP_SEGMENT_SIZE],
                             char allowed[HTTP_ALLOW_SIZE]);

/* Does it tell the service's health? Such a path is answered whatever else there is no room for. */
bool is_health_path(const char *path);

extern const http_work attend_work; /* attend.c: POST /attend, POST /attend/{model} */
extern const http_work oip_work;    /* oip.c: POST /v2/models/{name}/infer */

void handle_models(http_exchange *x);  /* models.c: GET /models */
void handle_model(http_exchange *x);   /* models.c: GET /models/{name} */
void handle_healthz(http_exchange *x); /* health.c: GET /healthz */
void handle_readyz(http_exchange *x);  /* health.c: GET /readyz */
void handle_openapi(http_exchange *x); /* models.c: GET /openapi.json */

void handle_page(http_exchange *x);        /* explorer.c: GET / */
void handle_asset(http_exchange *x);       /* explorer.c: GET /assets/{name} */
void handle_result_page(http_exchange *x); /* explorer.c: GET /results/{id} */

/* explorer.c: is it one of the paths that are opened in a browser, to be read by a person? */
bool is_page_path(const char *path);

/* explorer.c: the answer is this 404, as a page. False: no memory. */
bool show_not_found(http_exchange *x, const problem *p);

extern const http_work result_json_work;    /* results.c: GET /results/{id}.json */
extern const http_work result_picture_work; /* results.c: GET /results/{id}/heatmap.png */

void handle_result_delete(http_exchange *x); /* results.c: DELETE /results/{id} */

void handle_oip_live(http_exchange *x);        /* oip.c: GET /v2/health/live */
void handle_oip_ready(http_exchange *x);       /* oip.c: GET /v2/health/ready */
void handle_oip_server(http_exchange *x);      /* oip.c: GET /v2 */
void handle_oip_model(http_exchange *x);       /* oip.c: GET /v2/models/{name} */
void handle_oip_model_ready(http_exchange *x); /* oip.c: GET /v2/models/{name}/ready */

/* models.c: frees what GET /models and GET /openapi.json have made. */
void documents_free(service *s);

/* openapi.c: the description of the API, with examples for the first of these models; the caller owns it.
 * NULL: no memory. */
json_t *describe_api(const attn_registry *registry);

/* models.c: the answer is this document, whose reference is taken over; NULL means that memory ran out. */
void answer_document(http_exchange *x, json_t *object);

/* results.c: what every answer under /results/ has: no cache and no other site may learn of its path. */
extern const http_header result_headers[];
bool is_result_path(const char *path);

/* results.c: the answer is 404, there is no such result. */
void answer_no_result(http_exchange *x);

/* The answer is 404: no model is called `name`; the sentence lists those that are. `path` is where the name
 * stood, or "". */
void answer_no_model(http_exchange *x, const char *name, const char *path);

#endif
