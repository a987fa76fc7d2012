#include "server/snapshot.h"

#include <stdlib.h>

snapshot *snapshot_new(size_t sources) {
    snapshot *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    if ((s->sources = calloc(sources + 1, sizeof *s->sources)) == NULL) {
        free(s);
        return NULL;
    }
    pthread_mutex_init(&s->documents_lock, NULL);
    atomic_init(&s->holders, 1);
    return s;
}

void snapshot_release(snapshot *s) {
    if (s == NULL || atomic_fetch_sub(&s->holders, 1) > 1)
        return;
    attn_registry_free(&s->models);
    keys_free(s->keys);
    for (size_t i = 0; i < s->source_count; i++) {
        free(s->sources[i].stamp);
        free(s->sources[i].stale);
    }
    free(s->sources);
    free(s->model_list.bytes);
    free(s->api.bytes);
    pthread_mutex_destroy(&s->documents_lock);
    free(s);
}

const char *snapshot_stale(const snapshot *s, const attn_model *model) {
    for (size_t i = 0; i < s->source_count; i++)
        for (size_t k = 0; k < s->sources[i].count && s->sources[i].stale != NULL; k++)
            if (s->models.models[s->sources[i].first + k] == model)
                return s->sources[i].stale;
    return NULL;
}

snapshot *snapshot_take(snapshot_holder *h) {
    /* The lock is for the moment between the pointer and the count: the last holder may go in between. */
    pthread_mutex_lock(&h->lock);
    snapshot *s = h->current;
    atomic_fetch_add(&s->holders, 1);
    pthread_mutex_unlock(&h->lock);
    return s;
}

void snapshot_replace(snapshot_holder *h, snapshot *next) {
    pthread_mutex_lock(&h->lock);
    snapshot *before = h->current;
    h->current = next;
    pthread_mutex_unlock(&h->lock);
    snapshot_release(before);
}
