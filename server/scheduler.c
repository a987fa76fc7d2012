#include "server/scheduler.h"

#include "server/clock.h"

#include <pthread.h>
#include <stdlib.h>

struct scheduler {
    pthread_mutex_t lock;
    pthread_cond_t work;     /* a job waits, or the scheduler stops */
    pthread_cond_t timer;    /* an earlier deadline than the timer knows, or the scheduler stops */
    pthread_cond_t prepared; /* one more worker is ready */
    sched_job queue;         /* ring: queue.next is the oldest */
    size_t waiting, max_queue;
    size_t idle, ready; /* workers */
    uint64_t wakes_at;  /* when the timer looks next */
    bool stopping;
    void (*prepare)(void);
    pthread_t timer_thread;
    bool has_timer;
    size_t thread_count;
    pthread_t threads[];
};

static void unlink_job(scheduler *s, sched_job *job) {
    job->previous->next = job->next;
    job->next->previous = job->previous;
    s->waiting--;
}

static void *worker(void *argument) {
    scheduler *s = argument;
    if (s->prepare != NULL)
        s->prepare();
    pthread_mutex_lock(&s->lock);
    s->ready++;
    pthread_cond_signal(&s->prepared);
    for (;;) {
        s->idle++;
        while (s->waiting == 0 && !s->stopping)
            pthread_cond_wait(&s->work, &s->lock);
        s->idle--;
        if (s->waiting == 0)
            break;
        sched_job *job = s->queue.next;
        unlink_job(s, job);
        pthread_mutex_unlock(&s->lock);
        job->run(job);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Takes the first job whose deadline has passed out of the queue, or sets *earliest to the next deadline and
 * returns NULL. Called with the lock held. */
static sched_job *take_expired(scheduler *s, uint64_t now, uint64_t *earliest) {
    *earliest = CLOCK_NEVER;
    for (sched_job *job = s->queue.next; job != &s->queue; job = job->next) {
        if (job->deadline <= now) {
            unlink_job(s, job);
            return job;
        }
        if (job->deadline < *earliest)
            *earliest = job->deadline;
    }
    return NULL;
}

static void *timer(void *argument) {
    scheduler *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        sched_job *job = take_expired(s, clock_now(), &s->wakes_at);
        if (job != NULL) {
            pthread_mutex_unlock(&s->lock);
            job->expired(job);
            pthread_mutex_lock(&s->lock);
        } else if (s->wakes_at == CLOCK_NEVER) {
            pthread_cond_wait(&s->timer, &s->lock);
        } else {
            const struct timespec until = {.tv_sec = (time_t)(s->wakes_at / 1000000000u),
                                           .tv_nsec = (long)(s->wakes_at % 1000000000u)};
            pthread_cond_timedwait(&s->timer, &s->lock, &until);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void init(scheduler *s, size_t max_queue, void (*prepare)(void)) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->timer, &monotonic);
    pthread_cond_init(&s->prepared, NULL);
    pthread_condattr_destroy(&monotonic);
    s->queue.previous = s->queue.next = &s->queue;
    s->max_queue = max_queue;
    s->wakes_at = CLOCK_NEVER;
    s->prepare = prepare;
}

scheduler *sched_new(size_t threads, size_t max_queue, void (*prepare)(void)) {
    scheduler *s = calloc(1, sizeof *s + threads * sizeof s->threads[0]);
    if (s == NULL)
        return NULL;
    init(s, max_queue, prepare);
    s->has_timer = pthread_create(&s->timer_thread, NULL, timer, s) == 0;
    while (s->has_timer && s->thread_count < threads &&
           pthread_create(&s->threads[s->thread_count], NULL, worker, s) == 0)
        s->thread_count++;
    if (s->thread_count < threads) {
        sched_free(s);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    while (s->ready < threads)
        pthread_cond_wait(&s->prepared, &s->lock);
    pthread_mutex_unlock(&s->lock);
    return s;
}

bool sched_submit(scheduler *s, sched_job *job) {
    pthread_mutex_lock(&s->lock);
    const bool room = s->waiting < s->max_queue + s->idle;
    if (room) {
        job->next = &s->queue;
        job->previous = s->queue.previous;
        job->previous->next = job;
        s->queue.previous = job;
        s->waiting++;
        pthread_cond_signal(&s->work);
        if (job->deadline < s->wakes_at)
            pthread_cond_signal(&s->timer);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

bool sched_crowded(scheduler *s) {
    pthread_mutex_lock(&s->lock);
    const bool crowded = s->waiting > s->idle;
    pthread_mutex_unlock(&s->lock);
    return crowded;
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
