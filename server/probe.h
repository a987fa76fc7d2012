/* probe.h: asks a running service for its health, as a container's HEALTHCHECK does where there is no curl.
 */
#ifndef SERVER_PROBE_H
#define SERVER_PROBE_H

#include "core/status.h"
#include "server/options.h"

/* GET /healthz on the host of the options, on the admin port if that is given, within five seconds. ATTN_OK
 * if the answer is 200; else *error says what came instead. */
attn_status probe(const options *o, attn_error *error);

#endif
