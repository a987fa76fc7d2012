/* The deadlines of connections, with this test in the place of the HTTP library: it has the service's end of
 * each connection, and closes it when it has been shut down. */
#include "server/http/connections.h"

#include "server/clock.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG 3600000 /* milliseconds, for what must not play a part */

static connections *table;

static void tear_down(void) {
    connections_free(table);
}

TestSuite(connections, .fini = tear_down);

typedef struct {
    connection *c;
    int service, client;
} pair;

static size_t write_late(const void *context, const void *request, char *text, size_t size) {
    (void)context;
    return (size_t)snprintf(text, size, "late: %s",
                            request == NULL ? "nothing has come" : (const char *)request);
}

/* A table with these limits; the times that are 0 play no part. */
static void begin_without_a_text(connection_limits l) {
    l.read_timeout = l.read_timeout == 0 ? LONG : l.read_timeout;
    l.idle_timeout = l.idle_timeout == 0 ? LONG : l.idle_timeout;
    l.write_timeout = l.write_timeout == 0 ? LONG : l.write_timeout;
    l.max_connections = l.max_connections == 0 ? 100 : l.max_connections;
    l.extra_connections = 2;
    table = connections_new(&l);
}

static void begin(connection_limits l) {
    l.write_late = write_late;
    begin_without_a_text(l);
}

