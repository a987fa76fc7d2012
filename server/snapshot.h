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

/* The models of one --model SPEC. */
typedef struct {
    size_t first, count; /* among all models */
    char *stamp;         /* of the files that they were read from (core/model/files/stamp.h); NULL: unknown */
    char *stale;         /* why a reload left them as they were; NULL: they are what the files hold */
} snapshot_source;

typedef struct snapshot {
    attn_registry models;     /* filled in before others see the snapshot */
    keys *keys;               /* one of which a request needs; NULL: it needs none */
    bool keys_are_stale;      /* a reload left them as they were */
    snapshot_source *sources; /* [source_count], in the order of the options */
    size_t source_count;
    document model_list, api;       /* what GET /models and GET /openapi.json say of them */
    pthread_mutex_t documents_lock; /* of these two */
    atomic_size_t holders;
    struct snapshot *next; /* for a list of them */
} snapshot;

/* One without models, which the caller holds, with room for so many sources. NULL: no memory. */
snapshot *snapshot_new(size_t sources);

/* Why the model, one of the snapshot's, is not what its files hold; NULL: it is. */
const char *snapshot_stale(const snapshot *s, const attn_model *model);

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
