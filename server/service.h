/* service.h: what all parts of one running service share. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "core/blocks.h"
#include "core/model/registry.h"
#include "server/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* A text that is made once, when it is wanted first; NULL until then. */
typedef struct {
    char *bytes;
    size_t length;
} document;

typedef struct {
    options options;
    attn_registry registry;
    document models, openapi; /* what GET /models and GET /openapi.json say of the registry */
    attn_budget budget;       /* --max-memory */
    struct scheduler *scheduler;
    struct store *results; /* --results-memory, --results-ttl */
    atomic_bool draining;    /* since SIGTERM or SIGINT */
    atomic_bool ending;      /* since --drain-timeout has passed: nothing more is computed */
} service;

#endif
