#include "server/scheduler.h"

#include "server/clock.h"
#include "server/scheduler_loops.h"

#include <fenv.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How much of its time a worker gives to small jobs in the midst of a large one: a fraction of that, and a
 * millisecond at once. So many of them are prepared before they are computed together. */
#define TIME_FRACTION ((uint64_t)20)
#define TIME_AT_ONCE  ((uint64_t)1000000) /* nanoseconds */
#define MAX_PREPARED  ((size_t)16)

struct scheduler {
    sched_lender lender;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* there is something to do, or the scheduler stops */
    pthread_cond_t timer;   /* an earlier deadline than the timer knows, or the scheduler stops */
    pthread_cond_t started; /* one more worker has warmed up */
    struct {
        sched_job jobs; /* ring: jobs.next is the oldest */
        size_t count;
    } queues[SCHED_QUEUES];
    size_t ready_rows; /* of the jobs in SCHED_READY */
    size_t small;      /* jobs that are queued and small */
    size_t max_queue;
    size_t asleep, woken;    /* workers that wait for `work`, and those of them that have been woken */
    atomic_size_t wakeups;   /* ever, of workers that were asleep */
    size_t spinning;         /* workers that spin before they sleep */
    size_t computing;        /* workers that compute jobs of their own */
    size_t running;          /* jobs in a step */
    atomic_bool small_waits; /* more jobs wait than workers sleep, and one is small: large ones give way */
    size_t worker_count;     /* that have warmed up */
    uint64_t wakes_at;       /* when the timer looks next */
    bool stopping;
    void (*warm_up)(void);
    pthread_t timer_thread;
    bool has_timer;
    size_t thread_count;
    pthread_t threads[];
};

/* What this worker does for others in the midst of a step of its own. */
static _Thread_local struct {
    uint64_t began;  /* its step, on clock_now's clock */
    uint64_t served; /* nanoseconds of that for others */
    bool for_others; /* it gives way, or helps: then it does not give way */
} own;

/* Everything static below is called with the lock held, unless it says otherwise. */

/* ---- Queues, and workers that sleep ---- */

static size_t jobs_waiting(const scheduler *s) {
    size_t count = 0;
    for (size_t i = 0; i < SCHED_QUEUES; i++)
        count += s->queues[i].count;
    return count;
}

/* What threads look at without the lock, in the midst of their work. */
static void update_hints(scheduler *s) {
    const bool is_short = jobs_waiting(s) > s->asleep;
    atomic_store(&s->lender.wanted, is_short);
    atomic_store(&s->small_waits, is_short && s->small > 0);
}

/* Cut, so that a sum of some does not overflow. */
static size_t counted_rows(const sched_job *job) {
    return job->rows < SCHED_ROWS ? job->rows : SCHED_ROWS;
}

static void link_job(scheduler *s, sched_job *job) {
    sched_job *ring = &s->queues[job->queue].jobs;
    job->next = ring;
    job->previous = ring->previous;
    job->previous->next = job;
    ring->previous = job;
    s->queues[job->queue].count++;
    s->small += job->is_small;
    if (job->queue == SCHED_READY)
        s->ready_rows += counted_rows(job);
    if (job->deadline < s->wakes_at) {
        s->wakes_at = job->deadline;
        pthread_cond_signal(&s->timer);
    }
    update_hints(s);
}

static void unlink_job(scheduler *s, sched_job *job) {
    job->previous->next = job->next;
    job->next->previous = job->previous;
    s->queues[job->queue].count--;
    s->small -= job->is_small;
    if (job->queue == SCHED_READY)
        s->ready_rows -= counted_rows(job);
    update_hints(s);
}

/* The oldest job in this queue, or NULL. */
static sched_job *oldest(scheduler *s, size_t queue) {
    return s->queues[queue].count == 0 ? NULL : s->queues[queue].jobs.next;
}

static void wake(scheduler *s, size_t count) {
    for (; count > 0 && s->woken < s->asleep; count--) {
        s->woken++;
        atomic_fetch_add(&s->wakeups, 1);
        if (s->woken > s->spinning)
            pthread_cond_signal(&s->work);
    }
}

/* A worker that spins counts as asleep: it comes when it is woken. */
static void sleep_until_woken(scheduler *s, bool has_helped) {
    s->asleep++;
    update_hints(s);
    const size_t before = atomic_load(&s->wakeups);
    if (s->computing > 0 || has_helped) {
        s->spinning++;
        pthread_mutex_unlock(&s->lock);
        sched_spin(&s->wakeups, before);
        pthread_mutex_lock(&s->lock);
        s->spinning--;
    }
    if (atomic_load(&s->wakeups) == before && !s->stopping)
        pthread_cond_wait(&s->work, &s->lock);
    s->asleep--;
    s->woken -= s->woken > 0;
    update_hints(s);
}

