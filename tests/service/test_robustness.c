/* What must not knock the service over: clients that vanish, dribble, crowd in, or send too much; and its own
 * end. */
#include "server/clock.h"
#include "tests/service/harness.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL "small=init:embed_dim=8,num_heads=2,seed=5"

/* A request from a thread of its own. */
typedef struct {
    const server *s;
    const char *body, *header;
    answer a;
    pthread_t thread;
} client;

static void *run_client(void *argument) {
    client *c = argument;
    c->a = http_request(c->s, "/attend", c->body, c->header);
    return NULL;
}

static void start_clients(client *clients, size_t count, const server *s, const char *body,
                          const char *header) {
    for (size_t i = 0; i < count; i++) {
        clients[i] = (client){.s = s, .body = body, .header = header};
        pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
    }
}

/* How many of the clients got this status; joins them. */
static size_t join_clients(client *clients, size_t count, long status, const char *text) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        found += clients[i].a.status == status && strstr(clients[i].a.body, text) != NULL;
    }
    return found;
}

static void free_clients(client *clients, size_t count) {
    for (size_t i = 0; i < count; i++)
        answer_free(&clients[i].a);
}

/* Does the service answer, with the right beginning? */
static bool answers(const server *s) {
    answer a = http_request(s, "/attend", "{\"query\":[[1,2,3,4,5,6,7,8]]}", NULL);
    const bool good = a.status == 200 && strncmp(a.body, "{\"model\":\"small\",\"output\":[[", 28) == 0;
    answer_free(&a);
    return good;
}

Test(robustness, a_request_cut_off_half_way_leaves_nothing) {
    server s = server_start("--model", SMALL, NULL);
    cr_assert(answers(&s));
    const size_t before = server_descriptors(&s);
    const char *whole = "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n{\"query\":[[1,2,3";
    for (size_t cut = 0; cut <= strlen(whole); cut++) {
        const int fd = raw_connect(&s);
        raw_send(fd, whole, cut);
        close(fd);
    }
    cr_assert(server_settles(&s, before));
    cr_assert(answers(&s));
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, a_client_that_vanishes_during_compute_leaves_nothing) {
    server s = server_start("--model", SMALL, "--threads", "2", NULL);
    cr_assert(answers(&s));
    const size_t before = server_descriptors(&s);
    char *body = make_request(1, 3000, 8, "", 1), head[200];
    snprintf(head, sizeof head, "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    for (int i = 0; i < 20; i++) {
        const int fd = raw_connect(&s);
        raw_text(fd, head);
        raw_text(fd, body);
        usleep(1000u * (unsigned)i);
        if (i % 2 == 0) { /* a reset instead of a close */
            const struct linger abrupt = {1, 0};
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abrupt, sizeof abrupt);
        }
        close(fd);
    }
    cr_assert(server_settles(&s, before));
    cr_assert(answers(&s));
    free(body);
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, a_full_queue_refuses_and_recovers) {
    server s = server_start("--model", SMALL, "--threads", "1", "--max-queue", "2", NULL);
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
    free_clients(clients, CLIENTS);
    free(body);
    cr_assert_eq(server_stop(&s), 0);
}

/* Sends `signal_number` once `count` requests are on their way; all must get their answers, and the exit code
 * is 0. */
static void drain(int signal_number, const char *seconds) {
    server s = server_start("--model", SMALL, "--threads", "1", "--drain-seconds", seconds, NULL);
    enum { CLIENTS = 8 };
    client clients[CLIENTS];
    char *body = make_request(1, 2000, 8, "", 1);
    const size_t idle = server_descriptors(&s);
    start_clients(clients, CLIENTS, &s, body, NULL);
    while (server_descriptors(&s) < idle + CLIENTS) /* all connected */
        usleep(1000);
    usleep(50000); /* and most of them sent */
    kill(s.pid, signal_number);
    cr_assert_eq(join_clients(clients, CLIENTS, 200, "\"output\""), CLIENTS);
    cr_assert_eq(server_wait(&s), 0);
    free_clients(clients, CLIENTS);
    free(body);
}

Test(robustness, sigterm_lets_eight_running_requests_finish) {
    drain(SIGTERM, "1");
}

Test(robustness, sigint_lets_eight_running_requests_finish) {
    drain(SIGINT, "5");
}

