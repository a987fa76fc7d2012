#include "server/http/sockets.h"

#include <limits.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct tcp_info ask(int descriptor) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    return getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? info : (struct tcp_info){0};
}

uint64_t socket_received(int descriptor) {
    return ask(descriptor).tcpi_bytes_received;
}

uint64_t socket_acknowledged(int descriptor) {
    return ask(descriptor).tcpi_bytes_acked;
}

bool socket_has_unsent(int descriptor) {
    int count = 0;
    return ioctl(descriptor, SIOCOUTQ, &count) == 0 && count > 0;
}

bool socket_has_unread(int descriptor) {
    int count = 0;
    return ioctl(descriptor, SIOCINQ, &count) == 0 && count > 0;
}

void socket_shut_down(int descriptor, bool abrupt) {
    const struct linger none = {.l_onoff = 1};
    if (abrupt)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    shutdown(descriptor, SHUT_RDWR);
}

void socket_bound_rest(int descriptor, uint64_t milliseconds) {
    const unsigned bound = milliseconds < INT_MAX ? (unsigned)milliseconds : INT_MAX;
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &bound, sizeof bound);
}
