#include "server/routes/routes.h"

#include <stdio.h>
#include <string.h>

static void handle_options(http_exchange *x) {
    x->status = 204;
}

/* OPTIONS, on any path: what its other methods are stands in Allow. */
static const http_route any_path = {"OPTIONS", "*", MEDIA_OWN, handle_options, NULL, true};

/* Of several patterns that a path has, the first one counts, with all of its methods. */
static const http_route table[] = {
    {"GET", "/", MEDIA_OWN, handle_page, NULL, true},
    {"GET", "/assets/{}", MEDIA_OWN, handle_asset, NULL, false},
    {"POST", "/attend", MEDIA_TENSORS, NULL, &attend_work, false},
    {"POST", "/attend/{}", MEDIA_TENSORS, NULL, &attend_work, false},
    {"GET", "/models", MEDIA_JSON, handle_models, NULL, false},
    {"GET", "/models/{}", MEDIA_JSON, handle_model, NULL, false},
    {"GET", "/healthz", MEDIA_JSON, handle_healthz, NULL, true},
    {"GET", "/readyz", MEDIA_JSON, handle_readyz, NULL, true},
    {"GET", "/openapi.json", MEDIA_JSON, handle_openapi, NULL, false},
    {"GET", "/results/{}.json", MEDIA_OWN, NULL, &result_json_work, false},
    {"GET", "/results/{}/heatmap.png", MEDIA_PICTURE, NULL, &result_picture_work, false},
    {"GET", "/results/{}", MEDIA_OWN, handle_result_page, NULL, true},
    {"DELETE", "/results/{}", MEDIA_OWN, handle_result_delete, NULL, true},
    {"GET", "/v2", MEDIA_OWN, handle_oip_server, NULL, false},
    {"GET", "/v2/", MEDIA_OWN, handle_oip_server, NULL, false},
    {"GET", "/v2/health/live", MEDIA_OWN, handle_oip_live, NULL, true},
    {"GET", "/v2/health/ready", MEDIA_OWN, handle_oip_ready, NULL, true},
    {"GET", "/v2/models/{}", MEDIA_OWN, handle_oip_model, NULL, false},
    {"GET", "/v2/models/{}/versions/1", MEDIA_OWN, handle_oip_model, NULL, false},
    {"GET", "/v2/models/{}/ready", MEDIA_OWN, handle_oip_model_ready, NULL, true},
    {"GET", "/v2/models/{}/versions/1/ready", MEDIA_OWN, handle_oip_model_ready, NULL, true},
    {"POST", "/v2/models/{}/infer", MEDIA_OWN, NULL, &oip_work, false},
    {"POST", "/v2/models/{}/versions/1/infer", MEDIA_OWN, NULL, &oip_work, false},
};

/* Does the path have this pattern? A {} in it stands for a text without a slash that is not empty, which goes
 * into `argument`. */
static bool matches(const char *pattern, const char *path, char argument[HTTP_SEGMENT_SIZE]) {
    const char *const hole = strstr(pattern, "{}");
    const size_t before = hole == NULL ? strlen(pattern) : (size_t)(hole - pattern);
    *argument = '\0';
    if (hole == NULL)
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, before) != 0)
        return false;
    const char *const after = hole + 2, *const text = path + before;
    const size_t segment = strcspn(text, "/"), ending = strcspn(after, "/");
    if (segment <= ending || strcmp(text + segment - ending, after) != 0)
        return false;
    const size_t length = segment - ending,
                 kept = length < HTTP_SEGMENT_SIZE ? length : HTTP_SEGMENT_SIZE - 1;
    memcpy(argument, text, kept);
    argument[kept] = '\0';
    return true;
}

/* Adds a method to a list of them. */
static void allow(char allowed[HTTP_ALLOW_SIZE], const char *method) {
    const size_t length = strlen(allowed);
    snprintf(allowed + length, HTTP_ALLOW_SIZE - length, "%s%s", length == 0 ? "" : ", ", method);
}

const http_route *route_find(const char *method, const char *path, char argument[HTTP_SEGMENT_SIZE],
                             char allowed[HTTP_ALLOW_SIZE]) {
    const char *pattern = NULL;
    const bool asks = strcmp(method, any_path.method) == 0;
    *allowed = '\0';
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (pattern == NULL ? !matches(table[i].path, path, argument) : strcmp(table[i].path, pattern) != 0)
            continue;
        const bool get = strcmp(table[i].method, "GET") == 0;
        pattern = table[i].path;
        if (strcmp(table[i].method, method) == 0 || (get && strcmp(method, "HEAD") == 0)) {
            *allowed = '\0';
            return &table[i];
        }
        allow(allowed, get ? "GET, HEAD" : table[i].method);
    }
    if (!asks)
        return NULL;
    if (pattern != NULL)
        allow(allowed, any_path.method);
    else
        strcpy(allowed, HTTP_METHODS);
    return &any_path;
}

bool is_health_path(const char *path) {
    static const char *const paths[] = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (strcmp(path, paths[i]) == 0)
            return true;
    return false;
}
