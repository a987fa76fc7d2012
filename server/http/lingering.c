#include "server/http/lingering.h"

#include "server/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* The thread closes the oldest beyond KEEP; the rest of the capacity is for those that come before it wakes.
 */
#define CAPACITY 256
#define KEEP     64
#define IDLE     2000 /* milliseconds without a byte after which a socket is closed */

typedef struct {
    int descriptor;
    uint64_t deadline; /* while it stays idle */
    uint64_t end;      /* however much it sends */
} lingerer;

struct lingering {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake; /* an eventfd */
    size_t maximum;
    lingerer all[CAPACITY]; /* others append; the thread alone changes and removes them */
    size_t count;
    bool stopping;
};

static void wake(lingering *l) {
    const uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* Reads what there is and discards it. False at the end of the stream. */
static bool discard_input(int descriptor) {
    char bytes[65536];
    for (int i = 0; i < 16; i++) {
        const ssize_t n = recv(descriptor, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0)
            return false;
        if (n < 0)
            return true; /* nothing there now; an error shows as POLLERR or POLLHUP */
    }
    return true;
}

/* Without the lock: reads what there is. Has it been long enough? */
static bool is_done(lingerer *one, short events) {
    const uint64_t idle_until = clock_in_ms(IDLE);
    if ((events & (POLLERR | POLLHUP)) != 0 || one->deadline <= clock_now())
        return true;
    if ((events & POLLIN) == 0)
        return false;
    one->deadline = idle_until < one->end ? idle_until : one->end;
    return !discard_input(one->descriptor);
}

/* With the lock held. */
static void end_one(lingering *l, size_t i) {
    close(l->all[i].descriptor);
    l->all[i] = l->all[--l->count];
}

/* With the lock held: closes the oldest of those that are too many. */
static void evict_oldest(lingering *l) {
    while (l->count > KEEP) {
        size_t oldest = 0;
        for (size_t i = 1; i < l->count; i++)
            if (l->all[i].end < l->all[oldest].end)
                oldest = i;
        end_one(l, oldest);
    }
}

/* With the lock held: milliseconds until the first has been idle for too long, or -1. */
static int poll_timeout(const lingering *l) {
    uint64_t earliest = CLOCK_NEVER;
    for (size_t i = 0; i < l->count; i++)
        if (l->all[i].deadline < earliest)
            earliest = l->all[i].deadline;
    const uint64_t now = clock_now();
    return earliest == CLOCK_NEVER ? -1 : earliest <= now ? 0 : (int)((earliest - now) / 1000000u) + 1;
}

static void *serve(void *argument) {
    lingering *l = argument;
    struct pollfd polled[CAPACITY + 1];
    bool over[CAPACITY];
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        const size_t count = l->count;
        const int milliseconds = poll_timeout(l);
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = l->all[i].descriptor, .events = POLLIN};
        polled[count] = (struct pollfd){.fd = l->wake, .events = POLLIN};
        pthread_mutex_unlock(&l->lock);
        uint64_t signals;
        poll(polled, count + 1, milliseconds);
        if (polled[count].revents != 0 && read(l->wake, &signals, sizeof signals) < 0)
            signals = 0; /* nothing to take back */
        for (size_t i = 0; i < count; i++)
            over[i] = is_done(&l->all[i], polled[i].revents);
        pthread_mutex_lock(&l->lock);
        for (size_t i = count; i-- > 0;) /* downwards: the last takes the place of one that goes */
            if (over[i])
                end_one(l, i);
        evict_oldest(l);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

lingering *lingering_new(size_t maximum) {
    lingering *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->maximum = maximum;
    l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (l->wake >= 0 && pthread_create(&l->thread, NULL, serve, l) == 0)
        return l;
    if (l->wake >= 0)
        close(l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
    return NULL;
}

void lingering_free(lingering *l) {
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    pthread_join(l->thread, NULL);
    for (size_t i = 0; i < l->count; i++)
        close(l->all[i].descriptor);
    close(l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void lingering_add(lingering *l, int descriptor) {
    pthread_mutex_lock(&l->lock);
    const int copy = l->count < CAPACITY ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    const uint64_t end = clock_in_ms(l->maximum), idle_until = clock_in_ms(IDLE);
    if (copy >= 0)
        l->all[l->count++] =
            (lingerer){.descriptor = copy, .deadline = idle_until < end ? idle_until : end, .end = end};
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

size_t lingering_count(lingering *l) {
    pthread_mutex_lock(&l->lock);
    const size_t count = l->count;
    pthread_mutex_unlock(&l->lock);
    return count;
}