/* Each thread that has taken something wakes others for what is left, so that none has to wake many: up to
 * two for a loop, each of which wakes two more. */
static void call_more(scheduler *s) {
    if (s->woken == s->asleep)
        return;
    const sched_loop *loop = sched_open_loop(&s->lender);
    if (jobs_waiting(s) > s->woken)
        wake(s, 1);
    else if (loop != NULL)
        wake(s, atomic_load(&loop->left) == 1 || (loop->free_slots & (loop->free_slots - 1)) == 0 ? 1 : 2);
}

/* ---- Jobs ---- */

static void prepare_job(scheduler *s, sched_job *job) {
    unlink_job(s, job);
    call_more(s);
    s->running++;
    pthread_mutex_unlock(&s->lock);
    const bool is_ready = job->steps->prepare(job);
    pthread_mutex_lock(&s->lock);
    s->running--;
    if (is_ready) {
        job->queue = SCHED_READY;
        link_job(s, job);
    }
}

/* Takes a job that is ready, and those after it that can be computed with it; by a worker that gives way,
 * only small ones. */
static size_t take_group(scheduler *s, sched_job *first, sched_job *jobs[SCHED_TOGETHER]) {
    const void *group = first->group;
    size_t count = 0, rows = 0;
    sched_job *next = first;
    for (sched_job *job = first; job != &s->queues[SCHED_READY].jobs && count < SCHED_TOGETHER; job = next) {
        next = job->next;
        if (job->group != group || (own.for_others && !job->is_small) ||
            (count > 0 && (rows > SCHED_ROWS || job->rows > SCHED_ROWS - rows)))
            continue;
        unlink_job(s, job);
        jobs[count++] = job;
        rows += job->rows;
    }
    return count;
}

static void compute_jobs(scheduler *s, sched_job *first) {
    sched_job *jobs[SCHED_TOGETHER];
    const size_t count = take_group(s, first, jobs);
    call_more(s);
    s->computing++;
    s->running += count;
    pthread_mutex_unlock(&s->lock);
    jobs[0]->steps->compute(jobs, count);
    pthread_mutex_lock(&s->lock);
    s->computing--;
    s->running -= count;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->queue = SCHED_COMPUTED;
        link_job(s, jobs[i]);
    }
}

static void finish_job(scheduler *s, sched_job *job) {
    unlink_job(s, job);
    call_more(s);
    s->running++;
    pthread_mutex_unlock(&s->lock);
    job->steps->finish(job);
    pthread_mutex_lock(&s->lock);
    s->running--;
}

/* Should a worker prepare one more job before it computes those that are ready? */
static bool prepares_first(scheduler *s) {
    const sched_job *job = oldest(s, SCHED_QUEUED);
    const size_t ready = s->queues[SCHED_READY].count;
    return job != NULL &&
           (ready == 0 || (job->is_small && ready < SCHED_TOGETHER && s->ready_rows < SCHED_ROWS));
}

/* ---- Giving way ---- */

/* The oldest small job in this queue, or NULL. */
static sched_job *oldest_small(scheduler *s, size_t queue) {
    sched_job *const ring = &s->queues[queue].jobs;
    for (sched_job *job = ring->next; job != ring; job = job->next)
        if (job->is_small)
            return job;
    return NULL;
}

static size_t count_small(scheduler *s, size_t queue) {
    sched_job *const ring = &s->queues[queue].jobs;
    size_t count = 0;
    for (const sched_job *job = ring->next; job != ring; job = job->next)
        count += job->is_small;
    return count;
}

/* Does one step of a small job, the lock released meanwhile. False if none waits, or if this thread has done
 * enough for others: then it ends what has begun, but begins nothing. */
static bool serve_small(scheduler *s, bool begins) {
    sched_job *const computed = oldest_small(s, SCHED_COMPUTED),
                     *const queued = oldest_small(s, SCHED_QUEUED),
                     *const ready = oldest_small(s, SCHED_READY);
    if (computed != NULL)
        finish_job(s, computed);
    else if (begins && queued != NULL && count_small(s, SCHED_READY) < MAX_PREPARED)
        prepare_job(s, queued);
    else if (ready != NULL)
        compute_jobs(s, ready);
    else
        return false;
    return true;
}

/* Has this thread time for others? */
static bool may_serve(uint64_t now) {
    return own.served <= (now - own.began) / TIME_FRACTION + TIME_AT_ONCE;
}

void sched_give_way(scheduler *s) {
    uint64_t last;
    fenv_t mode;
    if (!atomic_load_explicit(&s->small_waits, memory_order_relaxed) || own.for_others ||
        sched_worker_number == SCHED_NO_WORKER || !may_serve(last = clock_now()))
        return;
    /* The step that is interrupted may have its own way of rounding. */
    fegetenv(&mode);
    fesetenv(FE_DFL_ENV);
    own.for_others = true;
    pthread_mutex_lock(&s->lock);
    while (serve_small(s, may_serve(last))) {
        const uint64_t now = clock_now();
        own.served += now - last;
        last = now;
    }
    pthread_mutex_unlock(&s->lock);
    own.for_others = false;
    fesetenv(&mode);
}