Test(robustness, while_draining_readiness_fails_and_connections_close) {
    server s = server_start("--model", SMALL, "--drain-seconds", "2", NULL);
    kill(s.pid, SIGTERM);
    answer a = {0};
    for (int i = 0; i < 100 && a.status != 503; i++) {
        answer_free(&a);
        a = http_request(&s, "/readyz", NULL, NULL);
        usleep(1000);
    }
    cr_assert_eq(a.status, 503, "%ld %s", a.status, a.body);
    cr_assert_not_null(strstr(a.body, "unavailable"));
    answer_free(&a);
    a = http_request(&s, "/healthz", NULL, NULL);
    cr_assert_eq(a.status, 200);
    cr_assert_not_null(strcasestr(a.headers, "Connection: close\r\n"));
    answer_free(&a);
    cr_assert(answers(&s)); /* what still comes is served */
    cr_assert_eq(server_wait(&s), 0);
}

Test(robustness, a_second_signal_ends_it_at_once) {
    server s = server_start("--model", SMALL, "--drain-seconds", "3600", NULL);
    kill(s.pid, SIGTERM);
    usleep(100000);
    kill(s.pid, SIGTERM);
    cr_assert_eq(server_wait(&s), 128 + SIGTERM);
}

Test(robustness, the_deadline_holds_while_every_worker_is_busy) {
    server s = server_start("--model", SMALL, "--threads", "1", NULL);
    client slow[2], hurried;
    char *body = make_request(1, 5000, 8, "", 1);
    start_clients(slow, 2, &s, body, NULL);
    usleep(30000);
    start_clients(&hurried, 1, &s, body, "X-Request-Timeout: 5");
    cr_assert_eq(join_clients(&hurried, 1, 504, "deadline_exceeded"), 1);
    cr_assert_eq(join_clients(slow, 2, 200, "\"output\""), 2);
    free_clients(slow, 2);
    free_clients(&hurried, 1);
    free(body);
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, a_request_past_its_deadline_is_computed_no_further) {
    server s = server_start("--model", SMALL, NULL);
    char *body = make_request(1, 8000, 8, "", 1);
    answer a = http_request(&s, "/attend", body, "X-Request-Timeout: 50");
    cr_assert_eq(a.status, 504, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "deadline_exceeded"));
    cr_assert(answers(&s));
    answer_free(&a);
    free(body);
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, a_request_that_dribbles_in_gets_408) {
    server s = server_start("--model", SMALL, "--read-timeout", "300", "--idle-timeout", "400", NULL);
    const char *pieces[] = {"POST /attend HTTP/1.1\r\nHost: x\r\nContent-Le", /* in the headers */
                            "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{\"qu"};
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
        free(got);
        close(fd);
    }
    /* A connection on which nothing was sent is closed without a word. */
    const int silent = raw_connect(&s);
    char *got = raw_read(silent, NULL);
    cr_assert_str_eq(got, "");
    free(got);
    close(silent);
    /* So is one that stays idle after its answer; and the time for reading does not run while it is. */
    const int idle = raw_connect(&s);
    raw_text(idle, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    got = raw_read(idle, NULL);
    cr_assert_not_null(strstr(got, "{\"status\":\"ok\"}"));
    cr_assert_null(strstr(got, "408"));
    free(got);
    close(idle);
    cr_assert_eq(server_stop(&s), 0);
}

