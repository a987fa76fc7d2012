/* problem.h: what is wrong with a request, in the form in which the caller is told. */
#ifndef SERVER_PROBLEM_H
#define SERVER_PROBLEM_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>

/* In the order of the table in problem.c, which gives each its name and HTTP status. */
typedef enum {
    PROBLEM_NONE = 0,
    PROBLEM_MALFORMED_JSON,
    PROBLEM_MALFORMED_TENSOR,
    PROBLEM_BAD_SHAPE,
    PROBLEM_BAD_VALUE,
    PROBLEM_UNKNOWN_FIELD,
    PROBLEM_MISSING_FIELD,
    PROBLEM_BAD_REQUEST, /* HTTP framing that cannot be trusted */
    PROBLEM_UNAUTHORIZED,
    PROBLEM_FORBIDDEN_ORIGIN,
    PROBLEM_NOT_FOUND,
    PROBLEM_METHOD_NOT_ALLOWED,
    PROBLEM_NOT_ACCEPTABLE,
    PROBLEM_UNSUPPORTED_MEDIA_TYPE,
    PROBLEM_UPLOAD_TIMEOUT,
    PROBLEM_TOO_LARGE,
    PROBLEM_MISDIRECTED,
    PROBLEM_QUEUE_FULL,
    PROBLEM_DEADLINE_EXCEEDED,
    PROBLEM_UNAVAILABLE,
    PROBLEM_OUT_OF_MEMORY,
    PROBLEM_COUNT,
} problem_code;

typedef struct {
    problem_code code;
    char text[1024]; /* one sentence: what was wrong, where, what was expected */
    char path[128];  /* the place in the request, like "query[0][3]"; "" if there is none */
    size_t offset;   /* byte offset in the body, if has_offset */
    bool has_offset;
} problem;

/* Fills in *p (without path and offset) and returns its code. Every byte of the sentence that is not
 * printable ASCII becomes a question mark. */
problem_code problem_set(problem *p, problem_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says where: the path is cut, and cleaned like the sentence. */
void problem_at(problem *p, const char *path);

/* Both at once. */
problem_code problem_set_at(problem *p, problem_code code, const char *path, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The problem that a failure in core means to the caller of the service. */
problem_code problem_from_core(problem *p, attn_status status, const attn_error *error);

/* Returns from the calling function with what went wrong in the call, if anything did. */
#define PROBLEM_TRY(call)                                                                                    \
    do {                                                                                                     \
        const problem_code code_of_call = (call);                                                            \
        if (code_of_call != PROBLEM_NONE)                                                                    \
            return code_of_call;                                                                             \
    } while (0)

int problem_http_status(problem_code code);  /* like 400 */
const char *problem_name(problem_code code); /* like "bad_shape" */

#endif
