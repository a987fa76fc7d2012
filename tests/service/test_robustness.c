/* What must not knock the service over: clients that vanish, dribble, crowd in, or send too much. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define HEALTH "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

static server s;

static void stop(void) {
    cr_assert_eq(server_stop(&s), 0);
}

TestSuite(robustness, .fini = stop);

/* What the service says to this on a connection of its own. */
static char *say(const char *text) {
    const int fd = raw_connect(&s);
    raw_text(fd, text);
    char *got = raw_read(fd, NULL);
    close(fd);
    return got;
}

Test(robustness, a_request_cut_off_half_way_leaves_nothing) {
    s = server_start("--model", SMALL, NULL);
    cr_assert(answers(&s));
    const size_t before = server_descriptors(&s);
    const char *whole =
        "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n{\"query\":[[1,2,3";
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        const int fd = raw_connect(&s);
        raw_send(fd, whole, cut);
        close(fd);
    }
    cr_assert(server_settles(&s, before));
    cr_assert(answers(&s));
}

Test(robustness, a_client_that_vanishes_during_compute_leaves_nothing) {
    s = server_start("--model", SMALL, "--threads", "2", NULL);
    cr_assert(answers(&s));
    const size_t before = server_descriptors(&s);
    const char *body = make_request(1, 3000, 8, "", 1);
    for (int i = 0; i < 20; i++) {
        const int fd = raw_connect(&s);
        post_part(fd, body, strlen(body));
        usleep(1000u * (unsigned)i);
        if (i % 2 == 0) { /* a reset instead of a close */
            const struct linger abrupt = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        }
        close(fd);
    }
    cr_assert(server_settles(&s, before));
    cr_assert(answers(&s));
}

Test(robustness, a_full_queue_refuses_and_recovers) {
    s = server_start("--model", SMALL, "--threads", "1", "--max-queue", "2", NULL);
    enum { CLIENTS = 12 };
    client clients[CLIENTS];
    char *body = make_request(1, 3000, 8, "", 1);
    start_clients(clients, CLIENTS, &s, body, NULL);
    const size_t served = join_clients(clients, CLIENTS, 200, "\"output\"");
    size_t refused = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].a.status == 429) {
            refused++;
            cr_assert_not_null(strstr(clients[i].a.body, "queue_full"));
            cr_assert_not_null(strcasestr(clients[i].a.headers, "Retry-After: "));
        }
    cr_assert_eq(served + refused, CLIENTS);
    cr_assert(served >= 3 && refused >= 1, "%zu served, %zu refused", served, refused);
    cr_assert(answers(&s));
}

/* Nobody reads the log: the service goes on. */
Test(robustness, a_log_that_is_not_read_stops_nothing) {
    s = server_start("--model", SMALL, NULL);
    const int fd = raw_connect(&s);
    for (int i = 0; i < 3000; i++) { /* some 400 kB of log; a pipe holds 64 */
        raw_text(fd, HEALTH);
        char *got = raw_read(fd, "ok\"}");
        cr_assert_not_null(strstr(got, "200 OK"), "%d", i);
    }
    close(fd);
}

Test(robustness, the_deadline_holds_while_every_worker_is_busy) {
    s = server_start("--model", SMALL, "--threads", "1", NULL);
    client slow[2], hurried;
    char *body = make_request(1, 8000, 8, "", 1);
    start_clients(slow, 2, &s, body, NULL);
    usleep(30000);
    start_clients(&hurried, 1, &s, body, "X-Request-Timeout: 5");
    cr_assert_eq(join_clients(&hurried, 1, 504, "deadline_exceeded"), 1);
    cr_assert_eq(join_clients(slow, 2, 200, "\"output\""), 2);
}

Test(robustness, a_request_past_its_deadline_is_computed_no_further) {
    s = server_start("--model", SMALL, NULL);
    char *body = make_request(1, 16000, 8, "", 1);
    answer a = http_request(&s, "/attend", body, "X-Request-Timeout: 50");
    cr_assert_eq(a.status, 504, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "deadline_exceeded"));
    /* Little to compute and 16 million numbers to write. */
    body = make_request(1, 4000, 8, "\"need_weights\":true,\"average_attn_weights\":true,", 1);
    a = http_request(&s, "/attend", body, "X-Request-Timeout: 200");
    cr_assert_eq(a.status, 504, "%ld", a.status);
    cr_assert(answers(&s));
}

