/* route.h: what a row of the table of routes can say, and all that follows from the rows: which of them a
 * request goes to, what `Allow` and a 404 tell, and what the log shows of a path. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "server/http/exchange.h"
#include "server/scheduler.h"

#include <stdbool.h>
#include <stddef.h>

/* Media types of a route, in the order in which ties are broken: the n-th, or NULL past the last. */
typedef const char *http_types(size_t n);

/* What is looked at of Content-Type and Accept. */
typedef struct {
    http_types *bodies, *answers;
    bool needs_body; /* a Content-Type that is missing is that of the first; else a body is the exception */
} http_media;

/* Reads the query of a request; the media types are chosen. Fails with *p filled in. */
typedef problem_code http_query(http_exchange *x, const request_head *head, problem *p);

/* How a request that costs time is served: in steps of a job (scheduler.h), each on some worker. */
typedef struct {
    /* Reads the body. False: it is answered. True: it is to be computed, the job's group, rows and is_small
     * are set. */
    bool (*prepare)(http_exchange *x, sched_job *job);
    /* Computes requests of one group, at most SCHED_TOGETHER. NULL: `prepare` answers all. */
    void (*compute)(http_exchange *const *xs, size_t count);
    /* Writes the answer. */
    void (*finish)(http_exchange *x);
} http_work;

/* Routes that a 404 lists together, if its path begins with `prefix`. */
typedef struct {
    const char *prefix;
    const char *note; /* the end of the sentence */
} http_chapter;

enum {
    HTTP_HEALTH = 1, /* it tells how the service does: answered even where there is no room for connections */
    HTTP_PAGE = 2,   /* it is opened in a browser, to be read by a person: so are its 404s */
    HTTP_OPEN = 8,   /* it needs no key */
    HTTP_SECRET = 4, /* whoever knows what {} stands for may have it: no cache, other site or log sees it */
    HTTP_ADMIN = 16, /* it is on the admin port too */
};

/* One row. */
typedef struct http_route {
    const char *method;               /* "GET" (serves HEAD too), "POST" or "DELETE" */
    const char *path;                 /* {name} stands for any text without a slash, the route's argument */
    unsigned flags;                   /* HTTP_HEALTH and the others; the same for each method of a path */
    const http_media *media;          /* NULL: neither header is looked at */
    http_query *query;                /* NULL: it takes none */
    const http_work *work;            /* for the workers; NULL if there is ... */
    void (*handle)(http_exchange *x); /* ... a handler for the I/O thread */
    const http_chapter *chapter;      /* the 404s that list it; NULL: none do */
} http_route;

/* The table. Of several patterns that a path has, the first one counts, with all of its methods. */
typedef struct {
    const http_route *rows;
    size_t count;
    /* Answers with this 404 as a page. False: no memory. */
    bool (*write_not_found)(http_exchange *x, const problem *p);
    bool is_admin; /* those without HTTP_ADMIN are not there, and nobody needs a key or a name to ask */
} http_routes;

/* http_query of a route to which its query does not matter: monitors and mail programs add their own. */
http_query http_any_query;

/* Finds the route of `method` and `path`. NULL if there is none: then `allowed` is set to the methods of that
 * path, or to "" if no route has the path. OPTIONS has a route on any path, and `allowed` is set as well, to
 * all methods if no other route has the path. `argument` is set to the text that {} stands for, cut to the
 * room that there is, or to "". */
const http_route *http_find_route(const http_routes *routes, const char *method, const char *path,
                                  char argument[HTTP_SEGMENT_SIZE], char allowed[HTTP_ALLOW_SIZE]);

/* Says in *p that no route has this path, and which there are. */
problem_code http_no_route(const http_routes *routes, const char *path, problem *p);

/* Is the path one of a route with HTTP_PAGE, or could it be meant as one? */
bool http_is_page(const http_routes *routes, const char *path);

/* Does the path begin like one of a route with HTTP_SECRET, whatever follows? */
bool http_is_secret(const http_routes *routes, const char *path);

/* Writes what the log shows of the URI of a request line, cut, into `shown` [size]: where a secret may be in
 * it, however it is encoded, the route's path instead. */
void http_log_path(const http_routes *routes, const char *uri, char *shown, size_t size);

#endif
