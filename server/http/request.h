/* request.h: what libmicrohttpd calls for a request, and the server that it hands over there. For
 * http/listener.c and http/request.c only. */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

#include "server/http/connections.h"
#include "server/http/endpoint.h"
#include "server/http/http.h"
#include "server/http/loop.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct http_server {
    service *service;
    const http_routes *routes;
    size_t max_connections;
    struct MHD_Daemon *daemon;
    connections *connections;
    http_loop *loop; /* drives the daemon */
    atomic_size_t active;
    int listener; /* once the library has stopped listening */
    char url[ENDPOINT_URL_SIZE];
    char late[256]; /* what a client is told whose request was not complete in time */
};

/* The library has read the request line; `context` is the http_server. What is returned comes back as *state
 * in the other two. NULL: no memory. */
void *http_request_begin(void *context, const char *uri, struct MHD_Connection *mhd);

/* What a client is told whose request is late, for connections.c: `context` is the http_server, `late` the
 * request, if its head has been read, or NULL. */
size_t http_write_late(const void *context, const void *late, char *text, size_t size);

/* The library's one entry: first with the headers, then with each piece of the body, then with none left, and
 * once more after each resumption. */
enum MHD_Result http_request_serve(void *context, struct MHD_Connection *mhd, const char *url,
                                   const char *method, const char *version, const char *bytes, size_t *count,
                                   void **state);

/* The answer has been sent, or never will be: logs the request and frees it. */
void http_request_completed(void *context, struct MHD_Connection *mhd, void **state,
                            enum MHD_RequestTerminationCode how);

#endif
