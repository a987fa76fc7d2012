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

/* A file of the explorer, which the Makefile takes from server/web/. */
typedef struct {
    const char *name;
    const char *etag;                  /* of its contents, with quotation marks (RFC 9110, section 8.8.3) */
    const char *begin, *end;           /* as it is */
    const char *gzip_begin, *gzip_end; /* compressed */
} web_asset;

/* All of them, terminated by one whose name is NULL; the Makefile writes this table. */
extern const web_asset web_assets[];

/* The file with this name, or NULL. */
const web_asset *asset_web(const char *name);

/* The Content-Type that goes with the name of a file. */
const char *asset_media_type(const char *name);

#endif
