#include "server/routes/routes.h"

#include "server/routes/handlers.h"

static const http_chapter native = {"", ""};
static const http_chapter open_inference = {"/v2/", ", where {name} may be {name}/versions/1"};

#define ANY_QUERY http_any_query
#define HEALTH    HTTP_HEALTH
#define PAGE      HTTP_PAGE
#define SECRET    HTTP_SECRET
#define OPEN      HTTP_OPEN
#define ADMIN     HTTP_ADMIN

// clang-format off
static const http_route rows[] = {
    /* method, path,                                 flags,                 media,           query,         work,                 handle,                 chapter */
    {"GET",    "/",                                  OPEN | PAGE,           NULL,            ANY_QUERY,     NULL,                 handle_page,            &native},
    {"GET",    "/assets/{name}",                     OPEN | PAGE,           NULL,            NULL,          NULL,                 handle_asset,           NULL},
    {"POST",   "/attend",                            0,                     &tensor_media,   attend_query,  &attend_work,         NULL,                   &native},
    {"POST",   "/attend/{model}",                    0,                     &tensor_media,   attend_query,  &attend_work,         NULL,                   &native},
    {"GET",    "/models",                            0,                     &document_media, NULL,          NULL,                 handle_models,          &native},
    {"GET",    "/models/{name}",                     0,                     &document_media, NULL,          NULL,                 handle_model,           &native},
    {"GET",    "/results/{id}.json",                 OPEN | SECRET,         NULL,            NULL,          &result_json_work,    NULL,                   NULL},
    {"GET",    "/results/{id}/heatmap.png",          OPEN | SECRET,         NULL,            picture_query, &result_picture_work, NULL,                   NULL},
    {"GET",    "/results/{id}",                      OPEN | SECRET | PAGE,  NULL,            ANY_QUERY,     NULL,                 handle_result_page,     &native},
    {"DELETE", "/results/{id}",                      OPEN | SECRET | PAGE,  NULL,            ANY_QUERY,     NULL,                 handle_result_delete,   NULL},
    {"GET",    "/openapi.json",                      0,                     &document_media, NULL,          NULL,                 handle_openapi,         &native},
    {"GET",    "/healthz",                           OPEN | HEALTH | ADMIN, &document_media, ANY_QUERY,     NULL,                 handle_healthz,         &native},
    {"GET",    "/readyz",                            OPEN | HEALTH | ADMIN, &document_media, ANY_QUERY,     NULL,                 handle_readyz,          &native},
    {"GET",    "/metrics",                           HEALTH | ADMIN,        &metrics_media,  ANY_QUERY,     NULL,                 handle_metrics,         &native},
    {"GET",    "/v2",                                0,                     NULL,            NULL,          NULL,                 handle_oip_server,      &open_inference},
    {"GET",    "/v2/",                               0,                     NULL,            NULL,          NULL,                 handle_oip_server,      NULL},
    {"GET",    "/v2/health/live",                    HEALTH,                NULL,            ANY_QUERY,     NULL,                 handle_oip_live,        &open_inference},
    {"GET",    "/v2/health/ready",                   HEALTH,                NULL,            ANY_QUERY,     NULL,                 handle_oip_ready,       &open_inference},
    {"GET",    "/v2/models/{name}",                  0,                     NULL,            NULL,          NULL,                 handle_oip_model,       &open_inference},
    {"GET",    "/v2/models/{name}/versions/1",       0,                     NULL,            NULL,          NULL,                 handle_oip_model,       NULL},
    {"GET",    "/v2/models/{name}/ready",            0,                     NULL,            ANY_QUERY,     NULL,                 handle_oip_model_ready, &open_inference},
    {"GET",    "/v2/models/{name}/versions/1/ready", 0,                     NULL,            ANY_QUERY,     NULL,                 handle_oip_model_ready, NULL},
    {"POST",   "/v2/models/{name}/infer",            0,                     NULL,            NULL,          &oip_work,            NULL,                   &open_inference},
    {"POST",   "/v2/models/{name}/versions/1/infer", 0,                     NULL,            NULL,          &oip_work,            NULL,                   NULL},
};
// clang-format on

const http_routes service_routes = {rows, sizeof rows / sizeof *rows, write_not_found_page, false};
const http_routes admin_routes = {rows, sizeof rows / sizeof *rows, NULL, true};
