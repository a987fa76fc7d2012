#include "server/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int listener_open(const options *o, attn_error *error) {
    char port[16];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found;
    snprintf(port, sizeof port, "%zu", o->port);
    const int failed = getaddrinfo(o->host, port, &hints, &found);
    if (failed != 0) {
        attn_fail(error, ATTN_BAD_VALUE, "--host: cannot resolve '%.100s': %s", o->host,
                  gai_strerror(failed));
        return -1;
    }
    const int one = 1;
    const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const bool listening = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                           bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0;
    freeaddrinfo(found);
    if (listening)
        return fd;
    attn_fail(error, ATTN_BAD_VALUE, "cannot listen on %.100s, port %zu: %s", o->host, o->port,
              strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

void listener_url(int listener, char *url, size_t size) {
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "";
    if (getsockname(listener, (struct sockaddr *)&address, &length) == 0)
        getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(url, size, strchr(host, ':') != NULL ? "http://[%s]:%s" : "http://%s:%s", host, port);
}
