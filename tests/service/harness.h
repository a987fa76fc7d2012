/* harness.h: the real binary on a free port, and a client to talk to it. What it gives to a test stays until
 * the test ends, which is a process of its own. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;
    int port;
    int log; /* its stderr, to read from */
    char url[64];
} server;

typedef struct {
    long status;          /* 0: no answer */
    char *body, *headers; /* NUL-terminated */
    size_t length;
} answer;

/* Keeps a block of memory until the test ends; returns it. */
void *keep(void *block);

/* Starts the server with these flags (up to a NULL) beside --port 0, and waits until it listens. Fails the
 * test if it does not. */
server server_start(const char *flag, ...) __attribute__((sentinel));

/* The same for a server that may refuse to start: false if it ended instead. What it prints on stderr until
 * then goes into `said` [size], NUL-terminated. */
bool server_try_start(server *s, char *said, size_t size, const char *flag, ...) __attribute__((sentinel));

/* Waits for the process to end by itself and adds what it still prints to `said`. Returns its exit code, or
 * -1. */
int server_collect(server *s, char *said, size_t size);

/* Sends SIGINT and waits. Returns its exit code, or -1 if a signal ended it. */
int server_stop(server *s);

/* Sends the signal and waits; what the process printed since it listens. Fails the test if its exit code is
 * not 0. */
char *server_end(server *s, int signal_number);

/* Waits for the process to end by itself. */
int server_wait(server *s);

/* Descriptors that the process has open. */
size_t server_descriptors(const server *s);

/* Threads of the process. */
size_t server_threads(const server *s);

/* Waits, with a limit that only a leak reaches, until the server has no more than `count` descriptors open.
 */
bool server_settles(const server *s, size_t count);

/* One request with libcurl; `body` NULL makes it a GET. `header` (may be NULL) is one more header line. */
answer http_request(const server *s, const char *path, const char *body, const char *header);
answer http_method(const server *s, const char *method, const char *path, const char *body,
                   const char *header);

/* A raw connection to the server. */
int raw_connect(const server *s);
bool raw_send(int fd, const char *bytes,
              size_t count); /* false if the server closed or reset before the end */
void raw_text(int fd, const char *text);

/* Reads to the end of the stream, or until `until` has come. */
char *raw_read(int fd, const char *until);

/* JSON of a self-attention request with `B` x `L` x `E` numbers from a seed. `more` is put
 * in front of the query, like "\"need_weights\":true,". */
char *make_request(size_t B, size_t L, size_t E, const char *more, unsigned seed);

#endif
