#include "server/http/answer.h"

#include <stdio.h>
#include <string.h>

static double milliseconds(uint64_t nanoseconds) {
    return (double)nanoseconds / 1e6;
}

void answer_write_timings(const http_timings *t, char text[ANSWER_TIMINGS_SIZE]) {
    *text = '\0';
    if (t->batch > 0)
        snprintf(
            text, ANSWER_TIMINGS_SIZE,
            "parse;dur=%.3f, queue;dur=%.3f, compute;dur=%.3f;desc=\"%s%s%s\";batch=%zu, encode;dur=%.3f",
            milliseconds(t->parse), milliseconds(t->queue), milliseconds(t->compute), t->kernels,
            *t->precision == '\0' ? "" : " ", t->precision, t->batch, milliseconds(t->encode));
}

static void add(answer_headers *list, const char *name, const char *value) {
    if (value != NULL && *value != '\0')
        list->headers[list->count++] = (http_header){name, value};
}

/* Is it worth trying again in a moment? */
static bool is_busy(const http_exchange *x) {
    return x->status == problem_http_status(PROBLEM_QUEUE_FULL) ||
           x->status == problem_http_status(PROBLEM_UNAVAILABLE);
}

/* What kind of body it is; an answer that can have none (204, 304) says nothing. */
static const char *media_type_of(const http_exchange *x) {
    if (x->status == 204 || x->status == 304)
        return NULL;
    return x->media_type == NULL ? "application/json" : x->media_type;
}

/* Two lists as one, in `joined`, where the first may be. */
static const char *join(char *joined, size_t size, const char *first, const char *second) {
    if (first != joined)
        snprintf(joined, size, "%s", first);
    const size_t length = strlen(joined);
    snprintf(joined + length, size - length, ", %s", second);
    return joined;
}

/* The exchange's own headers; all that it varies with on one line. */
static void add_own(answer_headers *list, const http_exchange *x) {
    const char *vary = NULL;
    for (size_t i = 0; i < x->header_count; i++) {
        const http_header *h = &x->headers[i];
        if (strcmp(h->name, "Vary") != 0)
            add(list, h->name, h->value);
        else
            vary = vary == NULL ? h->value : join(list->vary, sizeof list->vary, vary, h->value);
    }
    add(list, "Vary", vary);
}

void answer_list_headers(const http_exchange *x, const answer_ending *ending, answer_headers *list) {
    list->count = 0;
    *list->keep_alive = '\0';
    if (!ending->closes && ending->is_kept)
        snprintf(list->keep_alive, sizeof list->keep_alive, "timeout=%zu", ending->idle_seconds);
    answer_write_timings(&x->timings, list->timings);
    add(list, "Server", "attend-server/" ATTEND_VERSION);
    add(list, "Content-Type", media_type_of(x));
    add(list, "Content-Encoding", encoding_name(x->answer_encoding));
    add(list, "X-Request-Id", ending->request_id);
    add_own(list, x);
    add(list, "Server-Timing", list->timings);
    add(list, "Retry-After", is_busy(x) ? "1" : "");
    add(list, "Connection", ending->closes ? "close" : "");
    add(list, "Keep-Alive", list->keep_alive);
}

size_t answer_write(const http_exchange *x, const answer_ending *ending, const char *reason, char *text,
                    size_t size) {
    answer_headers list;
    answer_list_headers(x, ending, &list);
    size_t n = (size_t)snprintf(text, size, "HTTP/1.1 %d %s\r\nContent-Length: %zu\r\n", x->status, reason,
                                x->answer.length);
    for (size_t i = 0; i < list.count && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s: %s\r\n", list.headers[i].name, list.headers[i].value);
    if (n + 2 + x->answer.length > size)
        return 0;
    memcpy(text + n, "\r\n", 2);
    memcpy(text + n + 2, x->answer.bytes, x->answer.length);
    return n + 2 + x->answer.length;
}
