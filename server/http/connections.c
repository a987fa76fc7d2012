#include "server/http/connections.h"

#include "server/clock.h"
#include "server/http/lingering.h"
#include "server/http/pace.h"
#include "server/http/request_id.h"
#include "server/http/sockets.h"
#include "server/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Milliseconds ... */
#define HANG_UP_GRACE  200  /* that the library gets to take in what a client sent before it hung up */
#define DRAIN_GRACE    1000 /* that a connection has for its first request when no more are accepted */
#define LAST_WORDS     1000 /* in which a request that was cut off may be told so */
#define LEAST_REST     8000 /* that the rest of an answer may stand still, beyond the write timeout */
#define EXTRA_PATIENCE 2000 /* that an extra connection has for its request */

/* A connection that waits for a request is looked at so often within the read timeout: the library tells of a
 * request when it has its first line, but its time begins with its first byte. */
#define WAITING_LOOKS 8

struct connection {
    connections *table;
    int descriptor;
    uint64_t deadline;   /* when the watcher looks; CLOCK_NEVER while the service is at work on the request */
    uint64_t since;      /* while WAITING: when that began */
    uint64_t idle_until; /* while WAITING: when it is closed */
    uint64_t received;   /* bytes that had come when the last request was over */
    enum { WAITING, READING, WORKING, SENDING, ENDED } state; /* ENDED: it has been shut down */
    connection_end why;
    bool fresh; /* it has had no request yet */
    bool extra;
    bool hung_up;        /* the client sends no more */
    bool taking;         /* while WAITING: the client has yet to take the rest of its last answer */
    pace pace;           /* while SENDING or taking */
    const void *request; /* for write_late; NULL: its head has not been read */
    char request_id[REQUEST_ID_MAX + 1];
    const char *answer; /* for a late request; NULL: that it is late */
    size_t answer_length;
    connection *previous, *next;
};

struct connections {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake;     /* an eventfd */
    int hang_ups; /* an epoll instance: says which clients send no more */
    connection_limits limits;
    connection open;     /* ring */
    size_t count, ended; /* of all, and of those that are shut down but not closed yet */
    enum { ACCEPTING, DRAINING, CUTTING } phase;
    lingering *lingering;
    uint64_t wakes_at;
    bool stopping;
};

