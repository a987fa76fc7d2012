/* What is refused before it reaches a route: with the right words, in the answer and in the log. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Slow, but that is not what is wrong with it: it is too large already. */
Test(refusals, a_body_too_large_that_dribbles_in_is_told_so) {
    server s = server_start("--model", SMALL, "--max-body", "1000", "--read-timeout", "500", NULL);
    const int fd = raw_connect(&s);
    char chunk[1200] = "578\r\n";
    memset(chunk + 5, ' ', 1000);
    raw_text(fd, "POST /attend HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: mine\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n");
    raw_text(fd, chunk);
    raw_text(fd, "12345");
    char *got = raw_read(fd, NULL); /* the chunk never ends */
    cr_assert(strncmp(got, "HTTP/1.1 413 ", 13) == 0, "%s", got);
    cr_assert_not_null(strstr(got, "--max-body"), "%s", got);
    cr_assert_not_null(strstr(got, "X-Request-Id: mine\r\n"), "%s", got);
    const char *body = strstr(got, "\r\n\r\n");
    cr_assert(body != NULL && (size_t)atol(strstr(got, "Content-Length: ") + 16) == strlen(body + 4), "%s",
              got);
    close(fd);
    const char *said = server_end(&s, SIGINT);
    cr_assert_not_null(strstr(said, "POST /attend 413 "), "%s", said);
}

/* The log has the status that the client was told, also where the HTTP library told it. */
Test(refusals, what_the_library_refuses_is_logged_with_its_status) {
    static const struct {
        const char *head, *logged;
    } refused[] = {
        {"GET /healthz HTTP/1.1\r\n\r\n", " - /healthz 400 "},
        {"POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n", " - /attend 400 "},
        {"POST /models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
         " - /models 413 "},
        {"POST /attend HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         " POST /attend 400 "},
    };
    server s = server_start("--model", SMALL, NULL);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const int fd = raw_connect(&s);
        raw_text(fd, refused[i].head);
        raw_read(fd, NULL);
        close(fd);
    }
    const int left = raw_connect(&s); /* this one was told nothing */
    raw_text(left, "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n");
    usleep(50000);
    close(left);
    usleep(300000);
    const char *said = server_end(&s, SIGINT);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const char *line = strstr(said, refused[i].logged);
        cr_assert_not_null(line, "%s: %s", refused[i].logged, said);
        const char *end = strstr(line, "(refused by libmicrohttpd)\n");
        cr_assert(end != NULL && end < strchr(line, '\n'), "%s", line);
    }
    cr_assert_not_null(strstr(said, " POST /attend 0 "), "%s", said);
}

/* Only a POST for the workers has a body that counts. */
Test(refusals, a_body_that_nobody_reads_is_not_kept) {
    static const char *const heads[] = {"GET /results/none.json", "GET /results/none/heatmap.png",
                                        "GET /healthz", "DELETE /results/none", "OPTIONS /attend"};
    enum { SIZE = 2 << 20 };
    server s = server_start("--model", SMALL, "--max-memory", "300KiB", NULL);
    char *body = keep(calloc(1, SIZE)), head[200];
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const int fd = raw_connect(&s);
        snprintf(head, sizeof head,
                 "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
                 heads[i], SIZE);
        raw_text(fd, head);
        cr_assert(raw_send(fd, body, SIZE), "%s", heads[i]);
        char *got = raw_read(fd, NULL);
        const int status = atoi(got + strcspn(got, " "));
        cr_assert(status == 404 || status == 200 || status == 204, "%s: %s", heads[i], got);
        close(fd);
    }
    cr_assert_eq(server_stop(&s), 0);
}
