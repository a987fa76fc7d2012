#include "server/scheduler.h"

#include "server/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define LOOP_SLOTS 64 /* the bits of loop.free_slots */
#define LINE       64 /* bytes of a line of the caches */

/* How long a thread looks on before it sleeps, while a job is computed or after it has helped: the next loop
 * of a pass, or the end of this one, is often nearer than the time that waking a thread takes. */
#define LOOKING_ON ((uint64_t)50000) /* nanoseconds */

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

/* The place of this thread among the workers; of others, beyond them. */
static _Thread_local size_t own_place = SIZE_MAX;

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
    size_t max_queue;
    loop loops;                   /* ring: loops.next is the oldest */
    size_t asleep, called;        /* workers that wait for `work`, and those of them that have been woken */
    atomic_size_t calls;          /* ever made to those that are asleep */
    size_t looking;               /* workers that look on before they sleep */
    size_t computing;             /* workers that compute jobs of their own */
    size_t helping;               /* workers in a loop of another */
    atomic_bool short_of_workers; /* more jobs wait than workers sleep: helpers leave their loops */
    size_t started;               /* workers */
    uint64_t wakes_at;            /* when the timer looks next */
    bool stopping;
    void (*prepare)(void);
    pthread_t timer_thread;
    bool has_timer;
    size_t thread_count;
    pthread_t threads[];
};

/* Everything static below is called with the lock held, unless it says otherwise. */

/* ---- Who waits, who sleeps ---- */

static size_t jobs_waiting(const scheduler *s) {
    size_t count = 0;
    for (size_t i = 0; i < SCHED_STAGES; i++)
        count += s->waiting[i].count;
    return count;
}

static void look_around(scheduler *s) {
    atomic_store(&s->short_of_workers, jobs_waiting(s) > s->asleep);
}

/* Cut, so that a sum of some does not overflow. */
static size_t counted_rows(const sched_job *job) {
    return job->rows < SCHED_ROWS ? job->rows : SCHED_ROWS;
}

static void link_job(scheduler *s, sched_job *job) {
    sched_job *ring = &s->waiting[job->stage].jobs;
    job->next = ring;
    job->previous = ring->previous;
    job->previous->next = job;
    ring->previous = job;
    s->waiting[job->stage].count++;
    if (job->stage == SCHED_READY)
        s->ready_rows += counted_rows(job);
    if (job->deadline < s->wakes_at) {
        s->wakes_at = job->deadline;
        pthread_cond_signal(&s->timer);
    }
    look_around(s);
}

static void unlink_job(scheduler *s, sched_job *job) {
    job->previous->next = job->next;
    job->next->previous = job->previous;
    s->waiting[job->stage].count--;
    if (job->stage == SCHED_READY)
        s->ready_rows -= counted_rows(job);
    look_around(s);
}

/* The oldest job in this stage, or NULL. */
static sched_job *oldest(scheduler *s, size_t stage) {
    return s->waiting[stage].count == 0 ? NULL : s->waiting[stage].jobs.next;
}

/* The oldest loop that has a round and a slot left, or NULL. */
static loop *open_loop(scheduler *s) {
    for (loop *l = s->loops.next; l != &s->loops; l = l->next)
        if (l->free_slots != 0 && atomic_load(&l->left) > 0)
            return l;
    return NULL;
}

static void wake(scheduler *s, size_t count) {
    for (; count > 0 && s->called < s->asleep; count--) {
        s->called++;
        atomic_fetch_add(&s->calls, 1);
        if (s->called > s->looking)
            pthread_cond_signal(&s->work);
    }
}

/* Returns when *number is no longer what it was, but soon; whoever else wants this CPU has it meanwhile.
 * Without the lock. */
static void look_on(const atomic_size_t *number, size_t was) {
    const uint64_t until = clock_now() + LOOKING_ON;
    while (atomic_load(number) == was && clock_now() < until)
        sched_yield();
}

