#include "server/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int http_status;
    const char *name;
} problems[PROBLEM_COUNT] = {
    [PROBLEM_NONE] = {200, "none"},
    [PROBLEM_MALFORMED_JSON] = {400, "malformed_json"},
    [PROBLEM_MALFORMED_TENSOR] = {400, "malformed_tensor"},
    [PROBLEM_BAD_SHAPE] = {400, "bad_shape"},
    [PROBLEM_BAD_VALUE] = {400, "bad_value"},
    [PROBLEM_UNKNOWN_FIELD] = {400, "unknown_field"},
    [PROBLEM_MISSING_FIELD] = {400, "missing_field"},
    [PROBLEM_BAD_REQUEST] = {400, "bad_request"},
    [PROBLEM_UNAUTHORIZED] = {401, "unauthorized"},
    [PROBLEM_FORBIDDEN_ORIGIN] = {403, "forbidden_origin"},
    [PROBLEM_NOT_FOUND] = {404, "not_found"},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "method_not_allowed"},
    [PROBLEM_NOT_ACCEPTABLE] = {406, "not_acceptable"},
    [PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported_media_type"},
    [PROBLEM_UPLOAD_TIMEOUT] = {408, "upload_timeout"},
    [PROBLEM_TOO_LARGE] = {413, "too_large"},
    [PROBLEM_MISDIRECTED] = {421, "misdirected"},
    [PROBLEM_QUEUE_FULL] = {429, "queue_full"},
    [PROBLEM_DEADLINE_EXCEEDED] = {504, "deadline_exceeded"},
    [PROBLEM_UNAVAILABLE] = {503, "unavailable"},
    [PROBLEM_OUT_OF_MEMORY] = {507, "out_of_memory"},
};

/* A piece of the request that is quoted may hold anything. */
static void clean(char *text) {
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text > 0x7e)
            *text = '?';
}

static void __attribute__((format(printf, 3, 0)))
set(problem *p, problem_code code, const char *format, va_list arguments) {
    memset(p, 0, sizeof *p);
    p->code = code;
    vsnprintf(p->text, sizeof p->text, format, arguments);
    clean(p->text);
}

problem_code problem_set(problem *p, problem_code code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set(p, code, format, arguments);
    va_end(arguments);
    return code;
}

void problem_at(problem *p, const char *path) {
    snprintf(p->path, sizeof p->path, "%s", path);
    clean(p->path);
}

problem_code problem_set_at(problem *p, problem_code code, const char *path, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    set(p, code, format, arguments);
    va_end(arguments);
    problem_at(p, path);
    return code;
}

problem_code problem_from_core(problem *p, attn_status status, const attn_error *error) {
    switch (status) {
    case ATTN_OK:
        return problem_set(p, PROBLEM_NONE, "%s", "");
    case ATTN_OVER_BUDGET:
        return problem_set(
            p, PROBLEM_QUEUE_FULL,
            "this request and those in progress would together hold more than --max-memory allows; "
            "try again later, with less, or raise it");
    case ATTN_CANCELLED:
        return problem_set(p, PROBLEM_DEADLINE_EXCEEDED, "the request was stopped before it was answered");
    case ATTN_NO_MEMORY:
        return problem_set(p, PROBLEM_OUT_OF_MEMORY,
                           "the service could not allocate memory for this request");
    case ATTN_BAD_MODEL:
    case ATTN_BAD_VALUE:
        break;
    }
    return problem_set(p, PROBLEM_BAD_VALUE, "%s", error->text);
}

int problem_http_status(problem_code code) {
    return problems[code].http_status;
}

const char *problem_name(problem_code code) {
    return problems[code].name;
}
