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

/* The thread closes the oldest beyond KEPT; the rest of the room is for those that come before it wakes. */
#define MOST  256
#define KEPT  64
#define QUIET 2000 /* milliseconds without a byte after which a socket is closed */

typedef struct {
    int descriptor;
    uint64_t deadline; /* if it stays quiet */
    uint64_t end;      /* however much it sends */
} lingerer;

struct lingering {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake; /* an eventfd */
    size_t longest;
    lingerer all[MOST]; /* others append; the thread alone changes and removes them */
    size_t count;
    bool stopping;
};

static void wake(lingering *l) {
    const uint64_t one = 1;
    if (write(l->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* Reads what has come and throws it away. False at the end of the stream. */
static bool swallow(int descriptor) {
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

/* Without the lock: takes what has come. Is this socket done with? */
static bool is_over(lingerer *one, short events) {
    const uint64_t quiet = clock_in_ms(QUIET);
    if ((events & (POLLERR | POLLHUP)) != 0 || one->deadline <= clock_now())
        return true;
    if ((events & POLLIN) == 0)
        return false;
    one->deadline = quiet < one->end ? quiet : one->end;
    return !swallow(one->descriptor);
}

/* With the lock held. */
static void end_one(lingering *l, size_t i) {
    close(l->all[i].descriptor);
    l->all[i] = l->all[--l->count];
}

/* With the lock held: closes the oldest of those that are too many. */
static void crowd_out(lingering *l) {
    while (l->count > KEPT) {
        size_t oldest = 0;
        for (size_t i = 1; i < l->count; i++)
            if (l->all[i].end < l->all[oldest].end)
                oldest = i;
        end_one(l, oldest);
    }
}

/* With the lock held: how many milliseconds until the first has been quiet for too long, or -1. */
static int patience(const lingering *l) {
    uint64_t earliest = CLOCK_NEVER;
    for (size_t i = 0; i < l->count; i++)
        if (l->all[i].deadline < earliest)
            earliest = l->all[i].deadline;
    const uint64_t now = clock_now();
    return earliest == CLOCK_NEVER ? -1 : earliest <= now ? 0 : (int)((earliest - now) / 1000000u) + 1;
}

static void *serve(void *argument) {
    lingering *l = argument;
    struct pollfd polled[MOST + 1];
    bool over[MOST];
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        const size_t count = l->count;
        const int milliseconds = patience(l);
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = l->all[i].descriptor, .events = POLLIN};
        polled[count] = (struct pollfd){.fd = l->wake, .events = POLLIN};
        pthread_mutex_unlock(&l->lock);
        uint64_t signals;
        poll(polled, count + 1, milliseconds);
        if (polled[count].revents != 0 && read(l->wake, &signals, sizeof signals) < 0)
            signals = 0; /* nothing to take back */
        for (size_t i = 0; i < count; i++)
            over[i] = is_over(&l->all[i], polled[i].revents);
        pthread_mutex_lock(&l->lock);
        for (size_t i = count; i-- > 0;) /* downwards: the last takes the place of one that goes */
            if (over[i])
                end_one(l, i);
        crowd_out(l);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

lingering *lingering_new(size_t longest) {
    lingering *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    pthread_mutex_init(&l->lock, NULL);
    l->longest = longest;
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
    const int copy = l->count < MOST ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    const uint64_t end = clock_in_ms(l->longest), quiet = clock_in_ms(QUIET);
    if (copy >= 0)
        l->all[l->count++] =
            (lingerer){.descriptor = copy, .deadline = quiet < end ? quiet : end, .end = end};
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

size_t lingering_count(lingering *l) {
    pthread_mutex_lock(&l->lock);
    const size_t count = l->count;
    pthread_mutex_unlock(&l->lock);
    return count;
}
