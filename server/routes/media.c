/* media.c: the media types of the routes, from the table of wire formats. */
#include "server/routes/handlers.h"

#include <string.h>

static const char *body_type(size_t n) {
    for (size_t i = 0; i < wire_format_count; i++)
        if (wire_formats[i].read != NULL && n-- == 0)
            return wire_formats[i].media_type;
    return NULL;
}

static const char *answer_type(size_t n) {
    for (size_t i = 0; i < wire_format_count; i++)
        if (wire_formats[i].write != NULL && n-- == 0)
            return wire_formats[i].media_type;
    return NULL;
}

static const char *document_type(size_t n) {
    return n == 0 ? "application/json" : NULL;
}

const char media_open_metrics[] = "application/openmetrics-text";

static const char *metrics_type(size_t n) {
    return n == 0 ? "text/plain" : n == 1 ? media_open_metrics : NULL;
}

const http_media tensor_media = {body_type, answer_type, .needs_body = true};
const http_media document_media = {body_type, document_type, .needs_body = false};
const http_media metrics_media = {body_type, metrics_type, .needs_body = false};

const wire_format *media_format(const char *type) {
    const wire_format *format = wire_formats;
    while (strcmp(format->media_type, type) != 0)
        format++;
    return format;
}
