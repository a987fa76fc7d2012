/* Who has a large job gives way to small ones. */
#include "tests/server/scheduler_probes.h"

#include <criterion/criterion.h>
#include <fenv.h>
#include <stdlib.h>
#include <string.h>

/* A large job: a loop that waits for a gate before it begins. */
typedef struct {
    probe probe;
    scheduler *scheduler;
    size_t rounds;
    int mode; /* of rounding, in its rounds */
    atomic_int begun, wrong_mode;
    atomic_bool gate, is_slow;
} large;

static void run_round(void *context, size_t round, size_t slot) {
    large *l = context;
    (void)round;
    (void)slot;
    if (l->is_slow)
        usleep(100);
    l->wrong_mode += fegetround() != l->mode;
}

static void run_large(probe *p) {
    large *l = p->context;
    const int before = fegetround();
    l->begun = 1;
    pass_gate(&l->gate);
    fesetround(l->mode);
    attn_parallel_run(sched_parallel(l->scheduler), l->rounds, run_round, l);
    fesetround(before);
}

static void init_large(large *l, scheduler *s, size_t rounds, atomic_int *order) {
    memset(l, 0, sizeof *l);
    l->probe = new_probe(l);
    l->scheduler = s;
    l->rounds = rounds;
    l->mode = FE_TONEAREST;
    l->probe.job.is_small = false;
    l->probe.compute = run_large;
    l->probe.context = l;
    l->probe.order = order;
}

static void start_large(large *l, scheduler *s, size_t rounds, atomic_int *order) {
    init_large(l, s, rounds, order);
    cr_assert(sched_submit(s, &l->probe.job));
}

/* Every worker has a large job, as many more wait, and then small ones come. */
Test(giving_way, small_jobs_are_served_in_the_midst_of_large_ones) {
    enum { MOST = 4, SMALL = 30 };
    for (int threads = 1; threads <= MOST; threads++) {
        static large larges[2 * MOST];
        probe small[SMALL];
        atomic_int order = 0;
        scheduler *s = sched_new((size_t)threads, false, 100, NULL);
        for (int i = 0; i < 2 * threads; i++) {
            init_large(&larges[i], s, 1000000, &order);
            larges[i].is_slow = true; /* else a helper might be through before the small ones come */
            cr_assert(sched_submit(s, &larges[i].probe.job));
            cr_assert(i >= threads || comes_true(&larges[i].begun));
        }
        for (int i = 0; i < SMALL; i++) {
            small[i] = new_probe("small");
            small[i].order = &order;
            cr_assert(sched_submit(s, &small[i].job));
        }
        for (int i = 0; i < threads; i++)
            larges[i].gate = true;
        for (int i = 0; i < SMALL; i++)
            cr_assert(comes_true(&small[i].finished));
        for (int i = 0; i < threads; i++)
            cr_assert_eq(larges[i].probe.computed, 0);
        for (int i = 0; i < 2 * threads; i++) {
            larges[i].gate = true;
            larges[i].is_slow = false;
        }
        sched_free(s);
        for (int i = 0; i < 2 * threads; i++)
            cr_assert(larges[i].probe.finished > 0);
    }
}

/* What is not small waits for its turn, and a small job among such is found. */
Test(giving_way, only_to_small_jobs) {
    atomic_int order = 0;
    static large first, second;
    scheduler *s = sched_new(1, false, 100, NULL);
    start_large(&first, s, 1000, &order);
    cr_assert(comes_true(&first.begun));
    start_large(&second, s, 1, &order);
    second.gate = true;
    probe heavy = new_probe(&first), small = new_probe(&first); /* of one group */
    heavy.job.is_small = false;
    heavy.order = small.order = &order;
    cr_assert(sched_submit(s, &heavy.job));
    cr_assert(sched_submit(s, &small.job));
    first.gate = true;
    sched_free(s);
    cr_assert_lt(small.finished, first.probe.computed);
    cr_assert_eq(small.together, 1);
    cr_assert_gt(second.probe.prepared, first.probe.computed);
    cr_assert_gt(heavy.prepared, first.probe.computed);
}

static bool grow_in_prepare(sched_job *job) {
    ((probe *)(void *)job)->prepared = 1;
    job->is_small = false;
    return true;
}

