/* Loops that idle workers share, beside jobs. */
#include "tests/server/scheduler_probes.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>

/* A loop that counts what it sees. */
typedef struct {
    const attn_parallel *parallel;
    size_t rounds;
    atomic_int *ran;         /* [rounds] */
    atomic_int in_slot[256]; /* rounds that run in it now */
    atomic_int wrong, used; /* slots that were shared or too high; used at all, a bit each for the first 31 */
    atomic_int running, most_running;
    atomic_uint pause; /* microseconds a round */
    atomic_int begun;
    atomic_bool *gate; /* the rounds wait for it */
    pthread_t caller;
} counted;

static void count_round(void *context, size_t round, size_t slot) {
    counted *c = context;
    const size_t slots = attn_parallel_slots(c->parallel);
    c->wrong += slot >= slots || c->in_slot[slot % 256]++ != 0;
    const int now = ++c->running;
    for (int most = c->most_running;
         most < now && !atomic_compare_exchange_weak(&c->most_running, &most, now);)
        continue;
    atomic_fetch_or(&c->used, 1 << (slot % 31));
    c->begun++;
    pass_gate(c->gate);
    if (c->pause > 0)
        usleep(c->pause);
    c->ran[round]++;
    c->running--;
    c->in_slot[slot % 256]--;
}

static void run_counted(probe *p) {
    counted *c = p->context;
    attn_parallel_run(c->parallel, c->rounds, count_round, c);
}

static probe loop_probe(counted *c, const scheduler *s, size_t rounds, unsigned pause) {
    *c = (counted){.parallel = sched_parallel(s),
                   .rounds = rounds,
                   .ran = calloc(rounds + 1, sizeof *c->ran),
                   .pause = pause};
    probe p = new_probe(c);
    p.compute = run_counted;
    p.context = c;
    return p;
}

static void check_and_free(counted *c) {
    for (size_t i = 0; i < c->rounds; i++)
        cr_assert_eq(c->ran[i], 1, "round %zu of %zu: %d", i, c->rounds, c->ran[i]);
    cr_assert_eq(c->wrong, 0);
    free(c->ran);
}

Test(loops, every_round_runs_once_with_a_slot_of_its_own) {
    for (size_t threads = 1; threads <= 9; threads += 2) {
        scheduler *s = sched_new(threads, false, 100, NULL);
        cr_assert_eq(attn_parallel_slots(sched_parallel(s)), threads);
        static counted loops[20];
        probe jobs[20];
        for (size_t i = 0; i < 20; i++) {
            jobs[i] = loop_probe(&loops[i], s, i == 19 ? 3000 : i, 0);
            cr_assert(sched_submit(s, &jobs[i].job));
            if (i % 4 == 3)
                cr_assert(comes_true(&jobs[i].finished));
        }
        for (size_t i = 0; i < 20; i++)
            cr_assert(comes_true(&jobs[i].finished));
        sched_free(s);
        for (size_t i = 0; i < 20; i++)
            check_and_free(&loops[i]);
    }
}

Test(loops, idle_workers_help) {
    scheduler *s = sched_new(4, false, 10, NULL);
    static counted c;
    probe p = loop_probe(&c, s, 400, 1000);
    cr_assert(sched_submit(s, &p.job));
    cr_assert(comes_true(&p.finished));
    sched_free(s);
    cr_assert_eq(c.most_running, 4);
    cr_assert_eq(c.used, 15);
    check_and_free(&c);
}

/* More workers than a loop has slots for. */
Test(loops, many_workers_share_no_slot) {
    scheduler *s = sched_new(80, false, 10, NULL);
    static counted c;
    probe p = loop_probe(&c, s, 2000, 500);
    cr_assert(sched_submit(s, &p.job));
    cr_assert(comes_true(&p.finished));
    sched_free(s);
    cr_assert_leq(c.most_running, 64);
    cr_assert_gt(c.most_running, 1);
    check_and_free(&c);
}

