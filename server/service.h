/* service.h: what all parts of one running service share. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "core/arena.h"
#include "core/model/model.h"
#include "server/options.h"
#include "server/results.h"
#include "server/scheduler.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct {
    options options;
    attn_registry registry;
    attn_budget budget; /* --max-memory */
    scheduler *scheduler;
    results *results;     /* --results-memory, --results-ttl */
    atomic_bool draining; /* since SIGTERM or SIGINT */
} service;

#endif
