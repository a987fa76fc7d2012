/* handlers.h: what the rows of the table of routes point to, and what these have in common; each file of this
 * folder defines its own. */
#ifndef ROUTES_HANDLERS_H
#define ROUTES_HANDLERS_H

#include "server/http/route.h"
#include "server/wire/format.h"

#include <jansson.h>

/* ---- The rows ---- */

/* attend.c */
extern const http_work attend_work; /* POST /attend, POST /attend/{model} */
http_query attend_query;
http_query picture_query; /* x->route_data becomes picture_options, which live as long as the exchange */

/* explorer.c */
void handle_page(http_exchange *x);        /* GET / */
void handle_asset(http_exchange *x);       /* GET /assets/{name} */
void handle_result_page(http_exchange *x); /* GET /results/{id} */
bool write_not_found_page(http_exchange *x, const problem *p);

/* health.c */
void handle_healthz(http_exchange *x); /* GET /healthz */
void handle_readyz(http_exchange *x);  /* GET /readyz */

/* metrics.c */
void handle_metrics(http_exchange *x); /* GET /metrics */

/* models.c */
void handle_models(http_exchange *x);  /* GET /models */
void handle_model(http_exchange *x);   /* GET /models/{name} */
void handle_openapi(http_exchange *x); /* GET /openapi.json */

/* oip.c */
void handle_oip_live(http_exchange *x);        /* GET /v2/health/live */
void handle_oip_ready(http_exchange *x);       /* GET /v2/health/ready */
void handle_oip_server(http_exchange *x);      /* GET /v2 */
void handle_oip_model(http_exchange *x);       /* GET /v2/models/{name} */
void handle_oip_model_ready(http_exchange *x); /* GET /v2/models/{name}/ready */
extern const http_work oip_work;               /* POST /v2/models/{name}/infer */

/* results.c */
extern const http_work result_json_work;     /* GET /results/{id}.json */
extern const http_work result_picture_work;  /* GET /results/{id}/heatmap.png */
void handle_result_delete(http_exchange *x); /* DELETE /results/{id} */

/* media.c */
extern const http_media document_media; /* JSON */
extern const http_media tensor_media;   /* whatever wire/format.h can read and write */
extern const http_media metrics_media;  /* plain text, or: */
extern const char media_open_metrics[];

/* ---- What they have in common ---- */

/* documents.c: the answer is this document, whose reference is taken over; NULL means that memory ran out. */
void answer_document(http_exchange *x, json_t *object);

/* documents.c: the answer is *d, of the exchange's snapshot, which `describe` makes when it is asked for
 * first: it is long, and this is the thread that serves everybody. */
void answer_once(http_exchange *x, document *d, json_t *(*describe)(const snapshot *s));

/* health.c: does the service listen for requests, and want new ones? False with the answer given: 503. */
bool check_ready(http_exchange *x);

/* lookup.c: the model called `name`, or the default for NULL. NULL with the answer given, 404, which lists
 * those that there are; `path` is the place in the body where the name stood, or "". */
const attn_model *lookup_model(http_exchange *x, const char *name, const char *path);

/* lookup.c: the answer is 404: no result is kept under the path. */
void answer_no_result(http_exchange *x);

/* media.c: the wire format of a media type that was chosen. */
const wire_format *media_format(const char *type);

/* openapi.c: the description of the API, with examples for the first of these models; the caller owns it.
 * NULL: no memory. */
json_t *describe_api(const snapshot *s);

#endif