/* Who looks on counts as asleep: it comes when it is called. */
static void sleep_until_called(scheduler *s, bool has_helped) {
    s->asleep++;
    look_around(s);
    const size_t calls = atomic_load(&s->calls);
    if (s->computing > 0 || has_helped) {
        s->looking++;
        pthread_mutex_unlock(&s->lock);
        look_on(&s->calls, calls);
        pthread_mutex_lock(&s->lock);
        s->looking--;
    }
    if (atomic_load(&s->calls) == calls && !s->stopping)
        pthread_cond_wait(&s->work, &s->lock);
    s->asleep--;
    s->called -= s->called > 0;
    look_around(s);
}

/* Whoever has taken something wakes others for what is left, so that one who hands over much need not wake
 * many. Up to two for a loop: each of them wakes two more. */
static void leave_the_rest(scheduler *s) {
    if (s->called == s->asleep)
        return;
    const loop *l = open_loop(s);
    if (jobs_waiting(s) > s->called)
        wake(s, 1);
    else if (l != NULL)
        wake(s, atomic_load(&l->left) == 1 || (l->free_slots & (l->free_slots - 1)) == 0 ? 1 : 2);
}

/* ---- Loops ---- */

static bool is_set(const atomic_bool *stop) {
    return stop != NULL && atomic_load_explicit(stop, memory_order_relaxed);
}

/* Takes rounds, those of its own share first, until none is left, or until *stop. Without the lock. */
static void take_rounds(loop *l, size_t slot, const atomic_bool *stop) {
    for (size_t n = 0; n < l->slots; n++) {
        share *of = &l->shares[(slot + n) % l->slots];
        while (atomic_load(&of->next) < of->end && !is_set(stop)) {
            const size_t round = atomic_fetch_add(&of->next, 1);
            if (round >= of->end)
                break;
            atomic_fetch_sub(&l->left, 1);
            l->round(l->context, round, slot);
        }
    }
}

/* The slot of this thread, or another one if that is taken. */
static size_t choose_slot(const loop *l) {
    const size_t own = own_place < l->slots ? own_place : l->slots - 1;
    return (l->free_slots >> own & 1) != 0 ? own : (size_t)__builtin_ctzll(l->free_slots);
}

static void help(scheduler *s, loop *l) {
    const size_t slot = choose_slot(l);
    l->free_slots &= ~((uint64_t)1 << slot);
    atomic_fetch_add(&l->helpers, 1);
    s->helping++;
    leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    take_rounds(l, slot, &s->short_of_workers);
    pthread_mutex_lock(&s->lock);
    s->helping--;
    l->free_slots |= (uint64_t)1 << slot;
    if (atomic_fetch_sub(&l->helpers, 1) == 1)
        pthread_cond_signal(&l->empty);
}

/* Where the share of slot n begins, without a product that overflows. */
static size_t first_round(size_t rounds, size_t n, size_t slots) {
    return rounds / slots * n + rounds % slots * n / slots;
}

static void init_loop(loop *l, size_t rounds, size_t slots, attn_round *round, void *context) {
    l->round = round;
    l->context = context;
    l->slots = slots;
    l->free_slots = UINT64_MAX >> (LOOP_SLOTS - slots);
    atomic_init(&l->left, rounds);
    atomic_init(&l->helpers, 0);
    for (size_t n = 0; n < slots; n++) {
        atomic_init(&l->shares[n].next, first_round(rounds, n, slots));
        l->shares[n].end = first_round(rounds, n + 1, slots);
    }
    pthread_cond_init(&l->empty, NULL);
}

