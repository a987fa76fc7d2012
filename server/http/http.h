/* http.h: connections in, answers out. http/listener.c is the server, http/loop.c the thread that drives it,
 * http/request.c one request from its first line to its answer, http/mhd_head.c its headers; only these four
 * know libmicrohttpd.
 *
 * A request and its answer are an http_exchange. Its route's handler reads the body, writes the answer, and
 * knows nothing of sockets. */
#ifndef HTTP_H
#define HTTP_H

#include "core/arena.h"
#include "server/http/compress.h"
#include "server/picture/picture.h"
#include "server/problem.h"
#include "server/service.h"
#include "server/wire/buffer.h"
#include "server/wire/format.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SEGMENT_SIZE 128 /* more than any name that a path can have in it */

/* Every method that a route may have, as in an Allow header, and OPTIONS, which is answered on any path. */
#define HTTP_METHODS    "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
#define HTTP_ALLOW_SIZE sizeof HTTP_METHODS

typedef struct http_exchange http_exchange;

/* What kind of bodies and answers a route has. */
typedef enum {
    MEDIA_JSON,    /* JSON in and out */
    MEDIA_TENSORS, /* the formats of wire/format.h, as Content-Type and Accept say */
    MEDIA_OWN,     /* the route decides by itself; neither header is looked at */
    MEDIA_PICTURE, /* likewise, and it takes the parameters of a picture */
} http_media;

typedef struct {
    const char *name, *value;
} http_header;

/* How a request that costs time is served: in three parts, each on some worker (scheduler.h). */
typedef struct {
    /* Reads the body. False: it is answered. True: it is to be computed, x->group,
     * x->rows and x->is_small are set. */
    bool (*prepare)(http_exchange *x);
    /* Computes requests of one group, at most SCHED_TOGETHER. */
    void (*compute)(http_exchange *const *xs, size_t count);
    /* Writes the answer. */
    void (*finish)(http_exchange *x);
} http_work;

/* One row of the table of endpoints (routes/routes.c). */
typedef struct {
    const char *method; /* "GET" (serves HEAD too), "POST" or "DELETE" */
    const char *path;   /* {} stands for any text without a slash, the route's argument */
    http_media media;
    void (*handle)(http_exchange *x); /* on the I/O thread; NULL if there is ... */
    const http_work *work;            /* ... work for the workers */
    bool any_query; /* what the query says does not matter: monitors and mail programs add their own */
} http_route;

/* Why the work on a request should stop. */
typedef enum { HTTP_GO_ON, HTTP_TOO_LATE, HTTP_NOBODY_WAITS, HTTP_ENDING } http_stop_reason;

struct http_exchange {
    service *service;
    const http_route *route;
    const char *argument;            /* the segment that {} stands for, cut, or NULL */
    char segment[HTTP_SEGMENT_SIZE]; /* where it is kept */
    attn_arena *arena;               /* charged to the budget; goes with the exchange */
    attn_arena *small;               /* not charged: for problems and the small documents */
    wire_buffer body;                /* in `arena` */
    uint64_t arrived;                /* when the last byte of the request had come, on clock_now's clock */
    uint64_t time_allowed;           /* nanoseconds from then on */
    size_t expected_body;            /* bytes, of Content-Length; 0 if it is not known */
    uint64_t deadline;               /* when it must be answered ... */
    const char *deadline_of;         /* ... according to this flag, header or parameter */
    _Atomic http_stop_reason stopped;
    _Atomic uint64_t next_look;      /* when the client is looked for again */
    void *work;                      /* the route's own, from one part to the next */
    const void *group;               /* what it can be computed together with */
    size_t rows;                     /* how much there is to compute */
    bool is_small;                   /* it is little, to compute and to write */
    const wire_format *in, *out;     /* of the request and of its answer, if the route takes tensors */
    picture_options picture;         /* of an answer that is one */
    content_encoding body_encoding;  /* of the body as it came */
    content_encoding takes_encoding; /* what the caller takes an answer in, beside the identity */
    bool has_inference_header;       /* there is an Inference-Header-Content-Length ... */
    size_t inference_header;         /* ... of so many bytes */
    const char *if_none_match;       /* the header, or NULL */
    /* Answers a 404 that a person will see; NULL: a program will, in JSON. False: no memory. */
    bool (*show_not_found)(http_exchange *x, const problem *p);

    /* The answer, filled in by the handler. */
    int status;
    wire_buffer answer;
    const char *media_type;                    /* of the answer; NULL: JSON */
    size_t answer_header_length;               /* its Inference-Header-Content-Length, or 0 */
    content_encoding answer_encoding;          /* of the answer */
    char allow[HTTP_ALLOW_SIZE];               /* the Allow header, or "" */
    const http_header *headers;                /* more, up to one without a name; or NULL */
    const char *etag;                          /* the ETag header, or NULL */
    char result_url[RESULT_URL_SIZE];          /* the X-Result-Url header, or "" */
    char timing[256];                          /* the Server-Timing header, or "" */
    char model[sizeof((attn_model *)0)->name]; /* for the log */
};

/* The answer is this problem, as JSON. */
void http_answer_problem(http_exchange *x, const problem *p);

/* Should the work on this exchange stop? Its deadline has passed, nobody waits for the answer, or the service
 * ends; once it is yes, it stays yes. A client that has only closed its sending side is served as long as no
 * other request waits for a worker. For all threads that work on the exchange. */
bool http_should_stop(http_exchange *x);

/* The answer is why the work was stopped. */
void http_answer_stopped(http_exchange *x);

typedef struct http_server http_server;

/* Listens and serves from threads of its own. Prints nothing. NULL on failure, with one sentence in *error.
 */
http_server *http_start(service *s, attn_error *error);

/* The URL it listens on, like "http://127.0.0.1:8080". */
const char *http_url(const http_server *server);

/* Accepts no more connections, and closes those that have no request. The others are served on, and then
 * closed. */
void http_close_listener(http_server *server);

/* Requests that have begun to arrive and whose answers are not completely sent. */
size_t http_active(http_server *server);

/* After http_close_listener: is the last connection closed? */
bool http_is_drained(http_server *server);

/* Requests by how far they were when they were cut off. */
typedef struct {
    size_t arriving, running, sending;
} http_cut;

/* Does not wait any longer: uploads and answers are cut off, what is computed or waits for a worker is
 * stopped and answered with 503. http_is_drained will be true a moment after this. */
http_cut http_cut_off(http_server *server);

/* Stops and frees the server, after http_close_listener and once http_active is 0: the library cannot stop
 * while a request is with a worker. */
void http_stop(http_server *server);

/* Version of the HTTP library. */
const char *http_library(void);

#endif
