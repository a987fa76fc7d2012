#include "server/http/exchange.h"

#include "server/clock.h"
#include "server/wire/json/json.h"

#include <string.h>

#define CHECK_EVERY 1000000u /* nanoseconds, for a client that has left */

void http_set_header(http_exchange *x, const char *name, const char *value) {
    size_t n = strcmp(name, "Vary") == 0 ? x->header_count : 0;
    while (n < x->header_count && strcmp(x->headers[n].name, name) != 0)
        n++;
    if (n == HTTP_HEADERS_MAX)
        return;
    x->headers[n] = (http_header){name, value};
    x->header_count += n == x->header_count;
}

void http_copy_header(http_exchange *x, const char *name, const char *value) {
    const size_t size = strlen(value) + 1;
    if (size > sizeof x->values - x->values_used)
        return;
    char *copy = memcpy(x->values + x->values_used, value, size);
    x->values_used += size;
    http_set_header(x, name, copy);
}

void http_answer_no_memory(http_exchange *x) {
    static char text[] = "{\"error\":\"the service could not allocate memory\",\"code\":\"out_of_memory\"}";
    x->code = PROBLEM_OUT_OF_MEMORY;
    x->status = problem_http_status(x->code);
    x->answer = (wire_buffer){.bytes = text, .length = strlen(text)};
}

void http_answer_problem(http_exchange *x, const problem *p) {
    x->answer = (wire_buffer){.arena = x->small};
    x->media_type = NULL;
    x->answer_encoding = ENCODING_IDENTITY;
    x->header_count = x->fixed_headers;
    x->code = p->code;
    x->status = problem_http_status(p->code);
    const bool is_page = p->code == PROBLEM_NOT_FOUND && x->write_not_found != NULL;
    if (is_page ? !x->write_not_found(x, p) : !json_write_problem(p, &x->answer))
        http_answer_no_memory(x);
}

/* Asks the system, but not more often than is worth it. */
static bool is_abandoned(http_exchange *x, uint64_t now) {
    if (x->is_abandoned == NULL || now < x->next_check)
        return false;
    x->next_check = now + CHECK_EVERY;
    return x->is_abandoned(x);
}

bool http_should_stop(http_exchange *x) {
    if (x->stopped != HTTP_GO_ON)
        return true;
    http_stop_reason before = HTTP_GO_ON;
    const uint64_t now = clock_now();
    const http_stop_reason reason = now >= x->deadline     ? HTTP_TOO_LATE
                                    : x->service->ending   ? HTTP_ENDING
                                    : is_abandoned(x, now) ? HTTP_ABANDONED
                                                           : HTTP_GO_ON;
    if (reason == HTTP_GO_ON)
        return false;
    atomic_compare_exchange_strong(&x->stopped, &before, reason); /* another thread may have been first */
    return true;
}

void http_answer_stopped(http_exchange *x) {
    problem p;
    if (x->stopped == HTTP_ABANDONED)
        problem_set(
            &p, PROBLEM_UNAVAILABLE,
            "the client closed its side of the connection before it had its answer, and other requests wait");
    else if (x->stopped == HTTP_ENDING)
        problem_set(&p, PROBLEM_UNAVAILABLE, "the service is shutting down and computes no more requests");
    else
        problem_set(&p, PROBLEM_DEADLINE_EXCEEDED,
                    "the request was not answered within its deadline of %.6g ms (%s)",
                    (double)(x->deadline - x->arrived) / 1e6, x->deadline_of);
    http_answer_problem(x, &p);
}
