#include "server/connections.h"

#include "server/clock.h"
#include "server/lingering.h"
#include "server/request_id.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Milliseconds that the library gets to take in what a client sent before it hung up. */
#define HANG_UP_GRACE 200

struct connection {
    connections *table;
    int descriptor;
    uint64_t deadline;   /* when the watcher looks; CLOCK_NEVER while the service is at work on the request */
    uint64_t idle_until; /* while IDLE: when it is closed */
    uint64_t received;   /* bytes that had come when the last request was over */
    enum { READING, WORKING, IDLE, LATE, GONE } state; /* the last two: it is being shut down */
    bool extra;
    bool hung_up; /* the client sends no more */
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
    connection open; /* ring */
    size_t count;
    lingering *lingering;
    uint64_t wakes_at;
    bool stopping;
};

static void wake(connections *table) {
    const uint64_t one = 1;
    if (write(table->wake, &one, sizeof one) < 0)
        return; /* it is signalled already */
}

/* Bytes that the client has sent over the whole life of the connection. */
static uint64_t bytes_received(int descriptor) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info.tcpi_bytes_received : 0;
}

static bool unread_bytes(int descriptor) {
    int count = 0;
    return ioctl(descriptor, FIONREAD, &count) == 0 && count > 0;
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

/* With the lock held: the answer to a request that is late. */
static void send_late(const connection *c) {
    char text[1024], id[REQUEST_ID_MAX + 1];
    if (c->answer != NULL) {
        send(c->descriptor, c->answer, c->answer_length, MSG_DONTWAIT | MSG_NOSIGNAL);
        return;
    }
    request_id_choose(c->request_id, id);
    const int length = snprintf(text, sizeof text,
                                "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n"
                                "Content-Length: %zu\r\nX-Request-Id: %s\r\nConnection: close\r\n\r\n%s",
                                strlen(c->table->limits.late), id, c->table->limits.late);
    if (length > 0 && (size_t)length < sizeof text)
        send(c->descriptor, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* With the lock held: the library will notice, and close. */
static void end_connection(connection *c, bool late) {
    shutdown(c->descriptor, SHUT_RDWR);
    c->state = late ? LATE : GONE;
    c->deadline = CLOCK_NEVER;
}

/* With the lock held: the deadline of a connection has passed. The library tells us of a request when it has
 * its first line; one that began without getting that far is found here, by its bytes, and given the read
 * timeout. */
static void expire(connection *c, uint64_t now) {
    const connection_limits *limits = &c->table->limits;
    const bool began = bytes_received(c->descriptor) > c->received;
    if (c->hung_up && unread_bytes(c->descriptor)) { /* the library is not done with them */
        c->deadline = clock_in_ms(HANG_UP_GRACE);
    } else if (c->hung_up) {
        end_connection(c, false);
    } else if (c->state == IDLE && began) {
        c->state = READING;
        c->deadline = clock_in_ms(limits->read_timeout);
    } else if (c->state == IDLE && now < c->idle_until) {
        c->deadline = earlier(c->idle_until, clock_in_ms(limits->read_timeout));
    } else {
        if (began)
            send_late(c);
        end_connection(c, began);
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
        if (c->state == READING)
            c->deadline = earlier(c->deadline, clock_in_ms(HANG_UP_GRACE));
        else if (c->state == IDLE)
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

connection *connection_open(connections *table, int descriptor) {
    connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->table = table;
    c->descriptor = descriptor;
    pthread_mutex_lock(&table->lock);
    c->next = table->open.next;
    c->previous = &table->open;
    c->next->previous = c;
    table->open.next = c;
    c->extra = ++table->count > table->limits.max_connections;
    c->state = READING;
    set_deadline(c, clock_in_ms(table->limits.read_timeout));
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
    if (c->state == IDLE) { /* else its time runs already */
        c->state = READING;
        set_deadline(c, clock_in_ms(c->table->limits.read_timeout));
    }
    pthread_mutex_unlock(&c->table->lock);
}

void connection_name(connection *c, const char *request_id) {
    pthread_mutex_lock(&c->table->lock);
    snprintf(c->request_id, sizeof c->request_id, "%s", request_id);
    pthread_mutex_unlock(&c->table->lock);
}

void connection_answer(connection *c, const char *answer, size_t length) {
    pthread_mutex_lock(&c->table->lock);
    c->answer = answer;
    c->answer_length = length;
    pthread_mutex_unlock(&c->table->lock);
}

bool connection_complete(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    const bool in_time = c->state != LATE && c->state != GONE;
    if (in_time) {
        c->state = WORKING;
        c->deadline = CLOCK_NEVER;
    }
    pthread_mutex_unlock(&c->table->lock);
    return in_time;
}

bool connection_idle(connection *c) {
    const connection_limits *limits = &c->table->limits;
    pthread_mutex_lock(&c->table->lock);
    const bool in_time = c->state != LATE;
    c->answer = NULL;
    if (in_time && c->state != GONE) {
        c->state = IDLE;
        c->request_id[0] = '\0';
        c->received = bytes_received(c->descriptor);
        c->idle_until = clock_in_ms(limits->idle_timeout);
        set_deadline(c, c->hung_up ? 0 : earlier(c->idle_until, clock_in_ms(limits->read_timeout)));
    }
    pthread_mutex_unlock(&c->table->lock);
    return in_time;
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
    c->previous->next = c->next;
    c->next->previous = c->previous;
    table->count--;
    pthread_mutex_unlock(&table->lock);
    free(c);
}

size_t connections_count(connections *table) {
    pthread_mutex_lock(&table->lock);
    const size_t count = table->count;
    pthread_mutex_unlock(&table->lock);
    return count;
}

connection_state connection_look(const connection *c) {
    struct pollfd polled = {.fd = c->descriptor, .events = POLLRDHUP};
    if (poll(&polled, 1, 0) <= 0)
        return CONNECTION_OPEN;
    return (polled.revents & (POLLHUP | POLLERR)) != 0 ? CONNECTION_GONE : CONNECTION_HALF_CLOSED;
}
