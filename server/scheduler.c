#include "server/scheduler_inside.h"

#include "server/clock.h"

#include <fenv.h>
#include <sched.h>
#include <stdlib.h>

/* How long a thread looks on before it sleeps, while a job is computed or after it has helped: the next loop
 * of a pass, or the end of this one, is often nearer than the time that waking a thread takes. */
#define LOOKING_ON ((uint64_t)50000) /* nanoseconds */

/* How much of its time a worker gives to small jobs in the midst of a large one: a part of that, and a
 * millisecond at once. So many of them are prepared before they are computed together. */
#define SHARE_OF_OTHERS   20
#define ALWAYS_FOR_OTHERS ((uint64_t)1000000) /* nanoseconds */
#define MOST_SMALL        ((size_t)16)

_Thread_local size_t sched_own_place = SIZE_MAX;

/* What this worker does for others in the midst of a part of its own. */
static _Thread_local struct {
    uint64_t began;  /* its part, on clock_now's clock */
    uint64_t served; /* nanoseconds of that for others */
    bool for_others; /* it gives way, or helps: then it does not give way */
} own;

/* Everything static below is called with the lock held, unless it says otherwise. */

/* ---- Who waits, who sleeps ---- */

static size_t jobs_waiting(const scheduler *s) {
    size_t count = 0;
    for (size_t i = 0; i < SCHED_STAGES; i++)
        count += s->waiting[i].count;
    return count;
}

static void look_around(scheduler *s) {
    const bool is_short = jobs_waiting(s) > s->asleep;
    atomic_store(&s->short_of_workers, is_short);
    atomic_store(&s->small_waits, is_short && s->small > 0);
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
    s->small += job->is_small;
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
    s->small -= job->is_small;
    if (job->stage == SCHED_READY)
        s->ready_rows -= counted_rows(job);
    look_around(s);
}

/* The oldest job in this stage, or NULL. */
static sched_job *oldest(scheduler *s, size_t stage) {
    return s->waiting[stage].count == 0 ? NULL : s->waiting[stage].jobs.next;
}

static void wake(scheduler *s, size_t count) {
    for (; count > 0 && s->called < s->asleep; count--) {
        s->called++;
        atomic_fetch_add(&s->calls, 1);
        if (s->called > s->looking)
            pthread_cond_signal(&s->work);
    }
}

void sched_look_on(const atomic_size_t *number, size_t was) {
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
        sched_look_on(&s->calls, calls);
        pthread_mutex_lock(&s->lock);
        s->looking--;
    }
    if (atomic_load(&s->calls) == calls && !s->stopping)
        pthread_cond_wait(&s->work, &s->lock);
    s->asleep--;
    s->called -= s->called > 0;
    look_around(s);
}

/* Up to two for a loop: each of them wakes two more. */
void sched_leave_the_rest(scheduler *s) {
    if (s->called == s->asleep)
        return;
    const loop *l = sched_open_loop(s);
    if (jobs_waiting(s) > s->called)
        wake(s, 1);
    else if (l != NULL)
        wake(s, atomic_load(&l->left) == 1 || (l->free_slots & (l->free_slots - 1)) == 0 ? 1 : 2);
}

/* ---- Jobs ---- */

static void prepare_job(scheduler *s, sched_job *job) {
    unlink_job(s, job);
    sched_leave_the_rest(s);
    pthread_mutex_unlock(&s->lock);
    const bool is_ready = job->parts->prepare(job);
    pthread_mutex_lock(&s->lock);
    if (is_ready) {
        job->stage = SCHED_READY;
        link_job(s, job);
    }
}

/* Takes a job that is ready, and those after it that can be computed with it; by a worker that gives way,
 * only small ones. */
static size_t take_group(scheduler *s, sched_job *first, sched_job *jobs[SCHED_TOGETHER]) {
    const void *group = first->group;
    size_t count = 0, rows = 0;
    sched_job *next = first;
    for (sched_job *job = first; job != &s->waiting[SCHED_READY].jobs && count < SCHED_TOGETHER; job = next) {
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
    sched_leave_the_rest(s);
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
    sched_leave_the_rest(s);
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

/* ---- Giving way ---- */

/* The oldest small job in this stage, or NULL. */
static sched_job *oldest_small(scheduler *s, size_t stage) {
    sched_job *const ring = &s->waiting[stage].jobs;
    for (sched_job *job = ring->next; job != ring; job = job->next)
        if (job->is_small)
            return job;
    return NULL;
}

static size_t count_small(scheduler *s, size_t stage) {
    sched_job *const ring = &s->waiting[stage].jobs;
    size_t count = 0;
    for (const sched_job *job = ring->next; job != ring; job = job->next)
        count += job->is_small;
    return count;
}

/* Does one part of a small job, the lock given up meanwhile. False if none waits, or if this thread has done
 * enough for others: then it ends what has begun, but begins nothing. */
static bool serve_small(scheduler *s, bool begins) {
    sched_job *const computed = oldest_small(s, SCHED_COMPUTED),
                     *const queued = oldest_small(s, SCHED_QUEUED),
                     *const ready = oldest_small(s, SCHED_READY);
    if (computed != NULL)
        finish_job(s, computed);
    else if (begins && queued != NULL && count_small(s, SCHED_READY) < MOST_SMALL)
        prepare_job(s, queued);
    else if (ready != NULL)
        compute_jobs(s, ready);
    else
        return false;
    return true;
}

/* Has this thread time for others? */
static bool may_serve(uint64_t now) {
    return own.served <= (now - own.began) / SHARE_OF_OTHERS + ALWAYS_FOR_OTHERS;
}

void sched_give_way(scheduler *s) {
    uint64_t last;
    fenv_t mode;
    if (!atomic_load_explicit(&s->small_waits, memory_order_relaxed) || own.for_others ||
        sched_own_place == SIZE_MAX || !may_serve(last = clock_now()))
        return;
    /* The part that is interrupted may have its own way of rounding. */
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

/* What a worker has done. */
typedef enum { NOTHING, A_PART, HELPED } deed;

/* Does one thing that is to be done, the lock given up meanwhile. */
static deed work(scheduler *s) {
    loop *l;
    own.began = clock_now();
    own.served = 0;
    if (oldest(s, SCHED_COMPUTED) != NULL)
        finish_job(s, oldest(s, SCHED_COMPUTED));
    else if (prepares_first(s))
        prepare_job(s, oldest(s, SCHED_QUEUED));
    else if (oldest(s, SCHED_READY) != NULL)
        compute_jobs(s, oldest(s, SCHED_READY));
    else if ((l = sched_open_loop(s)) != NULL) {
        own.for_others = true;
        sched_help(s, l);
        own.for_others = false;
        return HELPED;
    } else
        return NOTHING;
    return A_PART;
}

static void *run_worker(void *argument) {
    scheduler *s = argument;
    if (s->prepare != NULL)
        s->prepare();
    pthread_mutex_lock(&s->lock);
    sched_own_place = s->started++;
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
    s->lender.parallel =
        (attn_parallel){.slots = slots < LOOP_SLOTS ? slots : LOOP_SLOTS, .run = sched_run_loop};
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
    pthread_cond_destroy(&s->prepared);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
