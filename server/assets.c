#include "server/assets.h"

#include "server/embed.h"

#include <string.h>

EMBED(openapi, "server/openapi.json");

asset asset_openapi(void) {
    return (asset){openapi_begin, (size_t)(openapi_end - openapi_begin)};
}

const web_asset *asset_web(const char *name) {
    for (const web_asset *file = web_assets; file->name != NULL; file++)
        if (strcmp(file->name, name) == 0)
            return file;
    return NULL;
}

const char *asset_media_type(const char *name) {
    static const struct {
        const char *suffix, *media_type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
    };
    const char *suffix = strrchr(name, '.');
    for (size_t i = 0; suffix != NULL && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(suffix, types[i].suffix) == 0)
            return types[i].media_type;
    return "application/octet-stream";
}
