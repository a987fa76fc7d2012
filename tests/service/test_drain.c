/* The end has a bound: what is still under way by then is cut off, and counted in the log. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SLACK 6 /* seconds that a busy machine may take besides */

/* A connection with this body on its way, of which it has sent as many bytes as wanted. */
static int post(const server *s, const char *body, size_t count) {
    const int fd = raw_connect(s);
    post_part(fd, body, count);
    return fd;
}

/* A body whose answer is too large for the system's buffers, and one that takes minutes to compute. */
static char *large(void) {
    return make_request(1, 800, 8, "\"need_weights\":true,", 1);
}

static char *endless(void) {
    return make_request(1, 100000, 8, "", 1);
}

/* Ends the server; what it said since it listens. */
static char *end(server *s, int signal_number, double *took) {
    const double began = seconds();
    char *said = server_end(s, signal_number);
    *took = seconds() - began;
    return said;
}

/* One of a kind under way: after the timeout it is cut off, and the log says so. */
static void cut_off_one(int fd, server *s, int signal_number, const char *counted) {
    double took;
    usleep(500000); /* until it is under way */
    char *said = end(s, signal_number, &took);
    close(fd);
    cr_assert(took > 0.9 && took < 1 + SLACK, "%.1f s", took);
    cr_assert_not_null(
        strstr(said, "1 requests were cut off 1 s after the listener closed (--drain-timeout): "), "%s",
        said);
    cr_assert_not_null(strstr(said, counted), "%s", said);
}

#define START server_start("--model", SMALL, "--drain-seconds", "0", "--drain-timeout", "1", NULL)

Test(drain, an_answer_that_nobody_reads_is_cut_off) {
    server s = START;
    char *body = large();
    const int fd = post(&s, body, strlen(body));
    cut_off_one(fd, &s, SIGTERM, "0 arriving, 0 running, 1 being sent");
}

Test(drain, a_stalled_upload_is_cut_off) {
    server s = START;
    cut_off_one(post(&s, ATTEND, 10), &s, SIGTERM, "1 arriving, 0 running, 0 being sent");
}

Test(drain, a_request_without_its_first_line_is_cut_off) {
    server s = START;
    const int fd = raw_connect(&s);
    raw_text(fd, "POST /att");
    cut_off_one(fd, &s, SIGINT, "1 arriving, 0 running, 0 being sent");
}

Test(drain, a_long_computation_is_cut_off) {
    server s = START;
    char *body = endless();
    const int fd = post(&s, body, strlen(body));
    cut_off_one(fd, &s, SIGTERM, "0 arriving, 1 running, 0 being sent");
}

/* Those that wait for a worker too, and each is told. */
Test(drain, those_that_are_computed_or_wait_are_told) {
    enum { CLIENTS = 5 };
    server s = server_start("--model", SMALL, "--drain-seconds", "0", "--drain-timeout", "1", "--threads",
                            "1", NULL);
    client clients[CLIENTS];
    char *body = endless();
    const size_t idle = server_descriptors(&s);
    start_clients(clients, CLIENTS, &s, body, NULL);
    for (int i = 0; i < 10000 && server_descriptors(&s) < idle + CLIENTS; i++)
        usleep(1000);
    usleep(500000);
    double took;
    char *said = end(&s, SIGTERM, &took);
    cr_assert_eq(join_clients(clients, CLIENTS, 503, "shutting down"), CLIENTS, "%s", said);
    cr_assert_lt(took, 1 + SLACK);
    cr_assert_not_null(strstr(said, "5 requests were cut off"), "%s", said);
    cr_assert_not_null(strstr(said, "0 arriving, 5 running, 0 being sent"), "%s", said);
}

/* Idle ones are closed with the listener; what can finish in time does. */
Test(drain, idle_connections_do_not_delay_the_end_and_answers_arrive) {
    enum { IDLE = 50 };
    server s = server_start("--model", SMALL, "--drain-timeout", "60", NULL);
    int idle[IDLE];
    for (int i = 0; i < IDLE; i++) {
        idle[i] = raw_connect(&s);
        raw_text(idle[i], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        raw_read(idle[i], "ok\"}");
    }
    char *body = large();
    const int fd = post(&s, body, strlen(body));
    usleep(500000);
    kill(s.pid, SIGINT);
    const struct timeval limit = {.tv_sec = SLACK};
    char byte;
    for (int i = 0; i < IDLE; i++) { /* while the large answer is still being sent */
        setsockopt(idle[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        cr_assert_eq(recv(idle[i], &byte, 1, 0), 0, "%d", i);
        close(idle[i]);
    }
    static char head[4097];
    cr_assert_eq(recv(fd, head, 4096, MSG_WAITALL), 4096);
    const char *length = strcasestr(head, "Content-Length: "), *start = strstr(head, "\r\n\r\n");
    cr_assert(length != NULL && start != NULL, "%s", head);
    size_t left = strtoull(length + 16, NULL, 10) - (4096 - (size_t)(start + 4 - head));
    static char bytes[65536];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0; left -= (size_t)n)
        ;
    cr_assert_eq(left, 0);
    close(fd);
    char *said = keep(calloc(1, 65536));
    cr_assert_eq(server_collect(&s, said, 65536), 0);
    cr_assert_null(strstr(said, "cut off"), "%s", said);
}

Test(drain, a_second_signal_while_it_waits_ends_it_at_once) {
    server s = server_start("--model", SMALL, "--drain-timeout", "3600", NULL);
    const int fd = post(&s, ATTEND, 10);
    usleep(200000);
    kill(s.pid, SIGINT);
    usleep(200000);
    kill(s.pid, SIGTERM);
    cr_assert_eq(server_wait(&s), 128 + SIGTERM);
    close(fd);
}