/* Only after it has been read is it known to be large: then it waits. */
Test(giving_way, not_to_what_turns_out_to_be_large) {
    static const sched_steps growing = {grow_in_prepare, compute_probes, finish_probe, expire_probe};
    atomic_int order = 0;
    static large first;
    scheduler *s = sched_new(1, false, 100, NULL);
    start_large(&first, s, 1000, &order);
    cr_assert(comes_true(&first.begun));
    probe small = new_probe(&first), grows = new_probe(&first); /* of one group */
    grows.job.steps = &growing;
    small.order = grows.order = &order;
    cr_assert(sched_submit(s, &small.job));
    cr_assert(sched_submit(s, &grows.job));
    first.gate = true;
    sched_free(s);
    cr_assert_eq(grows.prepared, 1);
    cr_assert_lt(small.finished, first.probe.computed);
    cr_assert_eq(small.together, 1);
    cr_assert_gt(grows.computed, first.probe.computed);
}

/* ---- How much ---- */

static _Thread_local int depth;
static atomic_int deepest;

static void nothing(void *context, size_t round, size_t slot) {
    (void)context;
    (void)round;
    (void)slot;
}

/* A small job with a loop of its own, in which others would find their turn too. */
static void run_deeper(probe *p) {
    const scheduler *s = p->context;
    depth++;
    if (depth > deepest)
        deepest = depth;
    attn_parallel_run(sched_parallel(s), 50, nothing, NULL);
    depth--;
}

Test(giving_way, never_in_the_midst_of_giving_way) {
    enum { SMALL = 40 };
    static char groups[SMALL];
    static large first;
    probe small[SMALL];
    scheduler *s = sched_new(1, false, 100, NULL);
    deepest = 0;
    start_large(&first, s, 100000, NULL);
    cr_assert(comes_true(&first.begun));
    for (int i = 0; i < SMALL; i++) {
        small[i] = new_probe(&groups[i]);
        small[i].compute = run_deeper;
        small[i].context = s;
        cr_assert(sched_submit(s, &small[i].job));
    }
    first.gate = true;
    sched_free(s);
    cr_assert_eq(deepest, 1);
}

static void take_a_while(probe *p) {
    (void)p;
    usleep(3000);
}

/* A stream of small jobs does not stop a large one: once they have had their share, it goes on. */
Test(giving_way, for_a_small_part_of_the_time_only) {
    enum { SMALL = 90 };
    static char groups[SMALL];
    atomic_int order = 0;
    static large first;
    probe small[SMALL];
    scheduler *s = sched_new(1, false, 100, NULL);
    start_large(&first, s, 100, &order);
    cr_assert(comes_true(&first.begun));
    for (int i = 0; i < SMALL; i++) {
        small[i] = new_probe(&groups[i]);
        small[i].compute = take_a_while;
        small[i].order = &order;
        cr_assert(sched_submit(s, &small[i].job));
    }
    first.gate = true;
    sched_free(s);
    int before = 0;
    for (int i = 0; i < SMALL; i++)
        before += small[i].finished < first.probe.computed;
    cr_assert(before > 0 && before <= SMALL / 2, "%d of %d", before, SMALL);
}

/* ---- Where ---- */

static atomic_int seen_mode;

static bool prepare_and_look(sched_job *job) {
    seen_mode = fegetround();
    return prepare_probe(job);
}

/* The rounds of a large job may have their own way of rounding; a small job does not notice, nor do they. */
Test(giving_way, with_the_ordinary_rounding) {
    static const sched_steps looking = {prepare_and_look, compute_probes, finish_probe, expire_probe};
    static large first;
    atomic_int order = 0;
    scheduler *s = sched_new(1, false, 100, NULL);
    init_large(&first, s, 1000, &order);
    first.mode = FE_UPWARD;
    cr_assert(sched_submit(s, &first.probe.job));
    cr_assert(comes_true(&first.begun));
    probe small = new_probe("small");
    small.job.steps = &looking;
    small.order = &order;
    cr_assert(sched_submit(s, &small.job));
    first.gate = true;
    sched_free(s);
    cr_assert_lt(small.finished, first.probe.computed);
    cr_assert_eq(seen_mode, FE_TONEAREST);
    cr_assert_eq(first.wrong_mode, 0);
}

static scheduler *asked;
static atomic_bool prepare_gate, finish_gate;
static atomic_int in_prepare, in_finish;

static bool prepare_long(sched_job *job) {
    in_prepare = 1;
    pass_gate(&prepare_gate);
    sched_give_way(asked);
    return prepare_probe(job);
}

static void finish_long(sched_job *job) {
    in_finish = 1;
    pass_gate(&finish_gate);
    sched_give_way(asked);
    finish_probe(job);
}

