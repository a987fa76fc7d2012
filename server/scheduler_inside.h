/* scheduler_inside.h: what scheduler.c and scheduler_loops.c share, and nobody else sees. */
#ifndef SERVER_SCHEDULER_INSIDE_H
#define SERVER_SCHEDULER_INSIDE_H

#include "server/scheduler.h"

#include <pthread.h>
#include <stdatomic.h>

#define LOOP_SLOTS 64 /* the bits of loop.free_slots */
#define LINE       64 /* bytes of a line of the caches */

/* Rounds [next, end) of a loop, which whoever has the slot of the same number takes first. */
typedef struct {
    _Alignas(LINE) atomic_size_t next;
    size_t end;
} share;

/* A loop whose caller has not seen its end. It lies on the caller's stack.
 *
 * Each slot has a share of the rounds, one after another, and each worker has the same slot in every loop: so
 * a thread finds in its caches what it has read in the loops before, as its part of a layer's weights. A
 * thread that is through with its share goes on with those of others. */
typedef struct loop {
    attn_round *round;
    void *context;
    size_t slots;
    atomic_size_t left;    /* rounds that nobody has taken */
    uint64_t free_slots;   /* bit n: slot n */
    atomic_size_t helpers; /* workers in it beside the caller; changed with the lock held */
    pthread_cond_t empty;  /* the last helper has left */
    struct loop *previous, *next;
    share shares[LOOP_SLOTS]; /* [slots] */
} loop;

struct scheduler {
    struct lender {
        attn_parallel parallel; /* first, so that a pointer to it is one to the lender */
        scheduler *scheduler;
    } lender;
    pthread_mutex_t lock;
    pthread_cond_t work;     /* there is something to do, or the scheduler stops */
    pthread_cond_t timer;    /* an earlier deadline than the timer knows, or the scheduler stops */
    pthread_cond_t prepared; /* one more worker is ready */
    struct {
        sched_job jobs; /* ring: jobs.next is the oldest */
        size_t count;
    } waiting[SCHED_STAGES];
    size_t ready_rows; /* of the jobs in stage SCHED_READY */
    size_t small;      /* jobs that wait and are small */
    size_t max_queue;
    loop loops;                   /* ring: loops.next is the oldest */
    size_t asleep, called;        /* workers that wait for `work`, and those of them that have been woken */
    atomic_size_t calls;          /* ever made to those that are asleep */
    size_t looking;               /* workers that look on before they sleep */
    size_t computing;             /* workers that compute jobs of their own */
    size_t helping;               /* workers in a loop of another */
    atomic_bool short_of_workers; /* more jobs wait than workers sleep: helpers leave their loops */
    atomic_bool small_waits;      /* and one of them is small: who has a large one gives way */
    size_t started;               /* workers */
    uint64_t wakes_at;            /* when the timer looks next */
    bool stopping;
    void (*prepare)(void);
    pthread_t timer_thread;
    bool has_timer;
    size_t thread_count;
    pthread_t threads[];
};

/* The place of this thread among the workers; of others, beyond them. */
extern _Thread_local size_t sched_own_place;

/* Returns when *number is no longer what it was, but soon; whoever else wants this CPU has it meanwhile.
 * Without the lock. */
void sched_look_on(const atomic_size_t *number, size_t was);

/* Whoever has taken something wakes others for what is left, so that one who hands over much need not wake
 * many. With the lock held. */
void sched_leave_the_rest(scheduler *s);

/* The oldest loop that has a round and a slot left, or NULL. With the lock held. */
loop *sched_open_loop(scheduler *s);

/* Takes rounds of a loop of another, until none is left or jobs wait for a worker. With the lock held, which
 * is given up meanwhile. */
void sched_help(scheduler *s, loop *l);

/* attn_parallel's `run`. */
void sched_run_loop(const attn_parallel *parallel, size_t rounds, attn_round *round, void *context);

#endif
