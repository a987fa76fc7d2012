/* parallel.h: a loop whose rounds several threads may share. */
#ifndef ATTN_PARALLEL_H
#define ATTN_PARALLEL_H

#include <stddef.h>

/* One round of a loop. A slot may have memory of its own, as no two rounds that run at the same time have the
 * same one. What a round computes must not depend on its slot. */
typedef void attn_round(void *loop, size_t round, size_t slot);

/* Threads that may share loops. */
typedef struct attn_parallel {
    size_t slots; /* the most threads that share one loop, the caller's included; at least 1 */
    /* Calls round(loop, n, slot) once for every n < rounds, in any order, on this thread and on others that
     * are free, with slot < slots, and returns when all have returned. */
    void (*run)(const struct attn_parallel *parallel, size_t rounds, attn_round *round, void *loop);
} attn_parallel;

/* The slots of a loop on `parallel`; NULL: this thread alone. */
static inline size_t attn_parallel_slots(const attn_parallel *parallel) {
    return parallel == NULL ? 1 : parallel->slots;
}

/* Runs the loop; with NULL, or a single round, on this thread. Within a round, numbers below 2^-126 in size,
 * the smallest normal float32 (in double precision 2^-1022), count as zero, as operands and as results: a
 * processor needs a hundred times as long for them. Only here is that switched on, and off again after the
 * round. */
void attn_parallel_run(const attn_parallel *parallel, size_t rounds, attn_round *round, void *loop);

#endif
