/* Requests that are there all at once, however many they are: the number of ready connections must not
 * matter. */
#include "tests/service/clients.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define HERD  600
#define PROBE "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define LIMIT 10 /* seconds for an answer, which takes milliseconds */

/* Reads an answer until it ends in `end`. Is it a 200? */
static bool read_answer(int fd, const char *end) {
    char text[2048] = "";
    size_t n = 0;
    ssize_t got = 1;
    for (; got > 0 && (n < strlen(end) || strcmp(text + n - strlen(end), end) != 0); text[n] = '\0') {
        got = recv(fd, text + n, sizeof text - 1 - n, 0);
        n += got > 0 ? (size_t)got : 0;
    }
    return got > 0 && strncmp(text, "HTTP/1.1 200", 12) == 0;
}

/* Each has had an answer: nothing is left of its beginning. */
static void connect_herd(const server *s, int *herd, size_t count) {
    const struct timeval limit = {.tv_sec = LIMIT};
    for (size_t i = 0; i < count; i++) {
        herd[i] = raw_connect(s);
        setsockopt(herd[i], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        raw_text(herd[i], PROBE);
        cr_assert(read_answer(herd[i], "ok\"}"), "%zu", i);
    }
}

static void disperse(const int *herd, size_t count) {
    for (size_t i = 0; i < count; i++)
        close(herd[i]);
}

static void stand_still(const server *s) {
    kill(s->pid, SIGSTOP);
    waitpid(s->pid, NULL, WUNTRACED);
}

/* The server stands still, as one whose CPU quota is used up, until all of these have sent. */
static void send_at_once(const server *s, const int *herd, size_t count, const char *request) {
    stand_still(s);
    for (size_t i = 0; i < count; i++)
        raw_text(herd[i], request);
    kill(s->pid, SIGCONT);
}

/* How many of them get a 200 whose body ends in `end`, up to the first that does not. */
static size_t count_answered(const int *herd, size_t count, const char *end) {
    size_t answered = 0;
    while (answered < count && read_answer(herd[answered], end))
        answered++;
    return answered;
}

static void allow_files(void) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* Nothing may depend on how many there are: the HTTP library serves 128 events at a time. */
Test(herd, any_number_of_ready_connections_is_served) {
    int herd[HERD];
    allow_files();
    server s = server_start("--model", SMALL, "--log-level", "error", "--idle-timeout", "600000", NULL);
    connect_herd(&s, herd, HERD);
    for (size_t n = 1; n <= HERD; n++) {
        send_at_once(&s, herd, n, PROBE);
        const size_t answered = count_answered(herd, n, "ok\"}");
        cr_assert_eq(answered, n, "of %zu requests at once %zu were answered within %d s", n, answered,
                     LIMIT);
    }
    disperse(herd, HERD);
    cr_assert_eq(server_stop(&s), 0);
}

Test(herd, any_number_of_requests_for_the_workers_is_served) {
    static const size_t sizes[] = {127, 128, 129, 255, 256, 257};
    int herd[257];
    allow_files();
    server s = server_start("--model", SMALL, "--log-level", "error", "--idle-timeout", "600000",
                            "--max-queue", "1000", NULL);
    connect_herd(&s, herd, 257);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        usleep(20000); /* until the workers are through with the last herd */
        send_at_once(&s, herd, sizes[i], ATTEND);
        const size_t answered = count_answered(herd, sizes[i], "]]}");
        cr_assert_eq(answered, sizes[i], "of %zu requests at once %zu were answered", sizes[i], answered);
    }
    disperse(herd, 257);
    cr_assert_eq(server_stop(&s), 0);
}

/* One that asks for the service's health is one of a herd, and no connection comes that would stir it. */
Test(herd, a_probe_among_a_herd_is_answered) {
    int herd[128];
    server s = server_start("--model", SMALL, "--log-level", "error", "--idle-timeout", "600000", NULL);
    connect_herd(&s, herd, 128);
    stand_still(&s);
    for (size_t i = 0; i < 127; i++)
        raw_text(herd[i], ATTEND);
    raw_text(herd[127], PROBE);
    kill(s.pid, SIGCONT);
    cr_assert_eq(count_answered(&herd[127], 1, "ok\"}"), 1);
    cr_assert_eq(count_answered(herd, 127, "]]}"), 127);
    disperse(herd, 128);
    cr_assert_eq(server_stop(&s), 0);
}

/* Clock ticks of CPU time that the process has taken, all threads together. */
static unsigned long cpu_ticks(const server *s) {
    char path[64], line[1024] = "";
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)s->pid);
    FILE *file = fopen(path, "r");
    cr_assert(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    sscanf(strrchr(line, ')'), ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system);
    return user + system;
}

/* A loop that spins while connections are idle, half way through a request, or half closed, would take a
 * hundred ticks of a second. */
Test(herd, an_idle_service_takes_no_time) {
    int herd[60];
    server s = server_start("--model", SMALL, NULL);
    connect_herd(&s, herd, 60);
    send_at_once(&s, herd, 40, ATTEND);
    cr_assert_eq(count_answered(herd, 40, "]]}"), 40);
    send_at_once(&s, herd, 20, "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{");
    usleep(200000);
    const unsigned long before = cpu_ticks(&s);
    usleep(1000000);
    const unsigned long taken = cpu_ticks(&s) - before;
    cr_assert_leq(taken, 3, "%lu ticks", taken);
    disperse(herd, 60);
    cr_assert_eq(server_stop(&s), 0);
}