Test(robustness, a_request_that_dribbles_in_gets_408) {
    s = server_start("--model", SMALL, "--read-timeout", "300", "--idle-timeout", "400", NULL);
    const char *pieces[] = {"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Le", /* in the headers */
                            "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{\"qu"};
    for (size_t i = 0; i < 2; i++) {
        const int fd = raw_connect(&s);
        raw_text(fd, pieces[i]);
        for (int n = 0; n < 20; n++) { /* never idle for long */
            usleep(20000);
            raw_text(fd, "1");
        }
        char *got = raw_read(fd, NULL);
        cr_assert_not_null(strstr(got, "408 Request Timeout"), "%zu: %s", i, got);
        cr_assert_not_null(strstr(got, "upload_timeout"), "%s", got);
        close(fd);
    }
    /* The second request on a connection has no more time than the first. */
    const int kept = raw_connect(&s);
    raw_text(kept, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: first\r\n\r\n");
    raw_read(kept, "ok\"}");
    raw_text(kept, "GET /hea");
    for (int n = 0; n < 60; n++) {
        usleep(20000);
        raw_text(kept, "l");
    }
    char *late = raw_read(kept, NULL);
    cr_assert_not_null(strstr(late, "408 Request Timeout"), "%s", late);
    cr_assert(strcasestr(late, "X-Request-Id: ") != NULL && strstr(late, "first") == NULL, "%s", late);
    close(kept);
    /* A connection on which nothing was sent is closed without a word. */
    cr_assert_str_eq(say(""), "");
    /* So is one that stays idle after its answer; and the time for reading does not run while it is. */
    const char *got = say(HEALTH);
    cr_assert_not_null(strstr(got, "{\"status\":\"ok\"}"));
    cr_assert_null(strstr(got, " 408 ")); /* an id may have these digits */
}

/* A client that writes all of a body that is too large before it reads must still get the answer. */
Test(robustness, a_body_too_large_is_answered_and_not_reset) {
    s = server_start("--model", SMALL, "--max-body", "1000", NULL);
    const size_t size = (size_t)20 << 20;
    char *body = keep(malloc(size + 1));
    memset(body, ' ', size);
    body[size] = '\0';
    for (int i = 0; i < 5; i++) {
        answer a = http_request(&s, "/attend", body, i % 2 == 0 ? NULL : "Transfer-Encoding: chunked");
        cr_assert_eq(a.status, 413, "%d: %ld", i, a.status);
        cr_assert_not_null(strstr(a.body, "--max-body"));
    }
    for (int i = 0; i < 5; i++) { /* and one that cannot read before it has written all */
        const int fd = raw_connect(&s);
        raw_text(fd, "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20971520\r\n\r\n");
        cr_assert(raw_send(fd, body, size), "reset while sending");
        char *got = raw_read(fd, NULL);
        cr_assert_not_null(strstr(got, "--max-body"), "%d: %s", i, got);
        close(fd);
    }
    cr_assert(answers(&s));
}

Test(robustness, memory_and_answers_are_bounded) {
    s = server_start("--model", SMALL, "--max-memory", "300KiB", "--max-answer", "100KiB", NULL);
    char *much = make_request(1, 2000, 8, "", 1),
         *wide = make_request(1, 200, 8, "\"need_weights\":true,", 1);
    answer a = http_request(&s, "/attend", much, NULL);
    cr_assert_eq(a.status, 429, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "--max-memory"));
    a = http_request(&s, "/attend", wide, NULL);
    cr_assert_eq(a.status, 413, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "--max-answer"));
    cr_assert(answers(&s));
}

/* A length that is only announced ties up no memory. */
Test(robustness, announced_bodies_do_not_crowd_out_others) {
    s = server_start("--model", SMALL, "--max-memory", "60000KiB", NULL);
    int held[20];
    for (int i = 0; i < 20; i++) {
        held[i] = raw_connect(&s);
        raw_text(held[i], "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 61439000\r\n\r\n{");
    }
    for (int i = 0; i < 20; i++)
        cr_assert(answers(&s));
    for (int i = 0; i < 20; i++)
        close(held[i]);
}

