#include "server/probe.h"

#include "server/http/endpoint.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

attn_status probe(const options *o, attn_error *error) {
    /* Without a Host, which may be none of --allowed-host's. */
    static const char request[] = "GET /healthz HTTP/1.0\r\nConnection: close\r\n\r\n";
    char line[64] = "";
    const bool has_admin = o->admin_port != OPTIONS_NONE && o->admin_port != 0;
    const int fd = endpoint_connect(o->host, has_admin ? o->admin_port : o->port, error);
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
