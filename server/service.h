/* service.h: what all parts of one running service share. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "core/blocks.h"
#include "server/options.h"
#include "server/snapshot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct {
    options options;
    snapshot_holder served; /* the models */
    attn_budget budget;     /* --max-memory */
    struct scheduler *scheduler;
    struct store *results; /* --results-memory, --results-ttl */
    struct metrics *metrics;
    _Atomic(struct http_server *) server; /* that listens for requests; NULL: not yet */
    atomic_bool draining;                 /* since SIGTERM or SIGINT */
    atomic_bool ending;                   /* since --drain-timeout has passed: nothing more is computed */
} service;

#endif
