#include "server/http/connections.h"

#include "server/clock.h"
#include "server/http/lingering.h"
#include "server/http/sockets.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Milliseconds that the rest of an answer may stand still, beyond the write timeout. */
#define REST_GRACE 8000

struct connections {
    connection_table shared; /* first, so that a connection's table is this */
    pthread_mutex_t lock;
    pthread_t watcher;
    int wake;       /* an eventfd */
    int hang_ups;   /* an epoll instance: says which clients send no more */
    attn_ring open; /* of connections */
    size_t count;
    lingering *lingering;
    uint64_t wakes_at;
    bool stopping;
};

static connections *table_of(const connection *c) {
    return (connections *)(void *)c->table;
}

static connection *connection_at(attn_ring *link) {
    return ATTN_RING_ITEM(link, connection, link);
}

static void lock(const connection *c) {
    pthread_mutex_lock(&table_of(c)->lock);
}

static void wake(connections *table) {
    const uint64_t one = 1;
    if (write(table->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* The watcher learns of a deadline that is earlier than it knows. */
static void unlock(const connection *c) {
    connections *table = table_of(c);
    if (c->deadline < table->wakes_at)
        wake(table);
    pthread_mutex_unlock(&table->lock);
}

/* ---- The watcher ---- */

/* With the lock held: finds the clients that have hung up. libmicrohttpd before 1.0 does not notice an end
 * that comes together with data, and would keep a request that was cut off until its read timeout. */
static void note_hang_ups(connections *table) {
    struct epoll_event events[64];
    /* Under the lock, so that none of these connections can be freed meanwhile. */
    const int count = epoll_wait(table->hang_ups, events, 64, 0);
    for (int i = 0; i < count; i++)
        connection_note_hang_up(events[i].data.ptr);
}

/* With the lock held: the earliest deadline of all, after what is overdue has been dealt with. */
static uint64_t expire_overdue(connections *table) {
    const uint64_t now = clock_now();
    uint64_t earliest = CLOCK_NEVER;
    for (attn_ring *link = table->open.next; link != &table->open; link = link->next) {
        connection *c = connection_at(link);
        if (c->deadline <= now)
            connection_expire(c, now);
        if (c->deadline < earliest)
            earliest = c->deadline;
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
        note_hang_ups(table);
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

/* ---- The table ---- */

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
    table->shared.limits = *limits;
    attn_ring_init(&table->open);
    table->wakes_at = CLOCK_NEVER;
    table->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    table->hang_ups = epoll_create1(EPOLL_CLOEXEC);
    table->lingering = lingering_new(limits->read_timeout);
    if (table->wake >= 0 && table->hang_ups >= 0 && table->lingering != NULL &&
        pthread_create(&table->watcher, NULL, watch, table) == 0)
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
    pthread_join(table->watcher, NULL);
    free_table(table);
}

/* With the lock held: those that are open, or were shut down but a moment ago. */
static size_t count_open(const connections *table) {
    return table->count - table->shared.ended;
}

/* With the lock held: the one that has waited longest for a request of which nothing has come yet, or NULL.
 */
static connection *longest_waiting(connections *table) {
    for (;;) {
        connection *longest = NULL;
        for (attn_ring *link = table->open.next; link != &table->open; link = link->next) {
            connection *c = connection_at(link);
            if (c->state == WAITING && (longest == NULL || c->since < longest->since))
                longest = c;
        }
        if (longest == NULL || longest->hung_up || !connection_has_begun(longest))
            return longest;
        connection_start_reading(longest);
    }
}

bool connections_make_room(connections *table) {
    const connection_limits *limits = &table->shared.limits;
    pthread_mutex_lock(&table->lock);
    if (count_open(table) >= limits->max_connections) {
        connection *c = longest_waiting(table);
        if (c != NULL)
            connection_shut_down(c, CONNECTION_UNNEEDED);
        wake(table); /* it may be that some are read from now on */
    }
    const bool room = count_open(table) < limits->max_connections + limits->extra_connections;
    pthread_mutex_unlock(&table->lock);
    return room;
}

void connections_drain(connections *table) {
    pthread_mutex_lock(&table->lock);
    table->shared.phase = DRAINING;
    for (attn_ring *link = table->open.next; link != &table->open; link = link->next)
        connection_drain(connection_at(link));
    wake(table);
    pthread_mutex_unlock(&table->lock);
}

/* With the lock held. */
static connection_counts count_states(const connections *table) {
    connection_counts counts = {0};
    for (attn_ring *link = table->open.next; link != &table->open; link = link->next) {
        const connection *c = connection_at(link);
        counts.idle += c->state == WAITING;
        counts.arriving += c->state == READING;
        counts.running += c->state == WORKING;
        counts.sending += c->state == SENDING;
    }
    return counts;
}

connection_counts connections_count(connections *table) {
    pthread_mutex_lock(&table->lock);
    const connection_counts counts = count_states(table);
    pthread_mutex_unlock(&table->lock);
    return counts;
}

connection_counts connections_cut(connections *table) {
    pthread_mutex_lock(&table->lock);
    connection_counts counts = count_states(table);
    table->shared.phase = CUTTING;
    for (attn_ring *link = table->open.next; link != &table->open; link = link->next) {
        connection *c = connection_at(link);
        const bool begins = c->state == WAITING && connection_has_begun(c);
        counts.arriving += begins;
        counts.idle -= begins;
        if (c->state != WORKING && c->state != ENDED)
            connection_shut_down(c, CONNECTION_CUT);
    }
    pthread_mutex_unlock(&table->lock);
    return counts;
}

bool connections_are_over(connections *table) {
    pthread_mutex_lock(&table->lock);
    const bool lingers = table->shared.phase != CUTTING && lingering_count(table->lingering) > 0;
    const bool over = table->count == 0 && !lingers;
    pthread_mutex_unlock(&table->lock);
    return over;
}

/* ---- One connection ---- */

connection *connection_open(connections *table, int descriptor) {
    connection *c = malloc(sizeof *c);
    if (c == NULL)
        return NULL;
    pthread_mutex_lock(&table->lock);
    table->count++;
    connection_start(c, &table->shared, descriptor, count_open(table) > table->shared.limits.max_connections);
    attn_ring_insert(&table->open, &c->link);
    /* Edge-triggered: said once. Without it a hang-up is noticed at the deadline only. */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};
    epoll_ctl(table->hang_ups, EPOLL_CTL_ADD, descriptor, &event);
    unlock(c);
    return c;
}

bool connection_is_extra(const connection *c) {
    return c->extra;
}

void connection_begin(connection *c) {
    lock(c);
    if (c->state == WAITING) /* else its time runs already */
        connection_start_reading(c);
    unlock(c);
}

void connection_identify(connection *c, const void *request, const char *request_id) {
    lock(c);
    c->request = request;
    snprintf(c->request_id, sizeof c->request_id, "%s", request_id);
    unlock(c);
}

bool connection_end_reading(connection *c) {
    lock(c);
    const bool in_time = c->state != ENDED;
    if (in_time) {
        c->state = WORKING;
        c->deadline = CLOCK_NEVER;
    }
    unlock(c);
    return in_time;
}

void connection_sending(connection *c) {
    lock(c);
    if (c->state != ENDED)
        connection_start_sending(c);
    unlock(c);
}

connection_end connection_idle(connection *c) {
    lock(c);
    const connection_end why = c->why;
    c->request = NULL;
    if (c->state != ENDED)
        connection_start_waiting(c);
    unlock(c);
    return why;
}

void connection_linger(connection *c) {
    lock(c);
    const bool open = c->state == WORKING;
    unlock(c);
    if (open)
        lingering_add(table_of(c)->lingering, c->descriptor);
}

void connection_close(connection *c) {
    connections *table = table_of(c);
    lock(c);
    epoll_ctl(table->hang_ups, EPOLL_CTL_DEL, c->descriptor, NULL);
    socket_bound_rest(c->descriptor, table->shared.limits.write_timeout + REST_GRACE);
    table->shared.ended -= c->state == ENDED;
    attn_ring_remove(&c->link);
    table->count--;
    pthread_mutex_unlock(&table->lock);
    free(c);
}

connection_peer connection_ask_peer(const connection *c) {
    struct pollfd polled = {.fd = c->descriptor, .events = POLLRDHUP};
    if (poll(&polled, 1, 0) <= 0)
        return PEER_OPEN;
    return (polled.revents & (POLLHUP | POLLERR)) != 0 ? PEER_GONE : PEER_HALF_CLOSED;
}
