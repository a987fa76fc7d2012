/* snapshot.h: what the service serves at one moment, and a reload replaces as a whole: its models, and what
 * is said of them. It is counted: a request holds the one that was current when its head came, and sees it
 * unchanged to its end. */
#ifndef SERVER_SNAPSHOT_H
#define SERVER_SNAPSHOT_H

#include "core/model/registry.h"
#include "server/keys.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* A text that is made once, when it is wanted first; NULL until then. */
typedef struct {
    char *bytes;
    size_t length;
} document;

typedef struct {
    attn_registry models;           /* filled in before others see the snapshot */
    keys *keys;                     /* one of which a request needs; NULL: it needs none */
    document model_list, api;       /* what GET /models and GET /openapi.json say of them */
    pthread_mutex_t documents_lock; /* of these two */
    atomic_size_t holders;
} snapshot;

/* One without models, which the caller holds. NULL: no memory. */
snapshot *snapshot_new(void);

/* One holder less, on any thread; the last one frees it and releases its models. NULL is allowed. */
void snapshot_release(snapshot *s);

/* The one that new requests get. */
typedef struct {
    pthread_mutex_t lock;
    snapshot *current;
} snapshot_holder;

#define SNAPSHOT_HOLDER                                                                                      \
    { .lock = PTHREAD_MUTEX_INITIALIZER }

/* Holds the current one for the caller, who releases it. */
snapshot *snapshot_take(snapshot_holder *h);

/* Makes `next` (NULL: none) the current one, and takes over the caller's hold on it. Who has the one before
 * keeps it. */
void snapshot_replace(snapshot_holder *h, snapshot *next);

#endif