/* The worker that helps takes the job that comes, and the loop goes on. */
Test(loops, a_job_is_not_stuck_behind_a_loop) {
    scheduler *s = sched_new(2, false, 10, NULL);
    static counted c;
    probe big = loop_probe(&c, s, 1000000, 100), small = new_probe(NULL);
    cr_assert(sched_submit(s, &big.job));
    while (c.most_running < 2)
        usleep(100);
    cr_assert(sched_submit(s, &small.job));
    cr_assert(comes_true(&small.finished));
    cr_assert_eq(big.computed, 0);
    c.pause = 0;
    const int running = c.most_running;
    cr_assert(comes_true(&big.finished));
    sched_free(s);
    cr_assert_eq(running, 2);
    check_and_free(&c);
}

/* A worker that helps counts as free: a queue of none takes a job for it. */
Test(loops, a_helper_counts_as_free) {
    atomic_bool gate = false;
    scheduler *s = sched_new(2, false, 0, NULL);
    static counted c;
    probe big = loop_probe(&c, s, 100, 0), second = new_probe(NULL), third = new_probe(NULL);
    c.gate = &gate;
    cr_assert(sched_submit(s, &big.job));
    cr_assert(comes_true(&c.begun));
    while (c.most_running < 2)
        usleep(100);
    cr_assert(sched_submit(s, &second.job));
    cr_assert_not(sched_crowded(s));
    cr_assert_not(sched_submit(s, &third.job));
    gate = true;
    sched_free(s);
    cr_assert_eq(second.finished, 1);
    check_and_free(&c);
}

/* A loop in a round of a loop. */
typedef struct {
    counted inner[8];
} nested;

static void run_inner(void *context, size_t round, size_t slot) {
    nested *n = context;
    (void)slot;
    attn_parallel_run(n->inner[round].parallel, n->inner[round].rounds, count_round, &n->inner[round]);
}

static void run_nested(probe *p) {
    nested *n = p->context;
    attn_parallel_run(n->inner[0].parallel, 8, run_inner, n);
}

Test(loops, loops_may_be_nested) {
    static nested n;
    scheduler *s = sched_new(3, false, 10, NULL);
    for (size_t i = 0; i < 8; i++)
        loop_probe(&n.inner[i], s, 50, 10);
    probe p = new_probe(NULL);
    p.compute = run_nested;
    p.context = &n;
    cr_assert(sched_submit(s, &p.job));
    cr_assert(comes_true(&p.finished));
    sched_free(s);
    for (size_t i = 0; i < 8; i++)
        check_and_free(&n.inner[i]);
}

static size_t count_threads(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/task");
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* However many loops are open, and whoever opens them; stopping waits for all of them. */
Test(loops, many_loops_at_once_add_no_threads) {
    enum { JOBS = 60 };
    const size_t before = count_threads();
    scheduler *s = sched_new(5, false, JOBS, NULL);
    static counted loops[JOBS];
    probe jobs[JOBS];
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = loop_probe(&loops[i], s, 1 + i * 7 % 50, (unsigned)(i % 5) * 20);
        cr_assert(sched_submit(s, &jobs[i].job));
        cr_assert_eq(count_threads(), before + 6); /* the timer's too */
    }
    sched_free(s);
    cr_assert_eq(count_threads(), before);
    for (size_t i = 0; i < JOBS; i++) {
        cr_assert_eq(jobs[i].finished, 1);
        check_and_free(&loops[i]);
    }
}

/* The caller has no round left while another is still in the midst of its own. */
static void linger(void *context, size_t round, size_t slot) {
    counted *c = context;
    const bool is_caller = pthread_equal(pthread_self(), c->caller);
    (void)slot;
    c->begun++;
    if (!is_caller)
        usleep(20000);
    for (int i = 0; i < 100000 && is_caller && c->begun < 2; i++)
        usleep(100);
    c->ran[round]++;
}

static void run_lingering(probe *p) {
    counted *c = p->context;
    c->caller = pthread_self();
    attn_parallel_run(c->parallel, 2, linger, c);
    c->wrong += c->ran[0] != 1 || c->ran[1] != 1;
}

Test(loops, a_loop_ends_when_the_last_helper_has) {
    scheduler *s = sched_new(2, false, 10, NULL);
    static counted c;
    probe p = loop_probe(&c, s, 2, 0);
    p.compute = run_lingering;
    cr_assert(sched_submit(s, &p.job));
    cr_assert(comes_true(&p.finished));
    sched_free(s);
    cr_assert_eq(c.begun, 2);
    check_and_free(&c);
}

