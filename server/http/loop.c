/* loop.c: see http/loop.h.
 *
 * Why not the library's own thread: libmicrohttpd (0.9.75, 1.0.1, and its newest) takes at most 128 events
 * from epoll at once, and when it got exactly 128 it waits for more, with its whole timeout, before it serves
 * those that it has. 128, 256 or 384 requests that arrive together then stood until something else happened.
 * MHD_run waits for nothing: so the waiting is done here. */
#include "server/http/loop.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct http_loop {
    struct MHD_Daemon *daemon;
    pthread_t thread;
    int events;            /* the daemon's epoll instance */
    int wake;              /* an eventfd: before 1.0 the library has none without a thread of its own */
    atomic_bool signalled; /* `wake` has been written to, and the thread has not seen it yet */
    atomic_bool ending;
    pthread_mutex_t lock; /* of the call */
    pthread_cond_t done;
    void (*call)(void *context); /* to be made; NULL: none */
    void *context;
};

void http_loop_wake(http_loop *loop) {
    const uint64_t one = 1;
    if (atomic_exchange(&loop->signalled, true))
        return; /* it has yet to look, and will see this too */
    if (write(loop->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* How long the daemon may be left alone: milliseconds, -1 for as long as its sockets are quiet. */
static int poll_timeout(struct MHD_Daemon *daemon) {
    unsigned long long timeout;
    if (MHD_get_timeout(daemon, &timeout) != MHD_YES)
        return -1;
    return timeout < INT_MAX ? (int)timeout : INT_MAX;
}

static void wait_for_work(http_loop *loop) {
    struct pollfd polled[] = {{.fd = loop->events, .events = POLLIN}, {.fd = loop->wake, .events = POLLIN}};
    const int milliseconds = poll_timeout(loop->daemon);
    uint64_t count;
    /* With nothing to wait for there is no need to ask: MHD_run looks at the sockets itself. */
    if (milliseconds != 0 && poll(polled, 2, milliseconds) > 0 && polled[1].revents != 0 &&
        read(loop->wake, &count, sizeof count) < 0)
        return; /* nothing to take back */
}

static void make_call(http_loop *loop) {
    pthread_mutex_lock(&loop->lock);
    if (loop->call != NULL) {
        loop->call(loop->context);
        loop->call = NULL;
        pthread_cond_signal(&loop->done);
    }
    pthread_mutex_unlock(&loop->lock);
}

static void *run(void *argument) {
    http_loop *loop = argument;
    while (!atomic_load(&loop->ending)) {
        wait_for_work(loop);
        if (atomic_exchange(&loop->signalled, false)) /* before the daemon looks at what was resumed */
            make_call(loop);
        MHD_run(loop->daemon);
    }
    return NULL;
}

static void free_loop(http_loop *loop) {
    if (loop->wake >= 0)
        close(loop->wake);
    pthread_cond_destroy(&loop->done);
    pthread_mutex_destroy(&loop->lock);
    free(loop);
}

bool http_loop_start(struct MHD_Daemon *daemon, http_loop **started) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    http_loop *loop = *started = info == NULL ? NULL : calloc(1, sizeof *loop);
    if (loop == NULL)
        return false;
    loop->daemon = daemon;
    loop->events = info->epoll_fd;
    loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->done, NULL);
    if (loop->wake >= 0 && pthread_create(&loop->thread, NULL, run, loop) == 0)
        return true;
    free_loop(loop);
    *started = NULL;
    return false;
}

void http_loop_call(http_loop *loop, void (*call)(void *context), void *context) {
    pthread_mutex_lock(&loop->lock);
    loop->context = context;
    loop->call = call;
    http_loop_wake(loop);
    while (loop->call != NULL)
        pthread_cond_wait(&loop->done, &loop->lock);
    pthread_mutex_unlock(&loop->lock);
}

void http_loop_end(http_loop *loop) {
    atomic_store(&loop->ending, true);
    http_loop_wake(loop);
    pthread_join(loop->thread, NULL);
    free_loop(loop);
}
