#include "server/connections.h"

#include "server/clock.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGERING_MAX 64 /* sockets that are read and thrown away at the same time */

struct connection {
    connections *table;
    int descriptor;
    uint64_t deadline; /* CLOCK_NEVER while the service is at work on the request */
    uint64_t received; /* bytes that had come when this deadline was set */
    enum { READING, WORKING, IDLE, LATE } state;
    connection *previous, *next;
};

struct connections {
    pthread_mutex_t lock;
    pthread_t thread;
    int wake; /* an eventfd */
    uint64_t read_timeout, idle_timeout;
    const char *late;
    size_t late_length;
    connection open; /* ring */
    size_t count;
    struct {
        int descriptor;
        uint64_t deadline;
    } lingering[LINGERING_MAX];
    size_t lingering_count;
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

/* With the lock held. */
static void set_deadline(connection *c, uint64_t deadline) {
    c->deadline = deadline;
    c->received = bytes_received(c->descriptor);
    if (deadline < c->table->wakes_at)
        wake(c->table);
}

/* With the lock held: tells a client that began a request, and ends the connection of any. */
static void expire(connections *table, connection *c) {
    const bool began = c->state == READING && bytes_received(c->descriptor) > 0;
    const bool began_again = c->state == IDLE && bytes_received(c->descriptor) > c->received;
    if (began || began_again)
        send(c->descriptor, table->late, table->late_length, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(c->descriptor, SHUT_RDWR);
    c->state = LATE;
    c->deadline = CLOCK_NEVER;
}

/* With the lock held: the earliest deadline of all, after what is overdue has been dealt with. */
static uint64_t expire_overdue(connections *table) {
    const uint64_t now = clock_now();
    uint64_t earliest = CLOCK_NEVER;
    for (connection *c = table->open.next; c != &table->open; c = c->next) {
        if (c->deadline <= now)
            expire(table, c);
        if (c->deadline < earliest)
            earliest = c->deadline;
    }
    for (size_t i = 0; i < table->lingering_count; i++)
        if (table->lingering[i].deadline < earliest)
            earliest = table->lingering[i].deadline;
    return earliest;
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

/* With the lock held: takes the polled sockets' bytes, and forgets those that are done. */
static void serve_lingering(connections *table, const struct pollfd *polled, size_t count) {
    const uint64_t now = clock_now();
    for (size_t i = count; i-- > 0;) {
        const bool over =
            (polled[i].revents & (POLLERR | POLLHUP)) != 0 || table->lingering[i].deadline <= now;
        if (!over && ((polled[i].revents & POLLIN) == 0 || swallow(table->lingering[i].descriptor)))
            continue;
        close(table->lingering[i].descriptor);
        table->lingering[i] = table->lingering[--table->lingering_count];
    }
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
    struct pollfd polled[LINGERING_MAX + 1];
    pthread_mutex_lock(&table->lock);
    while (!table->stopping) {
        table->wakes_at = expire_overdue(table);
        const size_t count = table->lingering_count;
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = table->lingering[i].descriptor, .events = POLLIN};
        polled[count] = (struct pollfd){.fd = table->wake, .events = POLLIN};
        pthread_mutex_unlock(&table->lock);
        poll(polled, count + 1, milliseconds_until(table->wakes_at));
        uint64_t signals;
        if (polled[count].revents != 0 && read(table->wake, &signals, sizeof signals) < 0)
            signals = 0; /* nothing to take back */
        pthread_mutex_lock(&table->lock);
        serve_lingering(table, polled, count);
    }
    pthread_mutex_unlock(&table->lock);
    return NULL;
}

connections *connections_new(size_t read_timeout, size_t idle_timeout, const char *late, size_t late_length) {
    connections *table = calloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    pthread_mutex_init(&table->lock, NULL);
    table->read_timeout = read_timeout;
    table->idle_timeout = idle_timeout;
    table->late = late;
    table->late_length = late_length;
    table->open.previous = table->open.next = &table->open;
    table->wakes_at = CLOCK_NEVER;
    table->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (table->wake >= 0 && pthread_create(&table->thread, NULL, watch, table) == 0)
        return table;
    if (table->wake >= 0)
        close(table->wake);
    pthread_mutex_destroy(&table->lock);
    free(table);
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
    for (size_t i = 0; i < table->lingering_count; i++)
        close(table->lingering[i].descriptor);
    close(table->wake);
    pthread_mutex_destroy(&table->lock);
    free(table);
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
    table->count++;
    c->state = READING;
    set_deadline(c, clock_in_ms(table->read_timeout));
    pthread_mutex_unlock(&table->lock);
    return c;
}

void connection_begin(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    if (c->state == IDLE) { /* on a fresh connection the time runs from its start */
        c->state = READING;
        set_deadline(c, clock_in_ms(c->table->read_timeout));
    }
    pthread_mutex_unlock(&c->table->lock);
}

bool connection_complete(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    const bool in_time = c->state != LATE;
    if (in_time) {
        c->state = WORKING;
        c->deadline = CLOCK_NEVER;
    }
    pthread_mutex_unlock(&c->table->lock);
    return in_time;
}

void connection_idle(connection *c) {
    pthread_mutex_lock(&c->table->lock);
    if (c->state != LATE) {
        c->state = IDLE;
        set_deadline(c, clock_in_ms(c->table->idle_timeout));
    }
    pthread_mutex_unlock(&c->table->lock);
}

void connection_linger(connection *c) {
    connections *table = c->table;
    pthread_mutex_lock(&table->lock);
    if (c->state != LATE && table->lingering_count < LINGERING_MAX) {
        const int copy = fcntl(c->descriptor, F_DUPFD_CLOEXEC, 0);
        if (copy >= 0) {
            table->lingering[table->lingering_count].descriptor = copy;
            table->lingering[table->lingering_count].deadline = clock_in_ms(table->read_timeout);
            table->lingering_count++;
            wake(table);
        }
    }
    pthread_mutex_unlock(&table->lock);
}

void connection_close(connection *c) {
    connections *table = c->table;
    pthread_mutex_lock(&table->lock);
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