/* ---- Who takes what ---- */

enum { PLACED_ROUNDS = 40, LOOPS = 20, WORKERS = 4 };

/* Who ran which round in which loop. All wait in their first round until all have come. */
typedef struct {
    const attn_parallel *parallel;
    atomic_int come;
    pthread_t ran[LOOPS][PLACED_ROUNDS];
    size_t slot[LOOPS][PLACED_ROUNDS];
    int loops;
} placed;

static void note_round(void *context, size_t round, size_t slot) {
    placed *c = context;
    c->ran[c->loops][round] = pthread_self();
    c->slot[c->loops][round] = slot;
    if (c->come < WORKERS)
        c->come++;
    for (int i = 0; i < 100000 && c->come < WORKERS; i++)
        usleep(100);
    usleep(500); /* so that nobody is through with its share before the others are in theirs */
}

static void run_placed(probe *p) {
    placed *c = p->context;
    for (c->loops = 0; c->loops < LOOPS; c->loops++) {
        c->come = 0;
        attn_parallel_run(c->parallel, PLACED_ROUNDS, note_round, c);
    }
}

static void check_placed(const placed *c) {
    for (size_t n = 0; n < LOOPS; n++)
        for (size_t share = 0; share < WORKERS; share++) {
            const size_t first = share * (PLACED_ROUNDS / WORKERS);
            cr_assert_eq(c->slot[n][first], share, "loop %zu: %zu in slot %zu", n, share, c->slot[n][first]);
            cr_assert(pthread_equal(c->ran[n][first], c->ran[0][first]), "loop %zu, share %zu", n, share);
        }
}

/* A thread begins with the same share of every loop: what it has read there is in its caches. */
Test(loops, workers_keep_their_shares) {
    scheduler *s = sched_new(WORKERS, false, 10, NULL);
    static placed c;
    c.parallel = sched_parallel(s);
    probe p = new_probe(&c);
    p.compute = run_placed;
    p.context = &c;
    cr_assert(sched_submit(s, &p.job));
    cr_assert(comes_true(&p.finished));
    sched_free(s);
    check_placed(&c);
}

/* A guest computes as one more thread, and keeps the last share. */
Test(loops, a_guest_has_a_share_too) {
    scheduler *s = sched_new(WORKERS - 1, true, 10, NULL);
    static placed c;
    c.parallel = sched_parallel(s);
    probe p = {.context = &c};
    cr_assert_eq(attn_parallel_slots(c.parallel), WORKERS);
    run_placed(&p);
    sched_free(s);
    check_placed(&c);
    cr_assert(pthread_equal(c.ran[0][PLACED_ROUNDS - 1], pthread_self()));
}

/* With a guest a single worker is lent too. */
Test(loops, a_guest_and_a_worker_share_loops) {
    scheduler *s = sched_new(1, true, 10, NULL);
    static counted c;
    probe p = loop_probe(&c, s, 400, 1000);
    run_counted(&p);
    sched_free(s);
    cr_assert_eq(c.most_running, 2);
    check_and_free(&c);
}

/* ---- Many ---- */

/* Loops so short that helpers come too late, over and over: none is lost, none hangs. */
static void run_many_short(probe *p) {
    counted *c = p->context;
    for (int i = 0; i < 20000; i++) {
        c->ran[0] = c->ran[1] = c->ran[2] = 0;
        attn_parallel_run(c->parallel, 3, count_round, c);
        c->wrong += c->ran[0] != 1 || c->ran[1] != 1 || c->ran[2] != 1 || c->running != 0;
    }
}

Test(loops, short_loops_end_when_all_their_rounds_have) {
    scheduler *s = sched_new(4, false, 10, NULL);
    static counted c[2];
    probe jobs[2];
    for (int i = 0; i < 2; i++) {
        jobs[i] = loop_probe(&c[i], s, 3, 0);
        jobs[i].compute = run_many_short;
        cr_assert(sched_submit(s, &jobs[i].job));
    }
    sched_free(s);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(jobs[i].finished, 1);
        check_and_free(&c[i]);
    }
}
