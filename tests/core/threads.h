/* threads.h: loops whose rounds threads share, each in any order. */
#ifndef TESTS_THREADS_H
#define TESTS_THREADS_H

#include "core/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define THREADS_MOST 8

typedef struct {
    attn_round *round;
    void *loop;
    size_t rounds;
    atomic_size_t next, slots;
} shared_loop;

static void *share_loop(void *context) {
    shared_loop *s = context;
    const size_t slot = atomic_fetch_add(&s->slots, 1);
    for (size_t n; (n = atomic_fetch_add(&s->next, 1)) < s->rounds;)
        s->round(s->loop, n, slot);
    return NULL;
}

/* The `run` of an attn_parallel: starts a thread for each slot but the caller's. */
static inline void run_on_threads(const attn_parallel *parallel, size_t rounds, attn_round *round,
                                  void *loop) {
    shared_loop s = {.round = round, .loop = loop, .rounds = rounds};
    pthread_t threads[THREADS_MOST];
    for (size_t n = 1; n < parallel->slots; n++)
        if (pthread_create(&threads[n], NULL, share_loop, &s) != 0)
            abort();
    share_loop(&s);
    for (size_t n = 1; n < parallel->slots; n++)
        pthread_join(threads[n], NULL);
}

#endif
