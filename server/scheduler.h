/* scheduler.h: the queue between the I/O threads and the workers; the only place where they meet.
 *
 * A bounded queue, first come first served. Each worker takes one job at a time. A job that is still waiting
 * when its deadline passes is taken out at that moment, even while every worker is busy. */
#ifndef SERVER_SCHEDULER_H
#define SERVER_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Embedded in whatever the job is about; owned by its submitter, who fills in the first three members. */
typedef struct sched_job {
    void (*run)(struct sched_job *job);     /* on a worker; may free the job */
    void (*expired)(struct sched_job *job); /* on the timer's thread, instead of run; may free the job */
    uint64_t deadline;                      /* on clock_now's clock, or CLOCK_NEVER */
    struct sched_job *previous, *next;      /* the scheduler's own */
} sched_job;

typedef struct scheduler scheduler;

/* Starts `threads` workers and waits until each has called `prepare` (may be NULL). At most `max_queue` jobs
 * wait beyond those that a free worker will take at once. NULL if a thread or memory could not be had. */
scheduler *sched_new(size_t threads, size_t max_queue, void (*prepare)(void));

/* Hands a job over. False if the queue is full: then nothing of it will be called. */
bool sched_submit(scheduler *s, sched_job *job);

/* Do more jobs wait than there are workers free to take them? */
bool sched_crowded(scheduler *s);

/* Lets all jobs run to their end, then stops the threads and frees the scheduler. NULL is allowed. */
void sched_free(scheduler *s);

#endif