/* attn_parallel's `run`; without the lock. */
static void run_loop(const attn_parallel *parallel, size_t rounds, attn_round *round, void *context) {
    scheduler *s = ((const struct lender *)(const void *)parallel)->scheduler;
    loop l;
    init_loop(&l, rounds, parallel->slots, round, context);
    const size_t own = choose_slot(&l);
    l.free_slots &= ~((uint64_t)1 << own);
    pthread_mutex_lock(&s->lock);
    l.next = &s->loops;
    l.previous = s->loops.previous;
    l.previous->next = s->loops.previous = &l;
    leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    take_rounds(&l, own, NULL);
    pthread_mutex_lock(&s->lock);
    l.previous->next = l.next;
    l.next->previous = l.previous;
    const size_t helpers = atomic_load(&l.helpers);
    if (helpers > 0) {
        pthread_mutex_unlock(&s->lock);
        look_on(&l.helpers, helpers);
        pthread_mutex_lock(&s->lock);
    }
    while (atomic_load(&l.helpers) > 0)
        pthread_cond_wait(&l.empty, &s->lock);
    pthread_mutex_unlock(&s->lock);
    pthread_cond_destroy(&l.empty);
}

/* ---- Jobs ---- */

static void prepare_job(scheduler *s, sched_job *job) {
    unlink_job(s, job);
    leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    const bool is_ready = job->parts->prepare(job);
    pthread_mutex_lock(&s->lock);
    if (is_ready) {
        job->stage = SCHED_READY;
        link_job(s, job);
    }
}

/* Takes the oldest job that is ready, and those that can be computed with it. */
static size_t take_group(scheduler *s, sched_job *jobs[SCHED_TOGETHER]) {
    const void *group = oldest(s, SCHED_READY)->group;
    size_t count = 0, rows = 0;
    sched_job *next = oldest(s, SCHED_READY);
    for (sched_job *job = next; job != &s->waiting[SCHED_READY].jobs && count < SCHED_TOGETHER; job = next) {
        next = job->next;
        if (job->group != group || (count > 0 && (rows > SCHED_ROWS || job->rows > SCHED_ROWS - rows)))
            continue;
        unlink_job(s, job);
        jobs[count++] = job;
        rows += job->rows;
    }
    return count;
}

static void compute_jobs(scheduler *s) {
    sched_job *jobs[SCHED_TOGETHER];
    const size_t count = take_group(s, jobs);
    leave_the_rest(s);
    s->computing++;
    pthread_mutex_unlock(&s->lock);
    jobs[0]->parts->compute(jobs, count);
    pthread_mutex_lock(&s->lock);
    s->computing--;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->stage = SCHED_COMPUTED;
        link_job(s, jobs[i]);
    }
}

static void finish_job(scheduler *s, sched_job *job) {
    unlink_job(s, job);
    leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    job->parts->finish(job);
    pthread_mutex_lock(&s->lock);
}

/* Should a worker prepare one more job before it computes those that are ready? */
static bool prepares_first(scheduler *s) {
    const sched_job *job = oldest(s, SCHED_QUEUED);
    const size_t ready = s->waiting[SCHED_READY].count;
    return job != NULL &&
           (ready == 0 || (job->is_small && ready < SCHED_TOGETHER && s->ready_rows < SCHED_ROWS));
}

/* What a worker has done. */
typedef enum { NOTHING, A_PART, HELPED } deed;

/* Does one thing that is to be done, the lock given up meanwhile. */
static deed work(scheduler *s) {
    loop *l;
    if (oldest(s, SCHED_COMPUTED) != NULL)
        finish_job(s, oldest(s, SCHED_COMPUTED));
    else if (prepares_first(s))
        prepare_job(s, oldest(s, SCHED_QUEUED));
    else if (oldest(s, SCHED_READY) != NULL)
        compute_jobs(s);
    else if ((l = open_loop(s)) != NULL) {
        help(s, l);
        return HELPED;
    } else
        return NOTHING;
    return A_PART;
}

/* ---- Threads ---- */

