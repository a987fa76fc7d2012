#include "server/clock.h"
#include "server/scheduler.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* A job that writes down when it ran, and waits for the gate to open. */
typedef struct {
    sched_job job;
    atomic_int ran, expired;
    atomic_bool *gate;
    atomic_int *order;
} probe;

static void run_probe(sched_job *job) {
    probe *p = (probe *)(void *)job;
    while (p->gate != NULL && !*p->gate)
        usleep(100);
    p->ran = p->order == NULL ? 1 : ++*p->order;
}

static void expire_probe(sched_job *job) {
    ((probe *)(void *)job)->expired = 1;
}

static probe new_probe(atomic_bool *gate, atomic_int *order) {
    return (probe){.job = {.run = run_probe, .expired = expire_probe, .deadline = CLOCK_NEVER},
                   .gate = gate,
                   .order = order};
}

/* Waits, with a limit that only a broken scheduler reaches, until *flag is not 0. */
static bool comes_true(atomic_int *flag) {
    for (int i = 0; i < 100000 && *flag == 0; i++)
        usleep(100);
    return *flag != 0;
}

static atomic_int prepared;

static void prepare(void) {
    prepared++;
}

Test(scheduler, prepares_every_worker_before_it_is_there) {
    scheduler *s = sched_new(5, 10, prepare);
    cr_assert_eq(prepared, 5);
    sched_free(s);
}

Test(scheduler, runs_jobs_in_their_order) {
    atomic_bool gate = false;
    atomic_int order = 0;
    scheduler *s = sched_new(1, 100, NULL);
    probe jobs[50];
    for (int i = 0; i < 50; i++) {
        jobs[i] = new_probe(&gate, &order);
        cr_assert(sched_submit(s, &jobs[i].job));
    }
    gate = true;
    sched_free(s); /* lets all jobs run */
    for (int i = 0; i < 50; i++)
        cr_assert_eq(jobs[i].ran, i + 1);
}

Test(scheduler, refuses_what_is_beyond_its_queue) {
    atomic_bool gate = false;
    scheduler *s = sched_new(2, 3, NULL);
    probe jobs[7];
    int accepted = 0;
    for (int i = 0; i < 7; i++) {
        jobs[i] = new_probe(&gate, NULL);
        accepted += sched_submit(s, &jobs[i].job);
    }
    cr_assert_eq(accepted, 5); /* two for the workers and three in the queue */
    cr_assert(sched_crowded(s));
    gate = true;
    sched_free(s);
    int ran = 0;
    for (int i = 0; i < 7; i++)
        ran += jobs[i].ran;
    cr_assert_eq(ran, 5);
}

Test(scheduler, a_queue_of_none_still_feeds_the_workers) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, 0, NULL);
    probe first = new_probe(&gate, NULL), second = new_probe(&gate, NULL);
    cr_assert(sched_submit(s, &first.job));
    cr_assert_not(sched_submit(s, &second.job));
    gate = true;
    sched_free(s);
    cr_assert(first.ran && !second.ran);
}

Test(scheduler, takes_out_what_is_past_its_deadline_while_every_worker_is_busy) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, 10, NULL);
    probe busy = new_probe(&gate, NULL), later = new_probe(&gate, NULL), soon = new_probe(&gate, NULL);
    cr_assert(sched_submit(s, &busy.job));
    later.job.deadline = clock_in_ms(1000000);
    cr_assert(sched_submit(s, &later.job));
    soon.job.deadline = clock_in_ms(20);
    cr_assert(sched_submit(s, &soon.job));
    cr_assert(comes_true(&soon.expired));
    gate = true;
    sched_free(s);
    cr_assert(busy.ran && later.ran && !soon.ran && !later.expired);
}

static void *submit_many(void *argument) {
    scheduler *s = argument;
    static probe jobs[4][2000];
    static atomic_int submitter;
    probe *mine = jobs[submitter++ % 4];
    for (int i = 0; i < 2000; i++) {
        mine[i] = new_probe(NULL, NULL);
        mine[i].job.deadline = i % 3 == 0 ? clock_now() + 1 : CLOCK_NEVER;
        while (!sched_submit(s, &mine[i].job))
            usleep(10);
    }
    for (int i = 0; i < 2000; i++)
        while (mine[i].ran + mine[i].expired == 0)
            usleep(10);
    return mine;
}

/* Every job ends exactly once, run or expired, whoever submits and whoever works. */
Test(scheduler, ends_every_job_exactly_once) {
    scheduler *s = sched_new(3, 20, NULL);
    pthread_t submitters[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&submitters[i], NULL, submit_many, s);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(submitters[i], &result);
        const probe *jobs = result;
        for (int n = 0; n < 2000; n++)
            cr_assert_eq(jobs[n].ran + jobs[n].expired, 1);
    }
    cr_assert_not(sched_crowded(s));
    sched_free(s);
}