/* A client that writes all of a body that is too large before it reads must still get the answer. */
Test(robustness, a_body_too_large_is_answered_and_not_reset) {
    server s = server_start("--model", SMALL, "--max-body", "1000", NULL);
    const size_t size = (size_t)20 << 20;
    char *body = malloc(size + 1);
    memset(body, ' ', size);
    body[size] = '\0';
    for (int i = 0; i < 5; i++) {
        answer a = http_request(&s, "/attend", body, i % 2 == 0 ? NULL : "Transfer-Encoding: chunked");
        cr_assert_eq(a.status, 413, "%d: %ld", i, a.status);
        cr_assert_not_null(strstr(a.body, "--max-body"));
        answer_free(&a);
    }
    for (int i = 0; i < 5; i++) { /* and one that cannot read before it has written all */
        const int fd = raw_connect(&s);
        raw_text(fd, "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 20971520\r\n\r\n");
        cr_assert(raw_send(fd, body, size), "reset while sending");
        char *got = raw_read(fd, NULL);
        cr_assert_not_null(strstr(got, "--max-body"), "%d: %s", i, got);
        free(got);
        close(fd);
    }
    cr_assert(answers(&s));
    free(body);
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, memory_and_answers_are_bounded) {
    server s = server_start("--model", SMALL, "--max-memory", "300KiB", "--max-answer", "100KiB", NULL);
    char *much = make_request(1, 2000, 8, "", 1),
         *wide = make_request(1, 200, 8, "\"need_weights\":true,", 1);
    answer a = http_request(&s, "/attend", much, NULL);
    cr_assert_eq(a.status, 429, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "--max-memory"));
    answer_free(&a);
    a = http_request(&s, "/attend", wide, NULL);
    cr_assert_eq(a.status, 413, "%ld", a.status);
    cr_assert_not_null(strstr(a.body, "--max-answer"));
    answer_free(&a);
    cr_assert(answers(&s));
    free(much);
    free(wide);
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, ambiguous_framing_is_refused) {
    static const char *const heads[] = {
        "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        "POST /attend HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    };
    server s = server_start("--model", SMALL, NULL);
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const int fd = raw_connect(&s);
        raw_text(fd, heads[i]);
        char *got = raw_read(fd, NULL); /* to its end: the connection is closed */
        cr_assert_not_null(strstr(got, " 400 "), "%zu: %s", i, got);
        cr_assert_null(strstr(got, " 200 "), "%zu: %s", i, got);
        free(got);
        close(fd);
    }
    cr_assert(answers(&s));
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, connections_beyond_the_limit_are_told_so) {
    server s = server_start("--model", SMALL, "--max-connections", "4", NULL);
    int held[4];
    for (int i = 0; i < 4; i++) {
        held[i] = raw_connect(&s);
        raw_text(held[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        free(raw_read(held[i], "ok\"}"));
    }
    answer a = http_request(&s, "/healthz", NULL, NULL);
    cr_assert_eq(a.status, 503);
    cr_assert_not_null(strstr(a.body, "--max-connections"));
    answer_free(&a);
    for (int i = 0; i < 4; i++)
        close(held[i]);
    for (int i = 0; i < 1000 && !answers(&s); i++) /* until it has noticed that they are gone */
        usleep(1000);
    cr_assert(answers(&s));
    cr_assert_eq(server_stop(&s), 0);
}

Test(robustness, requests_on_one_connection_are_answered_in_order) {
    server s = server_start("--model", SMALL, NULL);
    const int fd = raw_connect(&s);
    const char *attend =
        "POST /attend HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n\r\n{\"query\":[[1,2,3,4,5,6,7,8]]}";
    raw_text(fd, attend);
    raw_text(fd, "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n");
    raw_text(fd, attend);
    raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    char *got = raw_read(fd, NULL);
    const char *first = strstr(got, "\"output\""),
               *second = first == NULL ? NULL : strstr(first, "not_found");
    const char *third = second == NULL ? NULL : strstr(second, "\"output\"");
    cr_assert(third != NULL && strstr(third, "{\"status\":\"ok\"}") != NULL, "%s", got);
    free(got);
    close(fd);
    cr_assert_eq(server_stop(&s), 0);
}

/* Alone, in company, at one thread and at two: the same bytes. */
Test(robustness, the_same_request_gets_the_same_bytes) {
    char *body = make_request(2, 150, 8, "\"need_weights\":true,\"is_causal\":true,", 9), *expected = NULL;
    for (int threads = 1; threads <= 2; threads++) {
        server s = server_start("--model", SMALL, "--threads", threads == 1 ? "1" : "2", NULL);
        enum { CLIENTS = 16 };
        client clients[CLIENTS];
        start_clients(clients, CLIENTS, &s, body, NULL);
        for (size_t i = 0; i < CLIENTS; i++) {
            pthread_join(clients[i].thread, NULL);
            if (expected == NULL)
                expected = strdup(clients[i].a.body);
            cr_assert_str_eq(clients[i].a.body, expected);
        }
        free_clients(clients, CLIENTS);
        cr_assert_eq(server_stop(&s), 0);
    }
    free(expected);
    free(body);
}
