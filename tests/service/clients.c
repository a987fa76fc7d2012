#include "tests/service/clients.h"

#include <string.h>

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

bool answers(const server *s) {
    answer a = http_request(s, "/attend", "{\"query\":[[1,2,3,4,5,6,7,8]]}", NULL);
    const bool good = a.status == 200 && strncmp(a.body, "{\"model\":\"small\",\"output\":[[", 28) == 0;
    return good;
}
