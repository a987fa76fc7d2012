/* http.h: connections in, answers out. http.c is the only file that knows libmicrohttpd.
 *
 * A request and its answer are an http_exchange. Its route's handler reads the body, writes the answer, and
 * knows nothing of sockets. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "core/arena.h"
#include "server/problem.h"
#include "server/service.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct http_exchange http_exchange;

/* One row of the table of endpoints (routes/routes.c). */
typedef struct {
    const char *method; /* "GET" (serves HEAD too) or "POST" */
    const char *path;   /* a last segment "{}" stands for any one segment, the route's argument */
    bool on_worker;     /* costs time: waits in the queue and runs on a worker; else runs on the I/O thread */
    void (*handle)(http_exchange *x);
} http_route;

struct http_exchange {
    service *service;
    const http_route *route;
    const char *argument;  /* the segment that {} stands for, or NULL */
    attn_arena *arena;     /* charged to the budget; goes with the exchange */
    attn_arena *small;     /* not charged: for problems and the small documents */
    wire_buffer body;      /* in `arena` */
    uint64_t arrived;      /* when the last byte of the request had come, on clock_now's clock */
    uint64_t time_allowed; /* nanoseconds from then on */
    size_t expected_body;  /* bytes, of Content-Length; 0 if it is not known */
    uint64_t deadline;     /* when it must be answered */
    problem stopped;       /* why the work on it should stop, once that is known */

    /* The answer, filled in by the handler. */
    int status;
    wire_buffer answer;
    const char *allow; /* the Allow header, or NULL */
    char timing[200];  /* the Server-Timing header, or "" */
    char model[80];    /* for the log */
};

/* The answer is this problem. */
void http_answer_problem(http_exchange *x, const problem *p);

/* Should the work on this exchange stop? Its deadline has passed, or nobody waits for the answer: x->stopped
 * then says which, and the answer stays yes. A client that has only closed its sending side is served as long
 * as no other request waits for a worker. For the thread that has the exchange. */
bool http_should_stop(http_exchange *x);

typedef struct http_server http_server;

/* Listens and serves from threads of its own. Prints nothing. NULL on failure, with one sentence in *error.
 */
http_server *http_start(service *s, attn_error *error);

/* The URL it listens on, like "http://127.0.0.1:8080". */
const char *http_url(const http_server *server);

/* Accepts no more connections. Those that are open are served on. */
void http_close_listener(http_server *server);

/* Requests that have begun to arrive and whose answers are not completely sent. */
size_t http_active(http_server *server);

/* From now on a request that would be handed to the workers gets 503 instead. Once http_active is 0 after
 * this, nothing waits for a worker any more. */
void http_refuse_requests(http_server *server);

/* Stops and frees the server, after http_close_listener, http_refuse_requests and a wait until http_active is
 * 0: the library cannot stop while a request waits for a worker. */
void http_stop(http_server *server);

/* Version of the HTTP library. */
const char *http_library(void);

#endif
