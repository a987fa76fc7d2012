/* scheduler_loops.h: loops whose rounds several workers share. It knows no jobs: the scheduler says what
 * happens between two rounds, and which worker goes where. */
#ifndef SERVER_SCHEDULER_LOOPS_H
#define SERVER_SCHEDULER_LOOPS_H

#include "core/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SCHED_SLOTS     64 /* the bits of sched_loop.free_slots */
#define SCHED_LINE      64 /* bytes of a cache line */
#define SCHED_NO_WORKER SIZE_MAX

/* Rounds [next, end) of a loop, taken first by the thread in the slot of the same number. */
typedef struct {
    _Alignas(SCHED_LINE) atomic_size_t next;
    size_t end;
} sched_share;

/* A loop that has not ended. It lies on its caller's stack.
 *
 * Each slot has a share of the rounds, one after another, and each worker has the same slot in every loop: so
 * a thread finds in its caches what it read in the loops before, like its share of a layer's weights. A
 * thread whose share is done goes on with those of others. */
typedef struct sched_loop {
    attn_round *round;
    void *context;
    size_t slots;
    atomic_size_t left;    /* rounds that nobody has taken */
    uint64_t free_slots;   /* bit n: slot n */
    atomic_size_t helpers; /* workers in it beside the caller; changed with the lock held */
    pthread_cond_t empty;  /* the last helper has left */
    struct sched_loop *previous, *next;
    sched_share shares[SCHED_SLOTS]; /* [slots] */
} sched_loop;

/* Lends threads to loops. Part of the scheduler, whose lock protects it. */
typedef struct {
    attn_parallel parallel; /* first, so that a pointer to it is one to the lender */
    pthread_mutex_t *lock;
    sched_loop open;                        /* ring: open.next is the oldest */
    size_t helping;                         /* workers in a loop of another */
    atomic_bool wanted;                     /* helpers are wanted elsewhere: they leave their loops */
    struct scheduler *scheduler;            /* for the two functions: */
    void (*call_more)(struct scheduler *s); /* with the lock held: there is something that others can do */
    void (*give_way)(struct scheduler *s);  /* without: the caller of a loop is between two rounds */
} sched_lender;

/* The number of this thread among the workers, or SCHED_NO_WORKER. */
extern _Thread_local size_t sched_worker_number;

void sched_lender_init(sched_lender *lender, size_t slots, pthread_mutex_t *lock);

/* Spins, for a moment at most, while *number is what it was; whoever else wants this CPU has it meanwhile.
 * Without the lock. */
void sched_spin(const atomic_size_t *number, size_t was);

/* The oldest loop that has a round and a slot left, or NULL. With the lock held. */
sched_loop *sched_open_loop(const sched_lender *lender);

/* Does rounds of a loop of another, until none is left or helpers are wanted elsewhere. With the lock held,
 * which is released meanwhile. */
void sched_help(sched_lender *lender, sched_loop *loop);

#endif
