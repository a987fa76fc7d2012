/* How the service ends: it drains, and nothing that it has taken on is lost. */
#include "tests/service/clients.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sends `signal_number` once `count` requests are on their way; all must get their answers, and the exit code
 * is 0. */
static void drain(int signal_number, const char *seconds) {
    server s = server_start("--model", SMALL, "--threads", "1", "--drain-seconds", seconds, NULL);
    enum { CLIENTS = 8 };
    client clients[CLIENTS];
    char *body = make_request(1, 6000, 8, "", 1); /* one takes a twentieth of a second, or more */
    const size_t idle = server_descriptors(&s);
    start_clients(clients, CLIENTS, &s, body, NULL);
    for (int i = 0; i < 2000 && server_descriptors(&s) < idle + CLIENTS;
         i++) /* all connected, unless one is done */
        usleep(1000);
    usleep(100000); /* and all of them sent, while the first are computed */
    kill(s.pid, signal_number);
    cr_assert_eq(join_clients(clients, CLIENTS, 200, "\"output\""), CLIENTS);
    cr_assert_eq(server_wait(&s), 0);
}

Test(ending, sigterm_lets_eight_running_requests_finish) {
    drain(SIGTERM, "1");
}

Test(ending, sigint_lets_eight_running_requests_finish) {
    drain(SIGINT, "5");
}

Test(ending, while_draining_readiness_fails_and_connections_close) {
    server s = server_start("--model", SMALL, "--drain-seconds", "2", NULL);
    kill(s.pid, SIGTERM);
    answer a = {0};
    for (int i = 0; i < 100 && a.status != 503; i++) {
        a = http_request(&s, "/readyz", NULL, NULL);
        usleep(1000);
    }
    cr_assert_eq(a.status, 503, "%ld %s", a.status, a.body);
    cr_assert_not_null(strstr(a.body, "unavailable"));
    a = http_request(&s, "/healthz", NULL, NULL);
    cr_assert_eq(a.status, 200);
    cr_assert_not_null(strcasestr(a.headers, "Connection: close\r\n"));
    char probe[128];
    snprintf(probe, sizeof probe, "%s --probe --port %d", ATTEND_SERVER, s.port);
    cr_assert_eq(system(probe), 0); /* it lives */
    cr_assert(answers(&s));         /* and what still comes is served */
    cr_assert_eq(server_wait(&s), 0);
}

/* Kept-alive connections that were silent speak at the moment of the end: none of their requests may be
 * handed to a worker when the HTTP library stops, which aborts. */
Test(ending, requests_at_the_last_moment_do_no_harm) {
    enum { ROUNDS = 20, CONNECTIONS = 100 };
    for (int round = 0; round < ROUNDS; round++) {
        server s = server_start("--model", SMALL, NULL);
        int kept[CONNECTIONS];
        for (int i = 0; i < CONNECTIONS; i++) {
            kept[i] = raw_connect(&s);
            raw_text(kept[i], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
            raw_read(kept[i], "ok\"}");
        }
        kill(s.pid, SIGINT);
        for (int i = 0; i < CONNECTIONS; i++) {
            raw_text(kept[i], ATTEND);
            usleep(30);
        }
        const int code = server_wait(&s);
        for (int i = 0; i < CONNECTIONS; i++)
            close(kept[i]);
        cr_assert_eq(code, 0, "round %d: %d", round, code);
    }
}

static bool is_refused(const server *s) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)s->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const bool refused = connect(fd, (const struct sockaddr *)&address, sizeof address) != 0;
    close(fd);
    return refused;
}

/* The next one may start before the last has sent all its answers. */
Test(ending, while_draining_another_can_listen_on_the_port) {
    server s = server_start("--model", SMALL, NULL);
    const int fd = raw_connect(&s);
    const size_t half = strlen(ATTEND) - 5;
    raw_send(fd, ATTEND, half);
    usleep(50000); /* until it is read */
    kill(s.pid, SIGINT);
    for (int i = 0; i < 1000 && !is_refused(&s); i++)
        usleep(1000);
    cr_assert(is_refused(&s));
    char port[16];
    snprintf(port, sizeof port, "%d", s.port);
    server next = server_start("--model", SMALL, "--port", port, NULL);
    cr_assert_eq(next.port, s.port);
    cr_assert(answers(&next));
    raw_text(fd, &ATTEND[half]);
    char *got = raw_read(fd, NULL);
    cr_assert_not_null(strstr(got, "200 OK"), "%s", got);
    close(fd);
    cr_assert_eq(server_wait(&s), 0);
    cr_assert(answers(&next));
    cr_assert_eq(server_stop(&next), 0);
}

typedef struct {
    const server *s;
    pthread_t thread;
    int resets;
} visitor;

/* Connects and asks, again and again, until it is refused. */
static void *visit(void *argument) {
    visitor *v = argument;
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)v->s->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (bool refused = false; !refused;) {
        char bytes[512];
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
            refused = true;
            v->resets += errno != ECONNREFUSED;
        } else {
            raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            ssize_t got;
            while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
                continue;
            v->resets += got < 0 && errno == ECONNRESET;
        }
        close(fd);
    }
    return NULL;
}

/* May a program say which packets reach its socket? Some containers forbid it. */
static bool can_filter(void) {
    struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
    const struct sock_fprog program = {.len = 1, .filter = &pass};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const bool can = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0;
    close(fd);
    return can;
}

/* Who connects while the listener is closed gets in or is refused, but is not let in and thrown out. */
Test(ending, connections_at_the_last_moment_are_not_reset) {
    enum { ROUNDS = 20, VISITORS = 6 };
    int resets = 0;
    if (!can_filter())
        cr_skip_test("sockets may have no filters here, and without one the last connections may be reset");
    for (int round = 0; round < ROUNDS; round++) {
        server s = server_start("--model", SMALL, "--log-level", "error", NULL);
        visitor visitors[VISITORS];
        for (int i = 0; i < VISITORS; i++) {
            visitors[i] = (visitor){.s = &s};
            pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]);
        }
        usleep(50000);
        cr_assert_eq(server_stop(&s), 0);
        for (int i = 0; i < VISITORS; i++) {
            pthread_join(visitors[i].thread, NULL);
            resets += visitors[i].resets;
        }
    }
    cr_assert_eq(resets, 0, "%d were reset", resets);
}

Test(ending, a_second_signal_ends_it_at_once) {
    server s = server_start("--model", SMALL, "--drain-seconds", "3600", NULL);
    kill(s.pid, SIGTERM);
    usleep(100000);
    kill(s.pid, SIGTERM);
    cr_assert_eq(server_wait(&s), 128 + SIGTERM);
}
