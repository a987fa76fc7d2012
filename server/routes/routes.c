#include "server/routes/routes.h"

#include <string.h>

static const http_route table[] = {
    {"POST", "/attend", true, handle_attend},   {"POST", "/attend/{}", true, handle_attend},
    {"GET", "/models", false, handle_models},   {"GET", "/models/{}", false, handle_model},
    {"GET", "/healthz", false, handle_healthz}, {"GET", "/readyz", false, handle_readyz},
};

static bool matches(const char *pattern, const char *path, const char **argument) {
    const size_t length = strlen(pattern);
    *argument = NULL;
    if (length < 2 || strcmp(pattern + length - 2, "{}") != 0)
        return strcmp(pattern, path) == 0;
    if (strncmp(pattern, path, length - 2) != 0)
        return false;
    *argument = path + length - 2;
    return **argument != '\0' && strchr(*argument, '/') == NULL;
}

const http_route *route_find(const char *method, const char *path, const char **argument,
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
