/* explorer.c: GET / and GET /assets/{name}, the page and what it loads; GET /results/{id} is the page too. */
#include "server/assets.h"
#include "server/routes/handlers.h"
#include "server/store/store.h"

#include <stdint.h>
#include <string.h>

#define PAGE "index.html"

/* The page runs nothing but its own modules, sends nothing to another host, and is in nobody's frame. */
#define POLICY                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src "      \
    "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void set_page_headers(http_exchange *x, const char *cache, const char *vary) {
    http_set_header(x, "Cache-Control", cache);
    http_set_header(x, "Content-Security-Policy", POLICY);
    http_set_header(x, "X-Content-Type-Options", "nosniff");
    http_set_header(x, "Referrer-Policy", "no-referrer");
    http_set_header(x, "Vary", vary);
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

bool write_not_found_page(http_exchange *x, const problem *p) {
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
    set_page_headers(x, "private, no-store", "Accept"); /* a program that asks for the same gets JSON */
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
    const char *known = x->head->if_none_match;
    return known != NULL && (strcmp(known, "*") == 0 || strstr(known, file->etag) != NULL);
}

static void answer_asset(http_exchange *x, const char *name) {
    const web_asset *file = asset_web(name);
    problem p;
    if (file == NULL) {
        problem_set(&p, PROBLEM_NOT_FOUND, "the explorer has no file '%.96s'", name);
        http_answer_problem(x, &p);
        return;
    }
    set_page_headers(x, "no-cache", "Accept-Encoding"); /* asked for again each time, and answered with 304 */
    http_set_header(x, "ETag", file->etag);
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
    if (!store_has(x->service->results, x->argument)) {
        answer_no_result(x);
        return;
    }
    set_page_headers(x, "private, no-store", "Accept-Encoding"); /* its path is a secret */
    answer_file(x, page);
}