static void *run_worker(void *argument) {
    scheduler *s = argument;
    if (s->prepare != NULL)
        s->prepare();
    pthread_mutex_lock(&s->lock);
    own_place = s->started++;
    pthread_cond_signal(&s->prepared);
    for (deed last = NOTHING, now;; last = now) {
        now = work(s);
        if (now == NOTHING && s->stopping)
            break;
        if (now == NOTHING)
            sleep_until_called(s, last == HELPED);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Takes the first job whose deadline has passed out of where it waits. If there is none, returns NULL and
 * sets s->wakes_at to the next deadline. */
static sched_job *take_expired(scheduler *s, uint64_t now) {
    uint64_t earliest = CLOCK_NEVER;
    for (size_t i = 0; i < SCHED_STAGES; i++)
        for (sched_job *job = s->waiting[i].jobs.next; job != &s->waiting[i].jobs; job = job->next) {
            if (job->deadline <= now) {
                unlink_job(s, job);
                return job;
            }
            if (job->deadline < earliest)
                earliest = job->deadline;
        }
    s->wakes_at = earliest;
    return NULL;
}

static void wait_for_deadline(scheduler *s) {
    const struct timespec until = {.tv_sec = (time_t)(s->wakes_at / 1000000000u),
                                   .tv_nsec = (long)(s->wakes_at % 1000000000u)};
    if (s->wakes_at == CLOCK_NEVER)
        pthread_cond_wait(&s->timer, &s->lock);
    else
        pthread_cond_timedwait(&s->timer, &s->lock, &until);
}

static void *run_timer(void *argument) {
    scheduler *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        const uint64_t now = clock_now();
        sched_job *job;
        if (now < s->wakes_at) {
            wait_for_deadline(s);
        } else if ((job = take_expired(s, now)) != NULL) {
            pthread_mutex_unlock(&s->lock);
            job->parts->expire(job);
            pthread_mutex_lock(&s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- Start and stop ---- */

static void init(scheduler *s, size_t slots, size_t max_queue, void (*prepare)(void)) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->timer, &monotonic);
    pthread_cond_init(&s->prepared, NULL);
    pthread_condattr_destroy(&monotonic);
    for (size_t i = 0; i < SCHED_STAGES; i++)
        s->waiting[i].jobs.previous = s->waiting[i].jobs.next = &s->waiting[i].jobs;
    s->loops.previous = s->loops.next = &s->loops;
    s->lender.parallel = (attn_parallel){.slots = slots < LOOP_SLOTS ? slots : LOOP_SLOTS, .run = run_loop};
    s->lender.scheduler = s;
    s->max_queue = max_queue;
    s->wakes_at = CLOCK_NEVER;
    s->prepare = prepare;
}

scheduler *sched_new(size_t threads, bool has_guest, size_t max_queue, void (*prepare)(void)) {
    scheduler *s = calloc(1, sizeof *s + threads * sizeof s->threads[0]);
    if (s == NULL)
        return NULL;
    init(s, threads + has_guest, max_queue, prepare);
    s->has_timer = pthread_create(&s->timer_thread, NULL, run_timer, s) == 0;
    while (s->has_timer && s->thread_count < threads &&
           pthread_create(&s->threads[s->thread_count], NULL, run_worker, s) == 0)
        s->thread_count++;
    if (s->thread_count < threads) {
        sched_free(s);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    while (s->started < threads)
        pthread_cond_wait(&s->prepared, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return s;
}

bool sched_submit(scheduler *s, sched_job *job) {
    pthread_mutex_lock(&s->lock);
    const size_t waiting = s->waiting[SCHED_QUEUED].count + s->waiting[SCHED_READY].count;
    const bool room = waiting < s->max_queue + s->asleep + s->helping;
    if (room) {
        job->stage = SCHED_QUEUED;
        link_job(s, job);
        wake(s, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

bool sched_crowded(scheduler *s) {
    pthread_mutex_lock(&s->lock);
    const bool crowded = s->waiting[SCHED_QUEUED].count > s->asleep + s->helping;
    pthread_mutex_unlock(&s->lock);
    return crowded;
}

const attn_parallel *sched_parallel(const scheduler *s) {
    return s->lender.parallel.slots == 1 ? NULL : &s->lender.parallel;
}

void sched_free(scheduler *s) {
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_broadcast(&s->work);
    pthread_cond_broadcast(&s->timer);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    if (s->has_timer)
        pthread_join(s->timer_thread, NULL);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->timer);
    pthread_cond_destroy(&s->prepared);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