/* Uploads that were refused and are still sent: however many, the next one is not reset. */
Test(robustness, refused_uploads_do_not_crowd_out_others) {
    enum { HELD = 300 };
    s = server_start("--model", SMALL, "--max-body", "1000", NULL);
    const char *head = "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4194304\r\n\r\n";
    char *body = keep(calloc(1, (size_t)4 << 20));
    int held[HELD];
    for (int i = 0; i < HELD; i++) {
        held[i] = raw_connect(&s);
        raw_text(held[i], head);
        raw_read(held[i], "--max-body");
    }
    const int fd = raw_connect(&s);
    raw_text(fd, head);
    cr_assert(raw_send(fd, body, (size_t)4 << 20), "reset while sending");
    char *got = raw_read(fd, NULL);
    cr_assert_not_null(strstr(got, "--max-body"), "%s", got);
    close(fd);
    for (int i = 0; i < HELD; i++)
        close(held[i]);
}

Test(robustness, ambiguous_framing_is_refused) {
    static const char *const heads[] = {
        "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n",
        "POST /attend HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /attend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST /attend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
        ("POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length : 29\r\n\r\nGET /healthz "
         "HTTP/1.1\r\n\r\n"),
    };
    s = server_start("--model", SMALL, NULL);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        char *got = say(heads[i]); /* to its end: the connection is closed */
        cr_assert_not_null(strstr(got, " 400 "), "%zu: %s", i, got);
        cr_assert_null(strstr(got, " 200 "), "%zu: %s", i, got);
    }
    cr_assert(answers(&s));
}

/* A connection on which a request has begun, so that it is not one that waits. */
static int begin_request(void) {
    const int fd = raw_connect(&s);
    raw_text(fd, "GET /healthz HTTP/1.1\r\n");
    return fd;
}

Test(robustness, connections_beyond_the_limit_are_told_so) {
    enum { LIMIT = 4, EXTRA = 16, CLOSED = 20, ALL = LIMIT + EXTRA + CLOSED };
    s = server_start("--model", SMALL, "--max-connections", "4", NULL);
    int held[ALL], told = 0, closed = 0;
    for (int i = 0; i < ALL; i++) {
        held[i] = i < LIMIT ? begin_request() : raw_connect(&s);
        if (i >= LIMIT)
            raw_text(held[i], ATTEND);
        usleep(i < LIMIT ? 20000 : 0); /* so that it has been read */
    }
    for (int i = LIMIT; i < ALL; i++) {
        char *got = raw_read(held[i], NULL);
        cr_assert_null(strstr(got, " 200 "), "%d: %s", i, got);
        told += strstr(got, "--max-connections") != NULL && strstr(got, "\r\nRetry-After: 1\r\n") != NULL;
        closed += *got == '\0';
    }
    cr_assert_eq(told + closed, EXTRA + CLOSED, "%d told, %d closed", told, closed);
    cr_assert_geq(told, 1);
    for (int i = 0; i < LIMIT; i++) { /* those that were there first are served on */
        raw_text(held[i], "Host: localhost\r\n\r\n");
        char *got = raw_read(held[i], "\"}");
        cr_assert_not_null(strstr(got, "\"ok\""), "%d: %s", i, got);
    }
    for (int i = 0; i < ALL; i++)
        close(held[i]);
    for (int i = 0; i < 1000 && !answers(&s); i++) /* until it has noticed that they are gone */
        usleep(1000);
    cr_assert(answers(&s));
}

/* Who asks for its health is answered though there is no room for anybody else. */
Test(robustness, health_is_told_while_all_connections_are_used) {
    enum { LIMIT = 4 };
    static const char *const good[] = {"GET /healthz",        "HEAD /healthz",        "GET /readyz",
                                       "GET /v2/health/live", "GET /v2/health/ready", "GET /metrics"};
    static const char *const others[] = {"GET /models", "GET /", "DELETE /healthz", "GET /nowhere",
                                         "GET /v2"};
    s = server_start("--model", SMALL, "--max-connections", "4", NULL);
    int held[LIMIT];
    for (int i = 0; i < LIMIT; i++)
        held[i] = begin_request();
    usleep(50000);
    for (int i = 0; i < 30; i++) { /* more than there are extra connections */
        char request[100], probe[128];
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\n\r\n", good[i % 6]);
        char *got = say(request); /* to its end: the extra connection is not kept */
        cr_assert_not_null(strstr(got, "HTTP/1.1 200 OK"), "%s: %s", good[i % 6], got);
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\n\r\n", others[i % 5]);
        got = say(request);
        cr_assert(strstr(got, "HTTP/1.1 503 ") != NULL && strstr(got, "--max-connections") != NULL, "%s: %s",
                  others[i % 5], got);
        snprintf(probe, sizeof probe, "%s --probe --port %d", ATTEND_SERVER, s.port);
        cr_assert(i % 10 != 0 || system(probe) == 0);
    }
    for (int i = 0; i < LIMIT; i++)
        close(held[i]);
}

