#include "tests/server/scheduler_probes.h"

#include <criterion/criterion.h>
#include <pthread.h>

static atomic_int prepared;

static void prepare(void) {
    prepared++;
}

Test(scheduler, prepares_every_worker_before_it_is_there) {
    scheduler *s = sched_new(5, false, 10, prepare);
    cr_assert_eq(prepared, 5);
    sched_free(s);
}

Test(scheduler, prepares_jobs_in_their_order) {
    atomic_bool gate = false;
    atomic_int order = 0;
    scheduler *s = sched_new(1, false, 100, NULL);
    probe jobs[50];
    for (int i = 0; i < 50; i++) {
        jobs[i] = new_probe(NULL);
        jobs[i].prepare_gate = &gate;
        jobs[i].order = &order;
        jobs[i].is_only_prepared = true;
        cr_assert(sched_submit(s, &jobs[i].job));
    }
    gate = true;
    sched_free(s); /* lets all jobs run */
    for (int i = 0; i < 50; i++)
        cr_assert_eq(jobs[i].prepared, i + 1);
}

Test(scheduler, refuses_what_is_beyond_its_queue) {
    atomic_bool gate = false;
    scheduler *s = sched_new(2, false, 3, NULL);
    probe jobs[7];
    int accepted = 0;
    for (int i = 0; i < 7; i++) {
        jobs[i] = new_probe(NULL);
        jobs[i].prepare_gate = &gate;
        accepted += sched_submit(s, &jobs[i].job);
    }
    cr_assert_eq(accepted, 5); /* two for the workers and three in the queue */
    cr_assert(sched_crowded(s));
    while (sched_count(s).running < 2)
        usleep(100);
    cr_assert_eq(sched_count(s).running, 2);
    cr_assert_eq(sched_count(s).waiting, 3);
    gate = true;
    sched_free(s);
    int finished = 0;
    for (int i = 0; i < 7; i++)
        finished += jobs[i].finished;
    cr_assert_eq(finished, 5);
}

/* Jobs that are prepared and not yet computed take room in the queue as before. */
Test(scheduler, what_is_prepared_still_waits) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, false, 3, NULL);
    probe jobs[5];
    for (int i = 0; i < 5; i++) {
        jobs[i] = new_probe(NULL);
        jobs[i].job.is_small = i < 3;
    }
    jobs[0].prepare_gate = &gate;
    cr_assert(sched_submit(s, &jobs[0].job));
    for (int i = 1; i < 4; i++)
        cr_assert(sched_submit(s, &jobs[i].job));
    atomic_bool second_gate = false;
    jobs[2].prepare_gate = &second_gate;
    gate = true;
    cr_assert(comes_true(&jobs[1].prepared)); /* 0 and 1 are ready, 2 is being prepared, 3 waits */
    cr_assert_not(sched_submit(s, &jobs[4].job));
    second_gate = true;
    sched_free(s);
    cr_assert_eq(jobs[3].finished, 1);
}

Test(scheduler, a_queue_of_none_still_feeds_the_workers) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, false, 0, NULL);
    probe first = new_probe(NULL), second = new_probe(NULL);
    first.compute_gate = second.compute_gate = &gate;
    cr_assert(sched_submit(s, &first.job));
    cr_assert_not(sched_submit(s, &second.job));
    gate = true;
    sched_free(s);
    cr_assert(first.finished && !second.finished);
}

Test(scheduler, takes_out_what_is_past_its_deadline_while_every_worker_is_busy) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, false, 10, NULL);
    probe busy = new_probe(NULL), later = new_probe(NULL), soon = new_probe(NULL);
    busy.prepare_gate = &gate;
    cr_assert(sched_submit(s, &busy.job));
    later.job.deadline = clock_in_ms(1000000);
    cr_assert(sched_submit(s, &later.job));
    soon.job.deadline = clock_in_ms(20);
    cr_assert(sched_submit(s, &soon.job));
    cr_assert(comes_true(&soon.expired));
    gate = true;
    sched_free(s);
    cr_assert(busy.finished && later.finished && !soon.prepared && !later.expired);
}

/* A deadline holds before each part: here for jobs that are prepared and computed, while the worker is held
 * up by another. */
Test(scheduler, takes_out_what_is_past_its_deadline_before_every_part) {
    atomic_bool gate = false, first_gate = false;
    scheduler *s = sched_new(1, false, 10, NULL);
    probe ready = new_probe("one"), slow = new_probe("other");
    ready.prepare_gate = &first_gate;
    slow.prepare_gate = &gate;
    ready.job.deadline = clock_in_ms(300);
    cr_assert(sched_submit(s, &ready.job));
    cr_assert(sched_submit(s, &slow.job));
    first_gate = true; /* both are small: slow is prepared before ready is computed */
    cr_assert(comes_true(&ready.expired));
    cr_assert(ready.prepared && !ready.computed && !slow.prepared);
    gate = true;
    sched_free(s);
    cr_assert_eq(slow.finished, 1);
}

/* Two are computed together; while the first is finished, the time of the second runs out. */
Test(scheduler, takes_out_what_is_computed_and_past_its_deadline) {
    atomic_bool prepare_gate = false, finish_gate = false;
    scheduler *s = sched_new(1, false, 10, NULL);
    probe first = new_probe("one"), second = new_probe("one");
    first.prepare_gate = &prepare_gate;
    first.finish_gate = &finish_gate;
    second.job.deadline = clock_in_ms(300);
    cr_assert(sched_submit(s, &first.job));
    cr_assert(sched_submit(s, &second.job));
    prepare_gate = true;
    cr_assert(comes_true(&second.expired));
    cr_assert(second.computed && !second.finished && !first.finished);
    finish_gate = true;
    sched_free(s);
    cr_assert(first.finished && !second.finished);
}

