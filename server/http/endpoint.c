#include "server/http/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static bool start_listening(int fd, const struct addrinfo *address) {
    const int one = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
           bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0;
}

static bool start_connection(int fd, const struct addrinfo *address) {
    const struct timeval limit = {.tv_sec = 5};
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
           connect(fd, address->ai_addr, address->ai_addrlen) == 0;
}

/* Copies a host without the brackets that an IPv6 address has in a URL. */
static void bare_host(const char *host, char bare[NI_MAXHOST]) {
    const size_t length = strlen(host);
    const bool brackets = length > 2 && *host == '[' && host[length - 1] == ']';
    snprintf(bare, NI_MAXHOST, "%.*s", brackets ? (int)length - 2 : NI_MAXHOST, host + brackets);
}

/* A socket for the host's first address, after `start`. `verb` is for the sentence. */
static int open_socket(const char *host, size_t port, int flags, bool (*start)(int, const struct addrinfo *),
                       const char *verb, attn_error *error) {
    char digits[24], bare[NI_MAXHOST];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found;
    snprintf(digits, sizeof digits, "%zu", port);
    bare_host(host, bare);
    const int failed = getaddrinfo(bare, digits, &hints, &found);
    if (failed != 0) {
        attn_fail(error, ATTN_BAD_VALUE, "--host: cannot resolve '%.100s': %s", host, gai_strerror(failed));
        return -1;
    }
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    const bool started = fd >= 0 && start(fd, found);
    const int reason = errno;
    freeaddrinfo(found);
    if (started)
        return fd;
    attn_fail(error, ATTN_BAD_VALUE, "cannot %s %.100s, port %zu: %s", verb, host, port, strerror(reason));
    if (fd >= 0)
        close(fd);
    return -1;
}

int endpoint_listen(const char *host, size_t port, attn_error *error) {
    return open_socket(host, port, SOCK_NONBLOCK, start_listening, "listen on", error);
}

int endpoint_connect(const char *host, size_t port, attn_error *error) {
    return open_socket(host, port, 0, start_connection, "connect to", error);
}

void endpoint_url(int socket, char *url, size_t size) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    if (getsockname(socket, (struct sockaddr *)&address, &length) == 0)
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(url, size, strchr(host, ':') != NULL ? "http://[%s]:%s" : "http://%s:%s", host, port);
}
