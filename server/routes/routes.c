#include "server/routes/routes.h"

#include <string.h>

static const http_route table[] = {
    {"POST", "/attend", MEDIA_TENSORS, true, handle_attend},
    {"POST", "/attend/{}", MEDIA_TENSORS, true, handle_attend},
    {"GET", "/models", MEDIA_JSON, false, handle_models},
    {"GET", "/models/{}", MEDIA_JSON, false, handle_model},
    {"GET", "/healthz", MEDIA_JSON, false, handle_healthz},
    {"GET", "/readyz", MEDIA_JSON, false, handle_readyz},
    {"GET", "/openapi.json", MEDIA_JSON, false, handle_openapi},
    {"GET", "/v2", MEDIA_OWN, false, handle_oip_server},
    {"GET", "/v2/", MEDIA_OWN, false, handle_oip_server},
    {"GET", "/v2/health/live", MEDIA_OWN, false, handle_oip_live},
    {"GET", "/v2/health/ready", MEDIA_OWN, false, handle_oip_ready},
    {"GET", "/v2/models/{}", MEDIA_OWN, false, handle_oip_model},
    {"GET", "/v2/models/{}/versions/1", MEDIA_OWN, false, handle_oip_model},
    {"GET", "/v2/models/{}/ready", MEDIA_OWN, false, handle_oip_model_ready},
    {"GET", "/v2/models/{}/versions/1/ready", MEDIA_OWN, false, handle_oip_model_ready},
    {"POST", "/v2/models/{}/infer", MEDIA_OWN, true, handle_oip_infer},
    {"POST", "/v2/models/{}/versions/1/infer", MEDIA_OWN, true, handle_oip_infer},
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
