/* scheduler_probes.h: jobs that write down what is done with them. */
#ifndef TESTS_SCHEDULER_PROBES_H
#define TESTS_SCHEDULER_PROBES_H

#include "server/clock.h"
#include "server/scheduler.h"

#include <stdatomic.h>
#include <unistd.h>

/* A job that waits, in one of its steps, for a gate to open. */
typedef struct probe {
    sched_job job;
    atomic_int prepared, computed, finished, expired; /* how often; with `order`, which it was of all steps */
    atomic_int together;                              /* jobs that were computed with it */
    bool is_only_prepared;
    atomic_bool *prepare_gate, *compute_gate, *finish_gate;
    atomic_int *order;
    void (*compute)(struct probe *p); /* in the computing step; NULL: nothing */
    void *context;
} probe;

/* With a limit that only a broken scheduler reaches. */
static inline bool comes_true(atomic_int *flag) {
    for (int i = 0; i < 100000 && *flag == 0; i++)
        usleep(100);
    return *flag != 0;
}

static inline void pass_gate(atomic_bool *gate) {
    while (gate != NULL && !*gate)
        usleep(100);
}

static inline void mark(probe *p, atomic_int *part) {
    if (p->order != NULL)
        *part = ++*p->order;
    else
        ++*part;
}

static bool prepare_probe(sched_job *job) {
    probe *p = (probe *)(void *)job;
    const bool goes_on = !p->is_only_prepared;
    pass_gate(p->prepare_gate);
    mark(p, &p->prepared); /* the last touch, if it ends here */
    return goes_on;
}

static void compute_probes(sched_job *const *jobs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        probe *p = (probe *)(void *)jobs[i];
        p->together = (int)count;
        pass_gate(p->compute_gate);
        if (p->compute != NULL)
            p->compute(p);
        mark(p, &p->computed);
    }
}

static void finish_probe(sched_job *job) {
    probe *p = (probe *)(void *)job;
    pass_gate(p->finish_gate);
    mark(p, &p->finished);
}

static void expire_probe(sched_job *job) {
    ((probe *)(void *)job)->expired++;
}

static const sched_steps probe_steps = {prepare_probe, compute_probes, finish_probe, expire_probe};

/* A small job of one row. */
static inline probe new_probe(const void *group) {
    return (probe){
        .job = {.steps = &probe_steps, .deadline = CLOCK_NEVER, .is_small = true, .group = group, .rows = 1}};
}

#endif
