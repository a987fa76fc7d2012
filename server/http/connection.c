#include "server/http/connection.h"

#include "server/clock.h"
#include "server/http/sockets.h"
#include "server/log.h"

#include <sys/socket.h>

/* Milliseconds ... */
#define HANG_UP_GRACE 200  /* that the library gets to read what a client sent before it hung up */
#define DRAIN_GRACE   1000 /* that a connection has for its first request when no more are accepted */
#define CUT_GRACE     1000 /* in which a request that was cut off may be told so */
#define EXTRA_TIMEOUT 2000 /* that an extra connection has for its request */

/* A connection that waits is checked so often within the read timeout: the library tells of a request when
 * it has its first line, but its time begins with its first byte. */
#define CHECKS_WHILE_WAITING 8

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t nanoseconds(size_t milliseconds) {
    return milliseconds * (uint64_t)1000000;
}

static uint64_t read_timeout(const connection *c) {
    const size_t all = c->table->limits.read_timeout;
    return c->extra ? earlier(all, EXTRA_TIMEOUT) : all;
}

/* ---- When to check ---- */

/* When a connection that waits is checked again. All of them are checked at the same moments, so that the
 * watcher wakes for all at once. */
static uint64_t next_check(const connection *c) {
    const uint64_t step = nanoseconds(c->table->limits.read_timeout) / CHECKS_WHILE_WAITING + 1000000u;
    return earlier(c->idle_until, (clock_now() / step + 1) * step);
}

/* Does the client take what there is for it fast enough? Then *next is when to check again. */
static bool keeps_pace(connection *c, uint64_t now, uint64_t *next) {
    return pace_check(&c->pace, socket_acknowledged(c->descriptor), now, next);
}

static uint64_t start_pace(connection *c, uint64_t now) {
    return pace_start(&c->pace, nanoseconds(c->table->limits.write_timeout),
                      socket_acknowledged(c->descriptor), now);
}

bool connection_has_begun(const connection *c) {
    return socket_received(c->descriptor) > c->received;
}

/* ---- From one state to the next ---- */

void connection_start(connection *c, connection_table *table, int descriptor, bool extra) {
    *c = (connection){.table = table, .descriptor = descriptor, .fresh = true, .extra = extra};
    c->since = clock_now();
    c->idle_until = clock_in_ms(read_timeout(c));
    c->deadline = next_check(c);
}

void connection_start_reading(connection *c) {
    const uint64_t allowed = nanoseconds(read_timeout(c));
    c->state = READING;
    c->request_id[0] = '\0';
    c->deadline = (c->fresh ? c->since : clock_now()) + allowed;
    if (c->hung_up)
        c->deadline = earlier(c->deadline, clock_in_ms(HANG_UP_GRACE));
}

void connection_start_sending(connection *c) {
    const uint64_t check = start_pace(c, clock_now());
    c->state = SENDING;
    c->deadline = c->table->phase == CUTTING ? clock_in_ms(CUT_GRACE) : check;
}

/* When a connection that has begun to wait is checked first. */
static uint64_t first_check(connection *c) {
    uint64_t next;
    if (c->hung_up)
        return 0;
    if (!c->is_taking)
        return next_check(c);
    return keeps_pace(c, clock_now(), &next) ? earlier(next, next_check(c)) : 0;
}

void connection_start_waiting(connection *c) {
    const connection_table *table = c->table;
    c->is_taking = c->state == SENDING && socket_has_unsent(c->descriptor);
    c->state = WAITING;
    c->fresh = false;
    c->since = clock_now();
    c->received = socket_received(c->descriptor);
    /* When no more requests are wanted, one that has come already is served still. */
    c->idle_until = clock_in_ms(table->phase == ACCEPTING ? table->limits.idle_timeout : HANG_UP_GRACE);
    c->deadline = first_check(c);
    if (table->phase == CUTTING)
        connection_shut_down(c, CONNECTION_UNNEEDED);
}

void connection_drain(connection *c) {
    if (c->state != WAITING)
        return;
    c->idle_until = c->fresh ? earlier(c->idle_until, c->since + nanoseconds(DRAIN_GRACE)) : 0;
    c->deadline = next_check(c);
}

void connection_note_hang_up(connection *c) {
    c->hung_up = true;
    if (c->state == READING || (c->state == WAITING && connection_has_begun(c)))
        c->deadline = earlier(c->deadline, clock_in_ms(HANG_UP_GRACE));
    else if (c->state == WAITING)
        c->deadline = 0;
}

/* An answer of which a part has not even been handed to the system is lost: then the client's side is reset,
 * so that the system need not keep what it holds of it, and no client takes the part for the whole. */
void connection_shut_down(connection *c, connection_end why) {
    socket_shut_down(c->descriptor, c->state == SENDING);
    c->state = ENDED;
    c->why = why;
    c->deadline = CLOCK_NEVER;
    c->table->ended++;
}

/* ---- Its deadline has passed ---- */

/* The rest of the last answer. A client is not idle while it takes it. */
static void watch_rest(connection *c, uint64_t now) {
    uint64_t next;
    c->idle_until = clock_in_ms(c->table->limits.idle_timeout);
    if (keeps_pace(c, now, &next)) {
        c->deadline = earlier(next, next_check(c));
        return;
    }
    log_line(LOG_INFO, "id=%s: the client takes its answer too slowly (--write-timeout)", c->request_id);
    connection_shut_down(c, CONNECTION_SLOW);
}

/* A client that sends no more: what the library has not read yet is waited for. */
static void expire_hung_up(connection *c) {
    if (socket_has_unread(c->descriptor))
        c->deadline = clock_in_ms(HANG_UP_GRACE);
    else
        connection_shut_down(c, CONNECTION_UNNEEDED);
}

static void expire_waiting(connection *c, uint64_t now) {
    c->is_taking = c->is_taking && c->table->phase == ACCEPTING && socket_has_unsent(c->descriptor);
    if (connection_has_begun(c))
        connection_start_reading(c);
    else if (c->is_taking)
        watch_rest(c, now);
    else if (now < c->idle_until)
        c->deadline = next_check(c);
    else
        connection_shut_down(c, CONNECTION_UNNEEDED);
}

/* The answer to a request that is late; an extra one had less time than that says. */
static void send_late(const connection *c) {
    const connection_limits *limits = &c->table->limits;
    char text[8192];
    if (limits->write_late != NULL && !c->extra)
        send(c->descriptor, text, limits->write_late(limits->context, c->request, text, sizeof text),
             MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void expire_sending(connection *c, uint64_t now) {
    if (c->table->phase == CUTTING)
        connection_shut_down(c, CONNECTION_CUT);
    else if (!socket_has_unsent(c->descriptor)) /* the service is slow, not the client */
        c->deadline = start_pace(c, now);
    else if (!keeps_pace(c, now, &c->deadline))
        connection_shut_down(c, CONNECTION_SLOW);
}

void connection_expire(connection *c, uint64_t now) {
    switch (c->state) {
    case WAITING:
        if (c->hung_up)
            expire_hung_up(c);
        else
            expire_waiting(c, now);
        break;
    case READING:
        if (c->hung_up) {
            expire_hung_up(c);
        } else {
            send_late(c);
            connection_shut_down(c, CONNECTION_LATE);
        }
        break;
    case SENDING:
        expire_sending(c, now);
        break;
    case WORKING:
    case ENDED:
        break;
    }
}
