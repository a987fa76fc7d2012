/* Clients that take their answers slowly, or not at all. */
#include "tests/service/clients.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WEIGHTS "\"need_weights\":true,"

/* A connection whose system takes little that is not read. */
static int connect_narrow(const server *s) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)s->port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), little = 32768;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* Sends a request on L tokens whose answer has 2 L^2 weights of about 12 bytes each, if they are asked for.
 */
static void ask(int fd, size_t L, const char *more) {
    const char *body = make_request(1, L, 8, more, 1);
    post_part(fd, body, strlen(body));
}

/* Reads the head of an answer and returns how long it and its body are together. */
static size_t read_head(int fd, size_t *got) {
    char head[4096] = "";
    size_t n = 0;
    while (n + 1 < sizeof head && strstr(head, "\r\n\r\n") == NULL && recv(fd, head + n, 1, 0) == 1)
        n++;
    const char *length = strcasestr(head, "\r\nContent-Length: ");
    cr_assert_not_null(length, "%s", head);
    *got = n;
    return n + strtoull(length + strlen("\r\nContent-Length: "), NULL, 10);
}

/* Reads until `end` bytes are there, at most `rate` bytes a second (0: as fast as it can) for at most `time`
 * seconds. False if the stream ends or breaks before. */
static bool read_at(int fd, size_t *got, size_t end, double rate, double time) {
    static char bytes[65536];
    const double began = seconds();
    const size_t before = *got;
    while (*got < end && seconds() < began + time) {
        const double due = rate == 0 ? 1e9 : (seconds() - began) * rate - (double)(*got - before);
        if (due < 1000) {
            usleep(5000);
            continue;
        }
        const size_t most = due < (double)sizeof bytes ? (size_t)due : sizeof bytes;
        const ssize_t n = recv(fd, bytes, most < end - *got ? most : end - *got, 0);
        if (n <= 0)
            return false;
        *got += (size_t)n;
    }
    return true;
}

/* Waits until the connection breaks; returns how many seconds that took, or 100. */
static double wait_for_reset(int fd) {
    const double began = seconds();
    struct pollfd polled = {.fd = fd};
    return poll(&polled, 1, 100000) == 1 && (polled.revents & (POLLERR | POLLHUP)) != 0 ? seconds() - began
                                                                                        : 100;
}

/* Whatever the timeouts, and though the system holds so many megabytes of the answer that none of them seems
 * to move for many seconds. */
Test(slow_readers, one_that_reads_steadily_gets_all) {
    server s = server_start("--model", SMALL, "--write-timeout", "1000", "--read-timeout", "1000",
                            "--idle-timeout", "1000", NULL);
    const int fd = connect_narrow(&s);
    ask(fd, 800, WEIGHTS);
    size_t got, end = read_head(fd, &got);
    cr_assert_gt(end, (size_t)9 << 20, "the system could hold all of it");
    cr_assert(read_at(fd, &got, end, 100 * 1024, 7), "cut off at %zu of %zu bytes", got, end);
    cr_assert_lt(got, (size_t)1 << 20);
    cr_assert(read_at(fd, &got, end, 0, 100), "cut off at %zu of %zu bytes", got, end);
    cr_assert_eq(got, end);
    /* And the connection lives on. */
    raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    char *more = raw_read(fd, NULL);
    cr_assert_not_null(strstr(more, "\"ok\""), "%s", more);
    close(fd);
    char *said = server_end(&s, SIGINT);
    cr_assert_null(strstr(said, "--write-timeout"), "%s", said);
}

