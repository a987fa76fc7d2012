/* media.h: the media types of the routes, from the table of wire formats. */
#ifndef ROUTES_MEDIA_H
#define ROUTES_MEDIA_H

#include "server/http/route.h"
#include "server/wire/format.h"

extern const http_media document_media; /* JSON */
extern const http_media tensor_media;   /* whatever wire/format.h can read and write */

/* The wire format of a media type that was chosen. */
const wire_format *media_format(const char *type);

#endif