/* Reading and writing may take long as well. */
Test(giving_way, in_the_other_parts_where_they_ask_for_it) {
    static const sched_steps steps = {prepare_long, compute_probes, finish_long, expire_probe};
    atomic_int order = 0;
    scheduler *s = asked = sched_new(1, false, 100, NULL);
    probe slow = new_probe("slow"), one = new_probe("small"), other = new_probe("small");
    prepare_gate = finish_gate = false;
    slow.job.steps = &steps;
    slow.job.is_small = false;
    slow.order = one.order = other.order = &order;
    cr_assert(sched_submit(s, &slow.job));
    cr_assert(comes_true(&in_prepare));
    cr_assert(sched_submit(s, &one.job));
    prepare_gate = true;
    cr_assert(comes_true(&in_finish));
    cr_assert(sched_submit(s, &other.job));
    finish_gate = true;
    sched_free(s);
    cr_assert_lt(one.finished, slow.prepared);
    cr_assert(other.prepared > slow.computed && other.finished < slow.finished);
}

/* A loop whose rounds ask. */
typedef struct {
    probe probe;
    scheduler *scheduler;
    size_t rounds;
    const probe *small;
    atomic_bool gate; /* of the caller's round */
    atomic_int begun, helper_begun, helper_asked, seen_by_helper, wrong_mode;
    atomic_bool helper_gate;
} asking;

static _Thread_local bool is_caller;

static void ask_in_round(void *context, size_t round, size_t slot) {
    asking *a = context;
    (void)round;
    (void)slot;
    if (is_caller) {
        a->begun = 1;
        pass_gate(&a->gate);
    } else {
        a->helper_begun = 1;
        pass_gate(&a->helper_gate);
    }
    fesetround(FE_DOWNWARD);
    sched_give_way(a->scheduler);
    a->wrong_mode += fegetround() != FE_DOWNWARD;
    fesetround(FE_TONEAREST);
    if (!is_caller) {
        a->seen_by_helper = a->small->prepared;
        a->helper_asked = 1;
    }
}

static void run_asking(probe *p) {
    asking *a = p->context;
    is_caller = true;
    attn_parallel_run(sched_parallel(a->scheduler), a->rounds, ask_in_round, a);
    is_caller = false;
}

static void start_asking(asking *a, scheduler *s, size_t rounds, const probe *small, atomic_int *order) {
    memset(a, 0, sizeof *a);
    a->probe = new_probe(a);
    a->scheduler = s;
    a->rounds = rounds;
    a->small = small;
    a->probe.job.is_small = false;
    a->probe.compute = run_asking;
    a->probe.context = a;
    a->probe.order = order;
    cr_assert(sched_submit(s, &a->probe.job));
}

/* A single round may take long too. */
Test(giving_way, in_the_midst_of_a_round_that_asks_for_it) {
    static asking one;
    atomic_int order = 0;
    probe small = new_probe("small");
    scheduler *s = sched_new(1, false, 100, NULL);
    small.order = &order;
    start_asking(&one, s, 1, &small, &order);
    cr_assert(comes_true(&one.begun));
    cr_assert(sched_submit(s, &small.job));
    one.gate = true;
    sched_free(s);
    cr_assert(small.finished > 0 && small.finished < one.probe.computed);
    cr_assert_eq(one.wrong_mode, 0);
}

/* A helper leaves after its round; in its midst it does not keep the caller waiting. */
Test(giving_way, not_in_a_round_of_another) {
    static asking both;
    atomic_int order = 0;
    probe small = new_probe("small");
    scheduler *s = sched_new(2, false, 100, NULL);
    small.order = &order;
    start_asking(&both, s, 2, &small, &order);
    cr_assert(comes_true(&both.begun) && comes_true(&both.helper_begun));
    cr_assert(sched_submit(s, &small.job));
    both.helper_gate = true;
    cr_assert(comes_true(&both.helper_asked));
    both.gate = true;
    sched_free(s);
    cr_assert_eq(both.seen_by_helper, 0);
    cr_assert_gt(small.finished, 0);
}

/* Whoever is no worker has nobody to give way to. */
Test(giving_way, not_on_another_thread) {
    atomic_bool gate = false;
    scheduler *s = sched_new(1, true, 100, NULL);
    probe busy = new_probe("busy"), small = new_probe("small");
    busy.prepare_gate = &gate;
    cr_assert(sched_submit(s, &busy.job));
    cr_assert(sched_submit(s, &small.job));
    sched_give_way(s);
    cr_assert_eq(small.prepared, 0);
    gate = true;
    sched_free(s);
    cr_assert_eq(small.finished, 1);
}
