/* scheduler.h: the queue between the I/O threads and the workers; the only place where they meet.
 *
 * The workers are the only threads that compute. A job has three steps, each of which is done by any worker:
 * it is prepared by itself, computed together with the others of its group that are prepared already, and
 * finished by itself. Nothing waits for company: a worker that could compute does, unless small jobs still
 * wait to be prepared. A worker without a job of its own helps those that compute, by taking rounds of their
 * loops. One that has a large job gives way to small ones, between two rounds of its loops and where the job
 * asks for that, as long as this takes a small part of its time: so a few large jobs do not lock out the
 * small.
 *
 * Jobs wait in a bounded queue, first come first served. One that is still waiting when its deadline passes,
 * before whatever step, is taken out at that moment, even while every worker is busy. */
#ifndef SERVER_SCHEDULER_H
#define SERVER_SCHEDULER_H

#include "core/parallel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHED_TOGETHER ((size_t)64) /* the most jobs that are computed together ... */
#define SCHED_ROWS                                                                                           \
    ((size_t)512) /* ... and the most rows, unless one job alone has more: so many rows gain next            \
                   * to nothing from still more, and the first would wait for the last */

typedef struct sched_job sched_job;

/* The steps of one kind of job. */
typedef struct {
    /* True: it is ready to be computed, its group and rows are set. False: it is over, and may be freed. */
    bool (*prepare)(sched_job *job);
    /* Computes jobs of one group, at most SCHED_TOGETHER. */
    void (*compute)(sched_job *const *jobs, size_t count);
    /* Ends it; may free it. */
    void (*finish)(sched_job *job);
    /* Ends it after its deadline, on the timer's thread, instead of its next step; may free it. */
    void (*expire)(sched_job *job);
} sched_steps;

/* Embedded in whatever the job is about; owned by its submitter, who fills in the first members. */
struct sched_job {
    const sched_steps *steps;
    uint64_t deadline; /* on clock_now's clock, or CLOCK_NEVER; `prepare` may change it */
    bool is_small;     /* its next step is little work: what is ready may wait for it to be prepared, and
                        * large jobs give way to it; `prepare` sets it anew for the steps after */
    const void *group; /* those with the same group have the same `compute` */
    size_t rows;       /* how much there is to compute */
    enum {
        SCHED_QUEUED,
        SCHED_READY,
        SCHED_COMPUTED,
        SCHED_QUEUES
    } queue; /* that it waits in; the scheduler's own, as the rest */
    sched_job *previous, *next;
};

typedef struct scheduler scheduler;

/* Starts `threads` workers and waits until each has called `warm_up` (may be NULL). With `has_guest` a thread
 * beside them may use sched_parallel too, as one more thread that computes. At most `max_queue` jobs
 * wait to be computed beyond those that a free worker will take at once. NULL if a thread or memory could not
 * be had. */
scheduler *sched_new(size_t threads, bool has_guest, size_t max_queue, void (*warm_up)(void));

/* Hands a job over. False if the queue is full: then nothing of it will be called. */
bool sched_submit(scheduler *s, sched_job *job);

/* Jobs that wait for a worker, before whatever step, and those that one is busy with. */
typedef struct {
    size_t waiting, running;
} sched_counts;

sched_counts sched_count(scheduler *s);

/* Do more jobs wait to be prepared than there are workers free to take them? */
bool sched_crowded(scheduler *s);

/* Lends the workers that have nothing else to do, to be used from a job's `compute`, or by the guest. They
 * leave a loop, between two rounds, when a job waits for them. */
const attn_parallel *sched_parallel(const scheduler *s);

/* To be called now and then where a step of a job takes long, in a round of a loop too: does steps of small
 * jobs, if such wait for a worker, and this one has time for them and is not in the midst of something for
 * others already. Whatever way of computing with floating point it finds, it leaves. Not with a lock that
 * another job's steps may want. */
void sched_give_way(scheduler *s);

/* Lets all jobs run to their end, then stops the threads and frees the scheduler. NULL is allowed. */
void sched_free(scheduler *s);

#endif
