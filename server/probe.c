#include "server/probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int connect_to(const options *o, attn_error *error) {
    char port[16];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    snprintf(port, sizeof port, "%zu", o->port);
    const int failed = getaddrinfo(o->host, port, &hints, &found);
    if (failed != 0) {
        attn_fail(error, ATTN_BAD_VALUE, "--host: cannot resolve '%.100s': %s", o->host,
                  gai_strerror(failed));
        return -1;
    }
    const struct timeval limit = {.tv_sec = 5};
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int connected = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
                          setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
                          connect(fd, found->ai_addr, found->ai_addrlen) == 0;
    freeaddrinfo(found);
    if (connected)
        return fd;
    attn_fail(error, ATTN_BAD_VALUE, "cannot connect to %.100s, port %zu: %s", o->host, o->port,
              strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

attn_status probe(const options *o, attn_error *error) {
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char line[64] = "";
    const int fd = connect_to(o, error);
    if (fd < 0)
        return ATTN_BAD_VALUE;
    ssize_t got = -1;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof request - 1))
        got = recv(fd, line, sizeof line - 1, MSG_WAITALL);
    close(fd);
    line[got > 0 ? got : 0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, "HTTP/1.1 200 ", 13) == 0)
        return ATTN_OK;
    return attn_fail(error, ATTN_BAD_VALUE, "expected 'HTTP/1.1 200', found '%s'", line);
}
