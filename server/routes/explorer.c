/* explorer.c: GET / and GET /assets/{name}, the page and what it loads; GET /results/{id} is the page too. */
#include "server/assets.h"
#include "server/routes/routes.h"

#include <stdint.h>
#include <string.h>

#define PAGE "index.html"

/* The page runs nothing but its own modules, sends nothing to another host, and is in nobody's frame. */
#define POLICY                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src "      \
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const http_header asset_headers[] = {
    {"Cache-Control", "no-cache"}, /* asked for again each time, and answered with 304 */
    {"Content-Security-Policy", POLICY},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Vary", "Accept-Encoding"},
    {NULL, NULL},
};

/* Its path is a secret, so no cache may have it. */
static const http_header result_page_headers[] = {
    {"Cache-Control", "private, no-store"},
    {"Content-Security-Policy", POLICY},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Vary", "Accept-Encoding"},
    {NULL, NULL},
};

/* For who has followed a link that leads nowhere; a program that asks for the same gets JSON. */
static const http_header not_found_headers[] = {
    {"Cache-Control", "private, no-store"},
    {"Content-Security-Policy", POLICY},
    {"X-Content-Type-Options", "nosniff"},
    {"Referrer-Policy", "no-referrer"},
    {"Vary", "Accept"},
    {NULL, NULL},
};

bool is_page_path(const char *path) {
    const char *ending = strrchr(path, '.');
    return strcmp(path, "/") == 0 || strncmp(path, "/assets/", 8) == 0 ||
           (is_result_path(path) &&
            (ending == NULL || (strcmp(ending, ".json") != 0 && strcmp(ending, ".png") != 0)));
}

static bool append_text(wire_buffer *buffer, const char *text) {
    return wire_buffer_append(buffer, text, strlen(text));
}

/* The sentence may quote the path. */
static bool append_escaped(wire_buffer *buffer, const char *text) {
    for (; *text != '\0'; text++) {
        const char *escaped = *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : NULL;
        if (escaped != NULL ? !append_text(buffer, escaped) : !wire_buffer_append(buffer, text, 1))
            return false;
    }
    return true;
}

bool show_not_found(http_exchange *x, const problem *p) {
    static const char head[] =
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>Not found - attend-server</title>\n"
        "<h1>There is nothing here</h1>\n<p>";
    static const char tail[] = "</p>\n<p><a href=\"/\">Open the explorer</a></p>\n</html>\n";
    x->answer = (wire_buffer){.arena = x->small};
    if (!append_text(&x->answer, head) || !append_escaped(&x->answer, p->text) ||
        !append_text(&x->answer, tail))
        return false;
    x->headers = not_found_headers;
    x->media_type = asset_media_type(PAGE);
    return true;
}

/* The file's bytes stay where they are. */
static void answer_file(http_exchange *x, const web_asset *file) {
    const bool gzip = x->takes_encoding == ENCODING_GZIP;
    const char *begin = gzip ? file->gzip_begin : file->begin, *end = gzip ? file->gzip_end : file->end;
    x->status = 200;
    x->media_type = asset_media_type(file->name);
    x->answer = (wire_buffer){.bytes = (char *)(uintptr_t)begin, .length = (size_t)(end - begin)};
    x->answer_encoding = gzip ? ENCODING_GZIP : ENCODING_IDENTITY;
}

/* Does If-None-Match list this file as it is now? Whether it is compressed makes no difference. */
static bool is_known(const http_exchange *x, const web_asset *file) {
    return x->if_none_match != NULL &&
           (strcmp(x->if_none_match, "*") == 0 || strstr(x->if_none_match, file->etag) != NULL);
}

static void answer_asset(http_exchange *x, const char *name) {
    const web_asset *file = asset_web(name);
    problem p;
    if (file == NULL) {
        problem_set(&p, PROBLEM_NOT_FOUND, "the explorer has no file '%.96s'", name);
        http_answer_problem(x, &p);
        return;
    }
    x->headers = asset_headers;
    x->etag = file->etag;
    answer_file(x, file);
    if (is_known(x, file))
        x->status = 304; /* without the body, but with its length, which the library knows how to do */
}

void handle_page(http_exchange *x) {
    answer_asset(x, PAGE);
}

void handle_asset(http_exchange *x) {
    answer_asset(x, x->argument);
}

void handle_result_page(http_exchange *x) {
    const web_asset *page = asset_web(PAGE);
    if (!results_has(x->service->results, x->argument)) {
        answer_no_result(x);
        return;
    }
    x->headers = result_page_headers;
    answer_file(x, page);
}