/* ---- Together ---- */

/* Lets one worker find all these jobs in its queue at once. */
static void run_at_once(probe *jobs, size_t count) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, false, count + 1, NULL);
    probe first = new_probe("first");
    first.prepare_gate = &gate;
    first.is_only_prepared = true;
    cr_assert(sched_submit(s, &first.job));
    for (size_t i = 0; i < count; i++)
        cr_assert(sched_submit(s, &jobs[i].job));
    gate = true;
    sched_free(s);
    for (size_t i = 0; i < count; i++)
        cr_assert_gt(jobs[i].finished, 0, "job %zu", i);
}

Test(scheduler, computes_together_what_waits_for_the_same) {
    probe jobs[30];
    for (int i = 0; i < 30; i++)
        jobs[i] = new_probe(i % 3 == 0 ? "one" : "other");
    run_at_once(jobs, 30);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(jobs[i].together, i % 3 == 0 ? 10 : 20, "%d: %d", i, jobs[i].together);
}

Test(scheduler, computes_no_more_together_than_the_limits) {
    probe jobs[200];
    atomic_int order = 0;
    for (int i = 0; i < 200; i++) {
        jobs[i] = new_probe("one");
        jobs[i].order = &order;
    }
    run_at_once(jobs, 200);
    cr_assert_lt(jobs[63].prepared, jobs[0].computed);
    cr_assert_lt(jobs[0].computed, jobs[64].prepared); /* nor are more prepared */
    for (int i = 0; i < 200; i++)
        cr_assert_eq(jobs[i].together, i < 192 ? 64 : 8, "%d: %d", i, jobs[i].together);
    for (int i = 0; i < 10; i++) {
        jobs[i] = new_probe("one");
        jobs[i].job.rows = SCHED_ROWS / 4;
    }
    run_at_once(jobs, 10);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(jobs[i].together, i < 8 ? 4 : 2, "%d: %d", i, jobs[i].together);
}

/* One with very many rows is computed by itself, and those before it do not wait for it. */
Test(scheduler, computes_a_big_job_alone) {
    probe jobs[5];
    atomic_int order = 0;
    for (int i = 0; i < 5; i++) {
        jobs[i] = new_probe("one");
        jobs[i].order = &order;
    }
    jobs[2].job.rows = SIZE_MAX;
    run_at_once(jobs, 5);
    const int expected[5] = {2, 2, 1, 2, 2};
    for (int i = 0; i < 5; i++)
        cr_assert_eq(jobs[i].together, expected[i], "%d: %d", i, jobs[i].together);
    cr_assert_lt(jobs[1].computed, jobs[2].computed);
}

/* What takes long to read is not waited for by what is ready. */
Test(scheduler, does_not_wait_for_a_job_that_is_not_small) {
    probe jobs[4];
    atomic_int order = 0;
    for (int i = 0; i < 4; i++) {
        jobs[i] = new_probe("one");
        jobs[i].order = &order;
    }
    jobs[2].job.is_small = false;
    run_at_once(jobs, 4);
    cr_assert_eq(jobs[0].together, 2);
    cr_assert_lt(jobs[1].finished, jobs[2].prepared);
}

/* ---- Many ---- */

static atomic_int seed = 1;

static void *submit_many(void *argument) {
    scheduler *s = argument;
    static probe jobs[4][2000];
    static atomic_int submitter;
    static const char groups[3];
    probe *mine = jobs[submitter++ % 4];
    unsigned state = (unsigned)seed++;
    for (int i = 0; i < 2000; i++) {
        mine[i] = new_probe(&groups[rand_r(&state) % 3]);
        mine[i].job.is_small = rand_r(&state) % 8 != 0;
        mine[i].job.rows = (size_t)(rand_r(&state) % 16 == 0 ? 10000 : rand_r(&state) % 40);
        mine[i].is_only_prepared = rand_r(&state) % 8 == 0;
        mine[i].job.deadline = i % 3 == 0 ? clock_now() + (uint64_t)(rand_r(&state) % 200000) : CLOCK_NEVER;
        while (!sched_submit(s, &mine[i].job))
            usleep(10);
    }
    for (int i = 0; i < 2000; i++)
        while (mine[i].finished + mine[i].expired + (mine[i].is_only_prepared ? mine[i].prepared : 0) == 0)
            usleep(10);
    return mine;
}

/* Every job ends exactly once, finished or expired, whoever submits and whoever works. */
Test(scheduler, ends_every_job_exactly_once) {
    scheduler *s = sched_new(3, false, 20, NULL);
    pthread_t submitters[4];
    int together = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&submitters[i], NULL, submit_many, s);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(submitters[i], &result);
        const probe *jobs = result;
        for (int n = 0; n < 2000; n++) {
            const probe *p = &jobs[n];
            cr_assert_eq((p->is_only_prepared ? p->prepared : p->finished) + p->expired, 1, "%d", n);
            cr_assert_leq(p->prepared, 1);
            cr_assert_leq(p->computed, p->prepared);
            cr_assert_leq(p->finished, p->computed);
            together += p->together > 1;
        }
    }
    cr_assert_gt(together, 0);
    cr_assert_not(sched_crowded(s));
    sched_free(s);
}