/* Connections that wait, after an answer or since they were opened, make room for one that has a request. */
Test(robustness, who_waits_makes_room_for_who_asks) {
    enum { LIMIT = 4 };
    s = server_start("--model", SMALL, "--max-connections", "4", NULL);
    for (int silent = 0; silent < 2; silent++) {
        int held[LIMIT];
        for (int i = 0; i < LIMIT; i++) {
            held[i] = raw_connect(&s);
            if (!silent) {
                raw_text(held[i], HEALTH);
                raw_read(held[i], "ok\"}");
            }
        }
        for (int i = 0; i < 10; i++) {
            const int fd = raw_connect(&s);
            raw_text(fd, ATTEND);
            char *got = raw_read(fd, "]]");
            cr_assert_not_null(strstr(got, "\"output\""), "%d: %s", i, got);
            close(fd);
        }
        size_t gone = 0;
        for (int i = 0; i < LIMIT; i++) {
            char byte;
            gone += recv(held[i], &byte, 1, MSG_DONTWAIT) == 0;
            close(held[i]);
        }
        cr_assert_geq(gone, 1);
    }
}

/* Does the server close this connection within five seconds? */
static bool is_closed(int fd) {
    const struct timeval limit = {.tv_sec = 5};
    char byte;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return recv(fd, &byte, 1, 0) == 0 || errno == ECONNRESET;
}

/* More connections than are allowed, that all stay and say nothing: those that are too many are closed, not
 * kept waiting. */
Test(robustness, silent_connections_beyond_the_limit_are_closed) {
    enum { LIMIT = 4, EXTRA = 16, ALL = 60 };
    s = server_start("--model", SMALL, "--max-connections", "4", NULL);
    int held[ALL];
    for (int i = 0; i < ALL; i++)
        held[i] = raw_connect(&s);
    for (int i = 0; i < ALL - LIMIT - EXTRA; i++) /* the first to come have waited longest */
        cr_assert(is_closed(held[i]), "%d", i);
    cr_assert(answers(&s));
    for (int i = 0; i < ALL; i++)
        close(held[i]);
}

Test(robustness, requests_on_one_connection_are_answered_in_order) {
    s = server_start("--model", SMALL, NULL);
    const int fd = raw_connect(&s);
    raw_text(fd, ATTEND);
    raw_text(fd, "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    raw_text(fd, ATTEND);
    raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    char *got = raw_read(fd, NULL);
    const char *first = strstr(got, "\"output\""),
               *second = first == NULL ? NULL : strstr(first, "not_found");
    const char *third = second == NULL ? NULL : strstr(second, "\"output\"");
    cr_assert(third != NULL && strstr(third, "{\"status\":\"ok\"}") != NULL, "%s", got);
    close(fd);
}

/* Alone, in company, at one thread and at two: the same bytes. */
Test(robustness, the_same_request_gets_the_same_bytes) {
    char *body = make_request(2, 150, 8, "\"need_weights\":true,\"is_causal\":true,", 9), *expected = NULL;
    for (int threads = 1; threads <= 2; threads++) {
        s = server_start("--model", SMALL, "--threads", threads == 1 ? "1" : "2", NULL);
        enum { CLIENTS = 16 };
        client clients[CLIENTS];
        start_clients(clients, CLIENTS, &s, body, NULL);
        for (size_t i = 0; i < CLIENTS; i++) {
            pthread_join(clients[i].thread, NULL);
            if (expected == NULL)
                expected = clients[i].a.body;
            cr_assert_str_eq(clients[i].a.body, expected);
        }
        if (threads == 1)
            stop();
    }
}
