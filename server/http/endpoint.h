/* endpoint.h: an address, as a socket that listens on it or is connected to it. */
#ifndef HTTP_ENDPOINT_H
#define HTTP_ENDPOINT_H

#include "core/status.h"
#include <stddef.h>

#define ENDPOINT_URL_SIZE 1100 /* the longest host name, its port and what is around them */

/* A listening, non-blocking socket on this host and port; the caller closes it. -1 on failure, with one
 * sentence in *error. */
int endpoint_listen(const char *host, size_t port, attn_error *error);

/* A socket connected to them, which gives up after five seconds of silence. Likewise. */
int endpoint_connect(const char *host, size_t port, attn_error *error);

/* Writes the URL of the socket's own address into `url` [size], like "http://127.0.0.1:8080". */
void endpoint_url(int socket, char *url, size_t size);

#endif
