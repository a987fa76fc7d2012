#include "tests/service/clients.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void *run_client(void *argument) {
    client *c = argument;
    c->a = http_request(c->s, "/attend", c->body, c->header);
    return NULL;
}

void start_clients(client *clients, size_t count, const server *s, const char *body, const char *header) {
    for (size_t i = 0; i < count; i++) {
        clients[i] = (client){.s = s, .body = body, .header = header};
        pthread_create(&clients[i].thread, NULL, run_client, &clients[i]);
    }
}

size_t join_clients(client *clients, size_t count, long status, const char *text) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        found += clients[i].a.status == status && strstr(clients[i].a.body, text) != NULL;
    }
    return found;
}

void post_part(int fd, const char *body, size_t count) {
    char head[200];
    snprintf(head, sizeof head, "POST /attend HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    raw_text(fd, head);
    raw_send(fd, body, count);
}

double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool answers(const server *s) {
    answer a = http_request(s, "/attend", "{\"query\":[[1,2,3,4,5,6,7,8]]}", NULL);
    const bool good = a.status == 200 && strncmp(a.body, "{\"model\":\"small\",\"output\":[[", 28) == 0;
    return good;
}
