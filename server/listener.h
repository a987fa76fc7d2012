/* listener.h: the socket on which the service listens. */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "core/status.h"
#include "server/options.h"

#include <stddef.h>

#define LISTENER_URL_SIZE 1100 /* the longest host name, its port and what is around them */

/* A listening, non-blocking socket on the host and port of the options; the caller closes it. -1 on failure,
 * with one sentence in *error. */
int listener_open(const options *o, attn_error *error);

/* Writes the URL of the socket's own address into `url` [size], like "http://127.0.0.1:8080". */
void listener_url(int listener, char *url, size_t size);

#endif
