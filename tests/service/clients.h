/* clients.h: several clients at once, and the request that they all send. */
#ifndef TESTS_CLIENTS_H
#define TESTS_CLIENTS_H

#include "tests/service/harness.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define SMALL "small=init:embed_dim=8,num_heads=2,seed=5"

#define ATTEND                                                                                               \
    "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\n\r\n{\"query\":[[1,2,3,4,5,6,7,8]]}"

/* A request from a thread of its own. */
typedef struct {
    const server *s;
    const char *body, *header;
    answer a;
    pthread_t thread;
} client;

/* Sends the same request from `count` threads. */
void start_clients(client *clients, size_t count, const server *s, const char *body, const char *header);

/* Joins them; how many got this status and an answer with this text in it. */
size_t join_clients(client *clients, size_t count, long status, const char *text);

/* Sends the head of a POST to /attend and as many bytes of its body as wanted. */
void post_part(int fd, const char *body, size_t count);

double seconds(void);

/* Does the service answer a small request on model "small" as it should? */
bool answers(const server *s);

#endif
