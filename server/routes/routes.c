#include "server/routes/routes.h"

#include <string.h>

static const http_route table[] = {
    {"POST", "/attend", MEDIA_TENSORS, NULL, &attend_work},
    {"POST", "/attend/{}", MEDIA_TENSORS, NULL, &attend_work},
    {"GET", "/models", MEDIA_JSON, handle_models, NULL},
    {"GET", "/models/{}", MEDIA_JSON, handle_model, NULL},
    {"GET", "/healthz", MEDIA_JSON, handle_healthz, NULL},
    {"GET", "/readyz", MEDIA_JSON, handle_readyz, NULL},
    {"GET", "/openapi.json", MEDIA_JSON, handle_openapi, NULL},
    {"GET", "/v2", MEDIA_OWN, handle_oip_server, NULL},
    {"GET", "/v2/", MEDIA_OWN, handle_oip_server, NULL},
    {"GET", "/v2/health/live", MEDIA_OWN, handle_oip_live, NULL},
    {"GET", "/v2/health/ready", MEDIA_OWN, handle_oip_ready, NULL},
    {"GET", "/v2/models/{}", MEDIA_OWN, handle_oip_model, NULL},
    {"GET", "/v2/models/{}/versions/1", MEDIA_OWN, handle_oip_model, NULL},
    {"GET", "/v2/models/{}/ready", MEDIA_OWN, handle_oip_model_ready, NULL},
    {"GET", "/v2/models/{}/versions/1/ready", MEDIA_OWN, handle_oip_model_ready, NULL},
    {"POST", "/v2/models/{}/infer", MEDIA_OWN, NULL, &oip_work},
    {"POST", "/v2/models/{}/versions/1/infer", MEDIA_OWN, NULL, &oip_work},
};

/* Does the path have this pattern? A {} in it stands for one segment that is not empty, which goes into
 * `argument`. */
static bool matches(const char *pattern, const char *path, char argument[HTTP_SEGMENT_SIZE]) {
    const char *const hole = strstr(pattern, "{}");
    const size_t before = hole == NULL ? strlen(pattern) : (size_t)(hole - pattern);
    *argument = '\0';
    if (hole == NULL)
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, before) != 0)
        return false;
    const size_t length = strcspn(path + before, "/");
    if (length == 0 || strcmp(path + before + length, hole + 2) != 0)
        return false;
    const size_t kept = length < HTTP_SEGMENT_SIZE ? length : HTTP_SEGMENT_SIZE - 1;
    memcpy(argument, path + before, kept);
    argument[kept] = '\0';
    return true;
}

const http_route *route_find(const char *method, const char *path, char argument[HTTP_SEGMENT_SIZE],
                             const char **allowed) {
    *allowed = NULL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!matches(table[i].path, path, argument))
            continue;
        const bool get = strcmp(table[i].method, "GET") == 0;
        if (strcmp(table[i].method, method) == 0 || (get && strcmp(method, "HEAD") == 0))
            return &table[i];
        *allowed = get ? "GET, HEAD" : table[i].method;
    }
    return NULL;
}