/* Two ends of a TCP connection; the client's takes little that it does not read. */
static pair connect_pair(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int little = 16384, listener = socket(AF_INET, SOCK_STREAM, 0);
    pair p = {.client = socket(AF_INET, SOCK_STREAM, 0)};
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    setsockopt(p.client, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    cr_assert_eq(connect(p.client, (struct sockaddr *)&address, size), 0);
    p.service = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    cr_assert_geq(p.service, 0);
    close(listener);
    p.c = connection_open(table, p.service);
    cr_assert_not_null(p.c);
    return p;
}

static void close_pair(pair *p) {
    connection_close(p->c);
    close(p->service);
    close(p->client);
}

static void say(const pair *p, const char *text) {
    cr_assert_eq(send(p->client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* The client says it, and the service reads it. */
static void tell(const pair *p, const char *text) {
    char bytes[16];
    say(p, text);
    while (recv(p->service, bytes, sizeof bytes, 0) != (ssize_t)strlen(text))
        usleep(1000);
}

/* A request comes, is read and is complete. */
static void ask(const pair *p) {
    tell(p, "request");
    connection_begin(p->c);
    cr_assert(connection_end_reading(p->c));
}

static pair connect_and_ask(void) {
    const pair p = connect_pair();
    ask(&p);
    return p;
}

/* Sends so many bytes, or as many as the system takes; returns how many. */
static size_t answer(const pair *p, size_t count) {
    static const char bytes[65536];
    connection_sending(p->c);
    size_t sent = 0;
    for (ssize_t n; sent < count; sent += (size_t)n) {
        n = send(p->service, bytes, count - sent < sizeof bytes ? count - sent : sizeof bytes, MSG_NOSIGNAL);
        if (n < 0)
            break;
    }
    return sent;
}

/* Waits until the service's end has been shut down; false if it is not after so long. */
static bool is_shut_down(const pair *p, int milliseconds) {
    struct pollfd polled = {.fd = p->service};
    return poll(&polled, 1, milliseconds) == 1 && (polled.revents & POLLHUP) != 0;
}

/* What the client gets to the end of the stream; *error is 0, or why it ended otherwise. */
static size_t read_all(const pair *p, int *error) {
    static char bytes[65536];
    size_t got = 0;
    ssize_t n;
    while ((n = recv(p->client, bytes, sizeof bytes, 0)) > 0)
        got += (size_t)n;
    *error = n == 0 ? 0 : errno;
    return got;
}

/* What the client still gets after the service's end has been closed. */
static size_t close_and_read(pair *p, int *error) {
    connection_close(p->c);
    close(p->service);
    const size_t got = read_all(p, error);
    close(p->client);
    return got;
}

/* ---- Sending ---- */

Test(connections, a_client_that_does_not_read_is_cut_off) {
    begin((connection_limits){.write_timeout = 300});
    pair p = connect_and_ask();
    answer(&p, SIZE_MAX);
    cr_assert_not(is_shut_down(&p, 200), "before its time");
    cr_assert(is_shut_down(&p, 5000));
    cr_assert_eq(connection_idle(p.c), CONNECTION_SLOW);
    int error;
    close_and_read(&p, &error);
    cr_assert_eq(error, ECONNRESET, "a part of an answer must not look whole");
}

/* The service is slow then, not the client. */
Test(connections, a_client_that_has_taken_all_is_not_slow) {
    begin((connection_limits){.write_timeout = 100});
    pair p = connect_and_ask();
    answer(&p, 1000); /* and the client does not even read them */
    cr_assert_not(is_shut_down(&p, 1000));
    cr_assert_eq(connection_idle(p.c), CONNECTION_GOES_ON);
    cr_assert_not(is_shut_down(&p, 1000));
    close_pair(&p);
}

/* The library is through with an answer when the system has its last bytes: the client is not. */
Test(connections, the_rest_of_an_answer_is_waited_for_and_not_lost) {
    begin((connection_limits){.write_timeout = 300});
    pair p = connect_and_ask();
    const size_t sent = answer(&p, 200000); /* more than the client's system takes */
    cr_assert_eq(sent, 200000);
    cr_assert_eq(connection_idle(p.c), CONNECTION_GOES_ON);
    cr_assert_not(is_shut_down(&p, 200), "before its time");
    cr_assert(is_shut_down(&p, 5000));
    int error;
    cr_assert_eq(close_and_read(&p, &error), sent);
    cr_assert_eq(error, 0);
}

Test(connections, a_client_is_not_idle_while_it_takes_its_answer) {
    begin((connection_limits){.write_timeout = 1000, .idle_timeout = 100});
    pair p = connect_and_ask();
    const size_t sent = answer(&p, 200000);
    cr_assert_eq(sent, 200000);
    cr_assert_eq(connection_idle(p.c), CONNECTION_GOES_ON);
    char bytes[10000];
    for (size_t got = 0; got < 150000; got += sizeof bytes) { /* at 200 kB/s: 0.75 s */
        cr_assert_eq(recv(p.client, bytes, sizeof bytes, MSG_WAITALL), (ssize_t)sizeof bytes);
        cr_assert_not(is_shut_down(&p, 50), "with %zu of %zu bytes", got, sent);
    }
    for (size_t got = 150000; got < sent; got += sizeof bytes)
        cr_assert_eq(recv(p.client, bytes, sizeof bytes, MSG_WAITALL), (ssize_t)sizeof bytes);
    cr_assert(is_shut_down(&p, 5000), "idle");
    close_pair(&p);
}

/* ---- Reading ---- */

/* A request whose connection was given up while it was read is not worth computing. */
Test(connections, a_request_of_a_client_that_left_is_not_complete) {
    begin((connection_limits){0});
    pair p = connect_pair();
    tell(&p, "half a reque");
    connection_begin(p.c);
    shutdown(p.client, SHUT_WR);
    cr_assert(is_shut_down(&p, 5000));
    cr_assert_not(connection_end_reading(p.c));
    cr_assert_eq(connection_idle(p.c), CONNECTION_UNNEEDED);
    close_pair(&p);
}

/* The library tells of a request when it has its first line: its time runs from its first byte, on a new
 * connection and, whatever the moment, on one that has had a request. */
Test(connections, a_late_request_is_told_so_on_any_connection) {
    enum { KEPT = 5, TIMEOUT = 400 };
    begin((connection_limits){.read_timeout = TIMEOUT});
    pair p[KEPT + 1];
    uint64_t began[KEPT + 1];
    for (int i = 0; i < KEPT; i++) {
        p[i] = connect_and_ask();
        connection_sending(p[i].c);
        cr_assert_eq(connection_idle(p[i].c), CONNECTION_GOES_ON);
    }
    usleep((TIMEOUT + 100) * 1000); /* no request: nothing is late */
    p[KEPT] = connect_pair();
    for (int i = 0; i <= KEPT; i++) {
        tell(&p[i], "GET /hea");
        began[i] = clock_now();
        usleep(i < KEPT - 1 ? TIMEOUT / KEPT * 1000 : 0);
    }
    for (int i = 0; i <= KEPT; i++) {
        char text[2048] = "";
        cr_assert_gt(recv(p[i].client, text, sizeof text - 1, 0), 0);
        const uint64_t took = (clock_now() - began[i]) / 1000000;
        cr_assert_str_eq(text, "late: nothing has come");
        cr_assert(i == KEPT || (took >= TIMEOUT - 50 && took < TIMEOUT + 250), "%d: %zu ms", i,
                  (size_t)took); /* the last was late long before it is read here */
        cr_assert_not(connection_end_reading(p[i].c));
        cr_assert_eq(connection_idle(p[i].c), CONNECTION_LATE);
        close_pair(&p[i]);
    }
}

/* What is known of the request by then may say more. */
Test(connections, a_late_body_is_told_what_its_head_asked_for) {
    begin((connection_limits){.read_timeout = 100});
    pair p = connect_pair();
    char bytes[64] = "";
    tell(&p, "head");
    connection_begin(p.c);
    connection_identify(p.c, "a head", "id");
    cr_assert_gt(recv(p.client, bytes, sizeof bytes - 1, 0), 0);
    cr_assert_str_eq(bytes, "late: a head");
    cr_assert_eq(connection_idle(p.c), CONNECTION_LATE);
    close_pair(&p);
}

/* As on a connection whose bytes are encrypted. */
Test(connections, nothing_is_written_without_a_text) {
    begin_without_a_text((connection_limits){.read_timeout = 200});
    pair p = connect_pair();
    tell(&p, "GET /hea");
    int error;
    cr_assert_eq(read_all(&p, &error), 0);
    cr_assert_eq(error, 0);
    close_pair(&p);
}

/* ---- Room ---- */

Test(connections, the_one_that_has_waited_longest_makes_room) {
    enum { MOST = 4 };
    begin((connection_limits){.max_connections = MOST});
    pair p[MOST + 4];
    for (int i = 0; i < MOST; i++) {
        cr_assert(connections_make_room(table));
        p[i] = connect_pair();
        cr_assert_not(connection_is_extra(p[i].c));
        usleep(2000);
    }
    ask(&p[0]); /* at work */
    ask(&p[2]);
    connection_sending(p[2].c);
    connection_idle(p[2].c); /* waits since now */
    say(&p[1], "GE");        /* has begun */
    /* First 3, which has said nothing, then 2. */
    cr_assert(connections_make_room(table));
    cr_assert(is_shut_down(&p[3], 5000) && !is_shut_down(&p[2], 0));
    p[4] = connect_and_ask();
    cr_assert_not(connection_is_extra(p[4].c), "though the library has not closed the other yet");
    cr_assert(connections_make_room(table));
    cr_assert(is_shut_down(&p[2], 5000));
    p[5] = connect_and_ask();
    cr_assert_not(connection_is_extra(p[5].c));
    /* Nobody waits any more: two are extra, the next is one too many. */
    for (int i = 6; i < 8; i++) {
        cr_assert(connections_make_room(table));
        p[i] = connect_pair();
        cr_assert(connection_is_extra(p[i].c));
        ask(&p[i]);
    }
    cr_assert_not(connections_make_room(table));
    cr_assert_not(is_shut_down(&p[0], 0) || is_shut_down(&p[1], 0));
    for (int i = 0; i < MOST + 4; i++)
        close_pair(&p[i]);
}

Test(connections, an_extra_one_has_little_time) {
    begin((connection_limits){.max_connections = 1});
    pair busy = connect_and_ask();
    for (int begun = 0; begun < 2; begun++) {
        pair extra = connect_pair();
        cr_assert(connection_is_extra(extra.c));
        if (begun)
            connection_begin(extra.c);
        cr_assert(is_shut_down(&extra, 10000));
        close_pair(&extra);
    }
    close_pair(&busy);
}

/* ---- The end ---- */

Test(connections, draining_closes_who_waits_and_nobody_else) {
    begin((connection_limits){0});
    pair idle = connect_pair(), fresh = connect_pair(), reads = connect_pair(), works = connect_pair();
    ask(&idle);
    connection_sending(idle.c);
    connection_idle(idle.c);
    say(&reads, "GE");
    ask(&works);
    connections_drain(table);
    cr_assert(is_shut_down(&idle, 5000));
    cr_assert(is_shut_down(&fresh, 5000), "its request did not come");
    cr_assert_not(is_shut_down(&reads, 0) || is_shut_down(&works, 0));
    cr_assert_not(connections_are_over(table));
    answer(&works, 10);
    connection_idle(works.c);
    cr_assert(is_shut_down(&works, 5000), "after its answer");
    connection_begin(reads.c); /* it is served as ever */
    cr_assert(connection_end_reading(reads.c));
    pair *all[] = {&idle, &fresh, &reads, &works};
    for (int i = 0; i < 4; i++)
        close_pair(all[i]);
    cr_assert(connections_are_over(table));
}

Test(connections, what_is_cut_off_is_counted) {
    begin((connection_limits){0});
    pair idle = connect_pair(), reads = connect_pair(), works = connect_pair(), sends = connect_pair();
    say(&reads, "GE");
    ask(&works);
    ask(&sends);
    answer(&sends, SIZE_MAX);
    while (connection_ask_peer(reads.c) != PEER_OPEN ||
           poll(&(struct pollfd){reads.service, POLLIN, 0}, 1, 0) == 0)
        usleep(1000);
    const connection_counts before = connections_count(table);
    connections_drain(table);
    const connection_counts counts = connections_cut(table);
    cr_assert(before.idle + before.arriving == 2 && before.idle >= 1 && before.running == 1 &&
              before.sending == 1);
    cr_assert_eq(counts.arriving, 1);
    cr_assert_eq(counts.running, 1);
    cr_assert_eq(counts.sending, 1);
    cr_assert(is_shut_down(&idle, 0) && is_shut_down(&reads, 0) && is_shut_down(&sends, 0));
    cr_assert_eq(connection_idle(sends.c), CONNECTION_CUT);
    cr_assert_not(is_shut_down(&works, 0), "it can still be told");
    answer(&works, 10);
    cr_assert_eq(connection_idle(works.c), CONNECTION_GOES_ON);
    cr_assert(is_shut_down(&works, 5000));
    int error;
    cr_assert_eq(read_all(&works, &error), 10);
    pair *all[] = {&idle, &reads, &works, &sends};
    for (int i = 0; i < 4; i++)
        close_pair(all[i]);
}
