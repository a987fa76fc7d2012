/* exchange.h: a request and its answer. A route's handler reads the one, writes the other, and knows nothing
 * of sockets, of the HTTP library, or of the other routes. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include "core/arena.h"
#include "server/http/compress.h"
#include "server/http/head.h"
#include "server/problem.h"
#include "server/service.h"
#include "server/wire/buffer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SEGMENT_SIZE 128 /* more than any name that a path can have in it */
#define HTTP_HEADERS_MAX  16  /* of an answer, beside those that every answer has */
#define HTTP_VALUES_SIZE  128 /* bytes of their values that are copied, all together */

/* Every method that a route may have, as in an Allow header, and OPTIONS, which is answered on any path. */
#define HTTP_METHODS    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define HTTP_ALLOW_SIZE sizeof HTTP_METHODS

typedef struct http_exchange http_exchange;

typedef struct {
    const char *name, *value;
} http_header;

/* Why the work on a request should stop. */
typedef enum { HTTP_GO_ON, HTTP_TOO_LATE, HTTP_ABANDONED, HTTP_ENDING } http_stop_reason;

/* Where the time of a computed request went. */
typedef struct {
    uint64_t parse, queue, compute, encode; /* nanoseconds; `queue` is all waiting for a worker */
    size_t batch;                           /* requests computed together, this one included; 0: none was */
    const char *kernels, *precision;        /* that computed it; "" for the usual precision */
} http_timings;

struct http_exchange {
    service *service;
    snapshot *snapshot; /* what is served, from when the head has come */
    const struct http_route *route;
    void *route_data;                /* the route's own, from one step to the next */
    const request_head *head;        /* lives as long as the exchange */
    const char *argument;            /* the segment that {} stands for, cut, or NULL */
    char segment[HTTP_SEGMENT_SIZE]; /* where it is kept */
    attn_arena *arena;               /* charged to the budget; goes with the exchange */
    attn_arena *small;               /* not charged: for problems and the small documents */
    wire_buffer body;                /* in `arena` */
    size_t expected_body;            /* bytes, of Content-Length; 0 if it is not known */
    const char *body_type;           /* media type of the body, one of the route's; NULL: it does not say */
    const char *answer_type;         /* media type of the answer, as the caller wants it; likewise */
    content_encoding body_encoding;  /* of the body as it came */
    content_encoding takes_encoding; /* what the caller takes an answer in, beside the identity */

    /* Its time, on clock_now's clock. */
    uint64_t arrived;        /* when the last byte of the request had come */
    uint64_t time_allowed;   /* nanoseconds from then on */
    uint64_t deadline;       /* when it must be answered ... */
    const char *deadline_of; /* ... according to this flag, header or parameter */
    _Atomic http_stop_reason stopped;
    _Atomic uint64_t next_check; /* when the client is looked for again */
    /* Does nobody wait for the answer any more? Asks the system. NULL: it is not known. */
    bool (*is_abandoned)(const http_exchange *x);

    /* The answer, filled in by the handler. */
    int status;
    problem_code code; /* of the problem that it is, or PROBLEM_NONE */
    wire_buffer answer;
    const char *media_type; /* NULL: JSON */
    content_encoding answer_encoding;
    http_header headers[HTTP_HEADERS_MAX];
    size_t header_count, fixed_headers; /* the fixed ones come first: they go with a problem too */
    char values[HTTP_VALUES_SIZE];      /* those that were copied */
    size_t values_used;
    char allow[HTTP_ALLOW_SIZE]; /* the value of Allow, or "" */
    /* Answers a 404 that a person will see; NULL: a program will, in JSON. False: no memory. */
    bool (*write_not_found)(http_exchange *x, const problem *p);

    http_timings timings;
    http_header logged; /* what the route adds to the log's line: name=value; no name: nothing */
};

/* The answer has this header, one of each name; but for Vary, to whose list each value is added. The value
 * must live as long as the exchange. Where there is no room the header is left out. */
void http_set_header(http_exchange *x, const char *name, const char *value);

/* The same with a copy of the value. */
void http_copy_header(http_exchange *x, const char *name, const char *value);

/* The answer is this problem, as JSON; of the headers, those that are fixed. */
void http_answer_problem(http_exchange *x, const problem *p);

/* The answer that needs no memory: there was none. */
void http_answer_no_memory(http_exchange *x);

/* Should the work on this exchange stop? Its deadline has passed, nobody waits for the answer, or the service
 * ends; once it is yes, it stays yes. For all threads that work on the exchange. */
bool http_should_stop(http_exchange *x);

/* The answer is why the work was stopped. */
void http_answer_stopped(http_exchange *x);

#endif