/* Silent or too slow: cut off, and what it held is given back. */
Test(slow_readers, others_are_cut_off_and_their_memory_is_given_back) {
    for (int rate = 0; rate < 2; rate++) {
        server s = server_start("--model", SMALL, "--write-timeout", "1000", "--max-memory", "29MiB", NULL);
        const int fd = connect_narrow(&s);
        ask(fd, 800, WEIGHTS); /* 5 MB of weights, 15 of text */
        size_t got, end = read_head(fd, &got);
        char *body = make_request(1, 800, 8, WEIGHTS, 1);
        answer a = http_request(&s, "/attend", body, NULL);
        cr_assert_eq(a.status, 429, "no memory is held: %ld", a.status);
        const double began = seconds();
        if (rate == 0)
            cr_assert_lt(wait_for_reset(fd), 6);
        else
            cr_assert_not(read_at(fd, &got, end, 10 * 1024, 20), "not cut off");
        cr_assert_lt(seconds() - began, 10);
        a = http_request(&s, "/attend", body, NULL);
        cr_assert_eq(a.status, 200, "%ld %.200s", a.status, a.body);
        close(fd);
        char *said = server_end(&s, SIGINT);
        cr_assert_not_null(strstr(said, "(the client takes its answer too slowly (--write-timeout))"), "%s",
                           said);
    }
}

/* An answer that the system holds whole is not lost when its connection is given up. */
Test(slow_readers, an_answer_that_was_handed_over_arrives) {
    server s = server_start("--model", SMALL, "--write-timeout", "500", NULL);
    const size_t before = server_descriptors(&s);
    const int fd = connect_narrow(&s);
    ask(fd, 150, WEIGHTS);
    for (int i = 0; i < 1000 && server_descriptors(&s) == before; i++)
        usleep(1000);
    cr_assert(server_settles(&s, before), "the connection is still open");
    size_t got, end = read_head(fd, &got);
    cr_assert(read_at(fd, &got, end, 0, 100), "%zu of %zu bytes", got, end);
    char byte;
    cr_assert_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
    char *said = server_end(&s, SIGINT);
    cr_assert_not_null(strstr(said, "the client takes its answer too slowly (--write-timeout)"), "%s", said);
}

/* Small answers are with the client's system, read or not: that is no slowness, only idleness. */
Test(slow_readers, small_answers_may_be_read_late) {
    server s = server_start("--model", SMALL, "--write-timeout", "200", NULL);
    const int fd = connect_narrow(&s);
    for (int i = 0; i < 3; i++)
        raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    usleep(1500000);
    raw_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    char *got = raw_read(fd, NULL);
    size_t answers_seen = 0;
    for (const char *at = got; (at = strstr(at, "\"ok\"")) != NULL; at++)
        answers_seen++;
    cr_assert_eq(answers_seen, 4, "%s", got);
    close(fd);
    cr_assert_eq(server_stop(&s), 0);
}

/* Requests one after another on one connection, none of whose answers is read. */
Test(slow_readers, one_that_asks_on_and_never_reads_is_cut_off) {
    server s = server_start("--model", SMALL, "--write-timeout", "1000", NULL);
    const size_t before = server_descriptors(&s);
    const int fd = connect_narrow(&s);
    for (int i = 0; i < 200; i++) /* 200 answers of 300 kB */
        ask(fd, 110, WEIGHTS);
    const bool settles = server_settles(&s, before);
    cr_assert(settles);
    cr_assert(answers(&s));
    close(fd);
    cr_assert_eq(server_stop(&s), 0);
}

/* Without another direction to wait for: half-closed, slow, and it still gets all. */
Test(slow_readers, a_half_closed_one_gets_all) {
    server s = server_start("--model", SMALL, "--write-timeout", "1000", NULL);
    const int fd = connect_narrow(&s);
    ask(fd, 800, WEIGHTS);
    shutdown(fd, SHUT_WR);
    size_t got, end = read_head(fd, &got);
    cr_assert(read_at(fd, &got, end, 100 * 1024, 3), "cut off at %zu of %zu bytes", got, end);
    cr_assert(read_at(fd, &got, end, 0, 100), "cut off at %zu of %zu bytes", got, end);
    char byte;
    cr_assert_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
    cr_assert_eq(server_stop(&s), 0);
}