static void wake(connections *table) {
    const uint64_t one = 1;
    if (write(table->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* With the lock held. */
static void set_deadline(connection *c, uint64_t deadline) {
    c->deadline = deadline;
    if (deadline < c->table->wakes_at)
        wake(c->table);
}

static uint64_t write_window(const connection *c) {
    return c->table->limits.write_timeout * (uint64_t)1000000;
}

/* With the lock held: the answer to a request that is late; an extra one had less time than it says. */
static void send_late(const connection *c) {
    char text[4096];
    const connection_limits *limits = &c->table->limits;
    if (limits->write_late == NULL || c->extra)
        return;
    if (c->answer != NULL)
        send(c->descriptor, c->answer, c->answer_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        send(c->descriptor, text, limits->write_late(limits->context, c->request, text, sizeof text),
             MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* With the lock held: the library will notice, and close. An answer of which a part has not even been handed
 * to the system is lost: then the client's side is reset, so that the system need not keep what it holds of
 * it, and no client takes the part for the whole. */
static void end_connection(connection *c, connection_end why) {
    socket_shut_down(c->descriptor, c->state == SENDING);
    c->state = ENDED;
    c->why = why;
    c->deadline = CLOCK_NEVER;
    c->table->ended++;
}

/* With the lock held: bytes of a request have come. */
static void start_reading(connection *c) {
    size_t allowed = c->table->limits.read_timeout;
    if (c->extra && allowed > EXTRA_PATIENCE)
        allowed = EXTRA_PATIENCE;
    c->state = READING;
    c->request_id[0] = '\0';
    set_deadline(c, c->fresh ? c->since + allowed * (uint64_t)1000000 : clock_in_ms(allowed));
}

static bool has_begun(const connection *c) {
    return socket_received(c->descriptor) > c->received;
}

/* When a connection that waits is looked at again. All of them are looked at in the same moments, so that the
 * watcher wakes for all at once. */
static uint64_t next_look(const connection *c) {
    const uint64_t step = c->table->limits.read_timeout * (uint64_t)1000000 / WAITING_LOOKS + 1000000u;
    return earlier(c->idle_until, (clock_now() / step + 1) * step);
}

/* With the lock held: the rest of the last answer. A client is not idle while it takes it. */
static void watch_rest(connection *c, uint64_t now) {
    uint64_t next;
    c->idle_until = clock_in_ms(c->table->limits.idle_timeout);
    if (pace_look(&c->pace, socket_taken(c->descriptor), now, &next)) {
        c->deadline = earlier(next, next_look(c));
        return;
    }
    log_line(LOG_INFO, "id=%s: the client takes its answer too slowly (--write-timeout)", c->request_id);
    end_connection(c, CONNECTION_SLOW);
}

/* With the lock held, as all that follow: the deadline of a connection has passed ... */
static void expire_waiting(connection *c, uint64_t now) {
    const bool kept = !c->hung_up && c->table->phase == ACCEPTING;
    if (!c->hung_up && has_begun(c)) {
        start_reading(c);
    } else if (c->hung_up && socket_has_unread(c->descriptor)) { /* the library is not done with them */
        c->deadline = clock_in_ms(HANG_UP_GRACE);
    } else if (kept && c->taking && (c->taking = socket_has_unsent(c->descriptor))) {
        watch_rest(c, now);
    } else if (!c->hung_up && now < c->idle_until) {
        c->deadline = next_look(c);
    } else {
        end_connection(c, CONNECTION_UNNEEDED);
    }
}

static void expire_reading(connection *c) {
    if (c->hung_up && socket_has_unread(c->descriptor)) {
        c->deadline = clock_in_ms(HANG_UP_GRACE);
    } else if (c->hung_up) {
        end_connection(c, CONNECTION_UNNEEDED);
    } else {
        send_late(c);
        end_connection(c, CONNECTION_LATE);
    }
}

static void expire_sending(connection *c, uint64_t now) {
    const uint64_t taken = socket_taken(c->descriptor);
    if (c->table->phase == CUTTING)
        end_connection(c, CONNECTION_CUT);
    else if (!socket_has_unsent(c->descriptor)) /* what it takes in time is handed over too slowly */
        c->deadline = pace_start(&c->pace, write_window(c), taken, now);
    else if (!pace_look(&c->pace, taken, now, &c->deadline))
        end_connection(c, CONNECTION_SLOW);
}

static void expire(connection *c, uint64_t now) {
    switch (c->state) {
    case WAITING:
        expire_waiting(c, now);
        break;
    case READING:
        expire_reading(c);
        break;
    case SENDING:
        expire_sending(c, now);
        break;
    case WORKING:
    case ENDED:
        break; /* they have no deadline */
    }
}

/* With the lock held: finds the clients that have hung up. libmicrohttpd before 1.0 does not notice an end
 * that comes together with data, and would keep a request that was cut off until its read timeout. */
static void take_hang_ups(connections *table) {
    struct epoll_event events[64];
    /* Under the lock, so that none of these connections can be freed meanwhile. */
    const int count = epoll_wait(table->hang_ups, events, 64, 0);
    for (int i = 0; i < count; i++) {
        connection *c = events[i].data.ptr;
        c->hung_up = true;
        if (c->state == READING || (c->state == WAITING && has_begun(c)))
            c->deadline = earlier(c->deadline, clock_in_ms(HANG_UP_GRACE));
        else if (c->state == WAITING)
            c->deadline = 0;
    }
}

/* With the lock held: the earliest deadline of all, after what is overdue has been dealt with. */
static uint64_t expire_overdue(connections *table) {
    const uint64_t now = clock_now();
    uint64_t earliest = CLOCK_NEVER;
    for (connection *c = table->open.next; c != &table->open; c = c->next) {
        if (c->deadline <= now)
            expire(c, now);
        earliest = earlier(earliest, c->deadline);
    }
    return earliest;
}

static int milliseconds_until(uint64_t moment) {
    const uint64_t now = clock_now();
    if (moment == CLOCK_NEVER)
        return -1;
    const uint64_t ms = moment <= now ? 0 : (moment - now) / 1000000u + 1;
    return ms > 1000000 ? 1000000 : (int)ms;
}

static void *watch(void *argument) {
    connections *table = argument;
    struct pollfd polled[] = {{.fd = table->wake, .events = POLLIN},
                              {.fd = table->hang_ups, .events = POLLIN}};
    pthread_mutex_lock(&table->lock);
    while (!table->stopping) {
        take_hang_ups(table);
        table->wakes_at = expire_overdue(table);
        pthread_mutex_unlock(&table->lock);
        poll(polled, 2, milliseconds_until(table->wakes_at));
        uint64_t signals;
        if (polled[0].revents != 0 && read(table->wake, &signals, sizeof signals) < 0)
            signals = 0; /* nothing to take back */
        pthread_mutex_lock(&table->lock);
    }
    pthread_mutex_unlock(&table->lock);
    return NULL;
}

static void free_table(connections *table) {
    lingering_free(table->lingering);
    if (table->wake >= 0)
        close(table->wake);
    if (table->hang_ups >= 0)
        close(table->hang_ups);
    pthread_mutex_destroy(&table->lock);
    free(table);
}

connections *connections_new(const connection_limits *limits) {
    connections *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    pthread_mutex_init(&table->lock, NULL);
    table->limits = *limits;
    table->open.previous = table->open.next = &table->open;
    table->wakes_at = CLOCK_NEVER;
    table->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    table->hang_ups = epoll_create1(EPOLL_CLOEXEC);
    table->lingering = lingering_new(limits->read_timeout);
    if (table->wake >= 0 && table->hang_ups >= 0 && table->lingering != NULL &&
        pthread_create(&table->thread, NULL, watch, table) == 0)
        return table;
    free_table(table);
    return NULL;
}

void connections_free(connections *table) {
    if (table == NULL)
        return;
    pthread_mutex_lock(&table->lock);
    table->stopping = true;
    pthread_mutex_unlock(&table->lock);
    wake(table);
    pthread_join(table->thread, NULL);
    free_table(table);
}

/* With the lock held: the one that has waited longest for a request of which nothing has come yet, or NULL.
 */
static connection *longest_waiting(connections *table) {
    for (;;) {
        connection *longest = NULL;
        for (connection *c = table->open.next; c != &table->open; c = c->next)
            if (c->state == WAITING && (longest == NULL || c->since < longest->since))
                longest = c;
        if (longest == NULL || longest->hung_up || !has_begun(longest))
            return longest;
        start_reading(longest);
    }
}

bool connections_make_room(connections *table) {
    const connection_limits *limits = &table->limits;
    pthread_mutex_lock(&table->lock);
    if (table->count - table->ended >= limits->max_connections) {
        connection *c = longest_waiting(table);
        if (c != NULL)
            end_connection(c, CONNECTION_UNNEEDED);
    }
    const bool room = table->count - table->ended < limits->max_connections + limits->extra_connections;
    pthread_mutex_unlock(&table->lock);
    return room;
}

void connections_drain(connections *table) {
    pthread_mutex_lock(&table->lock);
    table->phase = DRAINING;
    for (connection *c = table->open.next; c != &table->open; c = c->next)
        if (c->state == WAITING) {
            c->idle_until = c->fresh ? earlier(c->idle_until, c->since + DRAIN_GRACE * (uint64_t)1000000) : 0;
            set_deadline(c, next_look(c));
        }
    pthread_mutex_unlock(&table->lock);
}

connection_counts connections_cut(connections *table) {
    connection_counts counts = {0};
    pthread_mutex_lock(&table->lock);
    table->phase = CUTTING;
    for (connection *c = table->open.next; c != &table->open; c = c->next) {
        counts.arriving += c->state == READING || (c->state == WAITING && has_begun(c));
        counts.running += c->state == WORKING;
        counts.sending += c->state == SENDING;
        if (c->state != WORKING && c->state != ENDED)
            end_connection(c, CONNECTION_CUT);
    }
    pthread_mutex_unlock(&table->lock);
    return counts;
}

bool connections_are_over(connections *table) {
    pthread_mutex_lock(&table->lock);
    const bool lingers = table->phase != CUTTING && lingering_count(table->lingering) > 0;
    const bool over = table->count == 0 && !lingers;
    pthread_mutex_unlock(&table->lock);
    return over;
}

connection *connection_open(connections *table, int descriptor) {
    connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->table = table;
    c->descriptor = descriptor;
    c->fresh = true;
    c->since = clock_now();
    pthread_mutex_lock(&table->lock);
    c->next = table->open.next;
    c->previous = &table->open;
    c->next->previous = c;
    table->open.next = c;
    c->extra = ++table->count - table->ended > table->limits.max_connections;
    c->idle_until = clock_in_ms(c->extra ? earlier(table->limits.read_timeout, EXTRA_PATIENCE)
                                         : table->limits.read_timeout);
    set_deadline(c, next_look(c));
    /* Edge-triggered: said once. Without it a hang-up is noticed at the deadline only. */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};
    epoll_ctl(table->hang_ups, EPOLL_CTL_ADD, descriptor, &event);
    pthread_mutex_unlock(&table->lock);
    return c;
}

bool connection_is_extra(const connection *c) {
    return c->extra;
}

void connection_begin(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    if (c->state == WAITING) { /* else its time runs already */
        start_reading(c);
        if (c->hung_up)
            set_deadline(c, earlier(c->deadline, clock_in_ms(HANG_UP_GRACE)));
    }
    pthread_mutex_unlock(&c->table->lock);
}

void connection_identify(connection *c, const void *request, const char *request_id) {
    pthread_mutex_lock(&c->table->lock);
    c->request = request;
    snprintf(c->request_id, sizeof c->request_id, "%s", request_id);
    pthread_mutex_unlock(&c->table->lock);
}

void connection_refuse(connection *c, const char *answer, size_t length) {
    pthread_mutex_lock(&c->table->lock);
    c->answer = answer;
    c->answer_length = length;
    pthread_mutex_unlock(&c->table->lock);
}

bool connection_end_reading(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    const bool in_time = c->state != ENDED;
    if (in_time) {
        c->state = WORKING;
        c->deadline = CLOCK_NEVER;
    }
    pthread_mutex_unlock(&c->table->lock);
    return in_time;
}

void connection_sending(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    if (c->state != ENDED) {
        const uint64_t now = clock_now();
        const uint64_t look = pace_start(&c->pace, write_window(c), socket_taken(c->descriptor), now);
        c->state = SENDING;
        set_deadline(c, c->table->phase == CUTTING ? clock_in_ms(LAST_WORDS) : look);
    }
    pthread_mutex_unlock(&c->table->lock);
}

/* With the lock held: when a connection that has begun to wait is looked at first. */
static uint64_t first_look(connection *c) {
    uint64_t next;
    if (!c->taking)
        return next_look(c);
    return pace_look(&c->pace, socket_taken(c->descriptor), clock_now(), &next) ? earlier(next, next_look(c))
                                                                                : 0;
}

connection_end connection_idle(connection *c) {
    connections *table = c->table;
    pthread_mutex_lock(&table->lock);
    const connection_end why = c->why;
    c->request = NULL;
    c->answer = NULL;
    if (c->state != ENDED) {
        c->taking = c->state == SENDING && socket_has_unsent(c->descriptor);
        c->state = WAITING;
        c->fresh = false;
        c->since = clock_now();
        c->received = socket_received(c->descriptor);
        /* When no more requests are wanted, one that has come already is served still. */
        c->idle_until = clock_in_ms(table->phase == ACCEPTING ? table->limits.idle_timeout : HANG_UP_GRACE);
        set_deadline(c, c->hung_up ? 0 : first_look(c));
        if (table->phase == CUTTING)
            end_connection(c, CONNECTION_UNNEEDED);
    }
    pthread_mutex_unlock(&table->lock);
    return why;
}

void connection_linger(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    const bool open = c->state == WORKING;
    pthread_mutex_unlock(&c->table->lock);
    if (open)
        lingering_add(c->table->lingering, c->descriptor);
}

void connection_close(connection *c) {
    connections *table = c->table;
    pthread_mutex_lock(&table->lock);
    epoll_ctl(table->hang_ups, EPOLL_CTL_DEL, c->descriptor, NULL);
    socket_bound_rest(c->descriptor, table->limits.write_timeout + LEAST_REST);
    table->ended -= c->state == ENDED;
    c->previous->next = c->next;
    c->next->previous = c->previous;
    table->count--;
    pthread_mutex_unlock(&table->lock);
    free(c);
}

connection_state connection_look(const connection *c) {
    struct pollfd polled = {.fd = c->descriptor, .events = POLLRDHUP};
    if (poll(&polled, 1, 0) <= 0)
        return CONNECTION_OPEN;
    return (polled.revents & (POLLHUP | POLLERR)) != 0 ? CONNECTION_GONE : CONNECTION_HALF_CLOSED;
}
