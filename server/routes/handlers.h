/* handlers.h: what the rows of the table of routes point to; each file of this folder defines its own. */
#ifndef ROUTES_HANDLERS_H
#define ROUTES_HANDLERS_H

#include "server/http/route.h"

/* attend.c */
extern const http_work attend_work; /* POST /attend, POST /attend/{model} */
http_query attend_query;

/* explorer.c */
void handle_page(http_exchange *x);        /* GET / */
void handle_asset(http_exchange *x);       /* GET /assets/{name} */
void handle_result_page(http_exchange *x); /* GET /results/{id} */
bool write_not_found_page(http_exchange *x, const problem *p);

/* health.c */
void handle_healthz(http_exchange *x); /* GET /healthz */
void handle_readyz(http_exchange *x);  /* GET /readyz */

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

#endif