/* ---- Threads ---- */

typedef enum { FOUND_NOTHING, RAN_STEP, HELPED_LOOP } worker_turn;

/* Does the most urgent thing that there is, the lock released meanwhile. */
static worker_turn take_turn(scheduler *s) {
    sched_loop *loop;
    own.began = clock_now();
    own.served = 0;
    if (oldest(s, SCHED_COMPUTED) != NULL)
        finish_job(s, oldest(s, SCHED_COMPUTED));
    else if (prepares_first(s))
        prepare_job(s, oldest(s, SCHED_QUEUED));
    else if (oldest(s, SCHED_READY) != NULL)
        compute_jobs(s, oldest(s, SCHED_READY));
    else if ((loop = sched_open_loop(&s->lender)) != NULL) {
        own.for_others = true;
        sched_help(&s->lender, loop);
        own.for_others = false;
        return HELPED_LOOP;
    } else
        return FOUND_NOTHING;
    return RAN_STEP;
}

static void *run_worker(void *argument) {
    scheduler *s = argument;
    if (s->warm_up != NULL)
        s->warm_up();
    pthread_mutex_lock(&s->lock);
    sched_worker_number = s->worker_count++;
    pthread_cond_signal(&s->started);
    for (worker_turn last = FOUND_NOTHING, now;; last = now) {
        now = take_turn(s);
        if (now == FOUND_NOTHING && s->stopping)
            break;
        if (now == FOUND_NOTHING)
            sleep_until_woken(s, last == HELPED_LOOP);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Takes the first job whose deadline has passed out of where it waits. If there is none, returns NULL and
 * sets s->wakes_at to the next deadline. */
static sched_job *take_expired(scheduler *s, uint64_t now) {
    uint64_t earliest = CLOCK_NEVER;
    for (size_t i = 0; i < SCHED_QUEUES; i++)
        for (sched_job *job = s->queues[i].jobs.next; job != &s->queues[i].jobs; job = job->next) {
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
            job->steps->expire(job);
            pthread_mutex_lock(&s->lock);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- Start and stop ---- */

static void init(scheduler *s, size_t slots, size_t max_queue, void (*warm_up)(void)) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->timer, &monotonic);
    pthread_cond_init(&s->started, NULL);
    pthread_condattr_destroy(&monotonic);
    for (size_t i = 0; i < SCHED_QUEUES; i++)
        s->queues[i].jobs.previous = s->queues[i].jobs.next = &s->queues[i].jobs;
    sched_lender_init(&s->lender, slots, &s->lock);
    s->lender.scheduler = s;
    s->lender.call_more = call_more;
    s->lender.give_way = sched_give_way;
    s->max_queue = max_queue;
    s->wakes_at = CLOCK_NEVER;
    s->warm_up = warm_up;
}

scheduler *sched_new(size_t threads, bool has_guest, size_t max_queue, void (*warm_up)(void)) {
    scheduler *s = calloc(1, sizeof *s + threads * sizeof s->threads[0]);
    if (s == NULL)
        return NULL;
    init(s, threads + has_guest, max_queue, warm_up);
    s->has_timer = pthread_create(&s->timer_thread, NULL, run_timer, s) == 0;
    while (s->has_timer && s->thread_count < threads &&
           pthread_create(&s->threads[s->thread_count], NULL, run_worker, s) == 0)
        s->thread_count++;
    if (s->thread_count < threads) {
        sched_free(s);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    while (s->worker_count < threads)
        pthread_cond_wait(&s->started, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return s;
}

bool sched_submit(scheduler *s, sched_job *job) {
    pthread_mutex_lock(&s->lock);
    const size_t waiting = s->queues[SCHED_QUEUED].count + s->queues[SCHED_READY].count;
    const bool room = waiting < s->max_queue + s->asleep + s->lender.helping;
    if (room) {
        job->queue = SCHED_QUEUED;
        link_job(s, job);
        wake(s, 1);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

bool sched_crowded(scheduler *s) {
    pthread_mutex_lock(&s->lock);
    const bool crowded = s->queues[SCHED_QUEUED].count > s->asleep + s->lender.helping;
    pthread_mutex_unlock(&s->lock);
    return crowded;
}

sched_counts sched_count(scheduler *s) {
    pthread_mutex_lock(&s->lock);
    const sched_counts counts = {jobs_waiting(s), s->running};
    pthread_mutex_unlock(&s->lock);
    return counts;
}

const attn_parallel *sched_parallel(const scheduler *s) {
    return &s->lender.parallel;
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
    pthread_cond_destroy(&s->started);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
