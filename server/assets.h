/* assets.h: files that are part of the program. */
#ifndef SERVER_ASSETS_H
#define SERVER_ASSETS_H

#include <stddef.h>

typedef struct {
    const char *bytes; /* not NUL-terminated */
    size_t length;
} asset;

/* server/openapi.json */
asset asset_openapi(void);

#endif
