/* admission.h: what can be said against a request from its headers, before a byte of its body is read. */
#ifndef SERVER_ADMISSION_H
#define SERVER_ADMISSION_H

#include "server/http.h"
#include "server/options.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>

#define HEAD_PARAMETERS 8 /* of the query string that are kept; no path takes as many */

/* A request's head, as the HTTP library read it; a header that is absent is NULL. */
typedef struct {
    const char *method, *path; /* the path without its query, percent-decoded */
    bool http_1_0;
    struct {
        const char *name, *value; /* percent-decoded; a name without = has the value NULL */
    } parameters[HEAD_PARAMETERS];
    size_t parameter_count;           /* of all of them */
    const char *accept, *more_accept; /* a second Accept header adds to the first */
    const char *accept_encoding, *more_accept_encoding;
    const char *content_type, *content_encoding, *content_length, *host, *request_timeout;
    const char *inference_header; /* Inference-Header-Content-Length */
    const char *if_none_match;
    bool transfer_encoding; /* there is such a header */
    bool odd_encoding;      /* ... more than one, or with another value than "chunked" */
    bool odd_name;          /* a header's name ends in a space: what it says may be read or not */
    bool odd_path;          /* the path has an encoded slash or NUL */
    bool ambiguous;         /* two Host headers, or Content-Length headers that differ */
    bool extra;             /* its connection is one beyond --max-connections */
} request_head;

/* Fills in the route, its argument, the formats and encodings, the time allowed and the expected size of the
 * body, or says in *p why the request is refused. */
problem_code admit(const request_head *head, const options *o, http_exchange *x, problem *p);

#endif
