/* http.h: connections in, answers out. http/listener.c is the server, http/loop.c the thread that drives it,
 * http/request.c one request from its first line to its answer, http/mhd_head.c its headers; only these four
 * know libmicrohttpd. What a handler sees of a request is exchange.h. */
#ifndef HTTP_H
#define HTTP_H

#include "server/http/connections.h"
#include "server/http/route.h"
#include "server/service.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct http_server http_server;

/* What a server has of its own. */
typedef struct {
    const http_routes *routes;
    size_t port, max_connections; /* on --host */
} http_listening;

/* --max-connections, or as many as the limit of open files allows, which the options then say; so many more
 * are somebody else's. */
size_t http_fit_connections(options *o, size_t others);

/* Listens, and serves the routes from threads of its own; the service and the routes must outlive the server.
 * Prints nothing. NULL on failure, with one sentence in *error. */
http_server *http_start(service *s, const http_listening *listening, attn_error *error);

/* The URL it listens on, like "http://127.0.0.1:8080". */
const char *http_url(const http_server *server);

/* Accepts no more connections, and closes those that have no request. The others are served on, and then
 * closed. */
void http_close_listener(http_server *server);

/* Requests that have begun to arrive and whose answers are not completely sent. */
size_t http_active(http_server *server);

/* After http_close_listener: is the last connection closed? */
bool http_is_drained(http_server *server);

/* Its connections. */
connection_counts http_count(http_server *server);

/* Does not wait any longer: uploads and answers are cut off, what is computed or waits for a worker is
 * stopped and answered with 503. Returns what that was. http_is_drained will be true a moment after this. */
connection_counts http_cut_off(http_server *server);

/* Stops and frees the server, after http_close_listener and once http_active is 0: the library cannot stop
 * while a request is with a worker. */
void http_stop(http_server *server);

/* Version of the HTTP library. */
const char *http_library(void);

#endif
