/* listener.c: the server: its start, the connections that it lets in, and its end.
 *
 * One thread moves the bytes of all connections (http/loop.h). What the library leaves to us of a connection:
 * a deadline for slow requests and a gentle end (connections.h). */
#include "server/http/http.h"

#include "server/http/connections.h"
#include "server/http/endpoint.h"
#include "server/http/request.h"
#include "server/http/sockets.h"
#include "server/log.h"
#include "server/machine.h"

#include <errno.h>
#include <linux/filter.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXTRA_CONNECTIONS 16 /* beyond --max-connections, so that a few are told so with a 503 */
#define ACCEPTED_AT_ONCE  64 /* beyond those, so that the library accepts what is then closed */
#define HANDSHAKE_MS      50 /* milliseconds that the last ones have to finish connecting */

static connections *new_connections(http_server *server) {
    const options *o = &server->service->options;
    snprintf(server->late, sizeof server->late,
             "{\"error\":\"the request was not complete within %zu ms "
             "(--read-timeout)\",\"code\":\"upload_timeout\"}",
             o->read_timeout);
    const connection_limits limits = {.read_timeout = o->read_timeout,
                                      .idle_timeout = o->idle_timeout,
                                      .write_timeout = o->write_timeout,
                                      .max_connections = server->max_connections,
                                      .extra_connections = EXTRA_CONNECTIONS,
                                      .write_late = http_write_late,
                                      .context = server};
    return connections_new(&limits);
}

/* The library's own log goes into ours; it is about clients, so it is shown only for debugging. */
static void library_log(void *context, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void library_log(void *context, const char *format, va_list arguments) {
    char text[512];
    (void)context;
    vsnprintf(text, sizeof text, format, arguments);
    text[strcspn(text, "\r\n")] = '\0';
    log_line(LOG_DEBUG, "libmicrohttpd: %s", text);
}

size_t http_fit_connections(options *o, size_t others) {
    const size_t files = machine_open_files(), beyond = EXTRA_CONNECTIONS + ACCEPTED_AT_ONCE;
    const size_t reserve =
        beyond + (others > 0 ? others + beyond : 0) + 384; /* lingering sockets, epoll, files that are read */
    if (o->max_connections <= files && reserve <= files - o->max_connections)
        return o->max_connections;
    const size_t possible = files > reserve + 8 ? files - reserve : 8;
    log_line(LOG_WARNING,
             "--max-connections %zu is more than the limit of %zu open files allows; serving %zu",
             o->max_connections, files, possible);
    o->max_connections = possible;
    return possible;
}

/* A few beyond the limit are let in, to be told so, or to ask for the service's health; more are closed. */
static enum MHD_Result accept_policy(void *context, const struct sockaddr *address, socklen_t size) {
    const http_server *server = context;
    (void)address;
    (void)size;
    return connections_make_room(server->connections) ? MHD_YES : MHD_NO;
}

static void connection_changed(void *context, struct MHD_Connection *mhd, void **socket_context,
                               enum MHD_ConnectionNotificationCode what) {
    http_server *server = context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*socket_context != NULL)
            connection_close(*socket_context);
        *socket_context = NULL;
        return;
    }
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    *socket_context = info == NULL ? NULL : connection_open(server->connections, info->connect_fd);
    if (info != NULL && *socket_context == NULL) /* nobody would watch it */
        socket_shut_down(info->connect_fd, false);
}

static struct MHD_Daemon *start_daemon(http_server *server, int listener) {
    /* The library's own timeout is off: all deadlines are connections.c's. It would count from the last time
     * that a socket took bytes, which of a client that reads steadily may be minutes ago. */
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, accept_policy,
                            server, http_request_serve, server, MHD_OPTION_EXTERNAL_LOGGER, library_log, NULL,
                            MHD_OPTION_LISTEN_SOCKET, (MHD_socket)listener, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned int)(server->max_connections + EXTRA_CONNECTIONS + ACCEPTED_AT_ONCE),
                            MHD_OPTION_CONNECTION_TIMEOUT, 0U, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, http_request_begin,
                            server, MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, server,
                            MHD_OPTION_NOTIFY_CONNECTION, connection_changed, server, MHD_OPTION_END);
}

/* The daemon and its thread, on this listener, which is the daemon's from then on. */
static bool start_serving(http_server *server, int listener) {
    server->daemon = start_daemon(server, listener);
    if (server->daemon == NULL)
        return false;
    if (http_loop_start(server->daemon, &server->loop))
        return true;
    MHD_quiesce_daemon(server->daemon); /* which leaves the listener to us again */
    MHD_stop_daemon(server->daemon);
    return false;
}

http_server *http_start(service *s, const http_listening *listening, attn_error *error) {
    const int listener = endpoint_listen(s->options.host, listening->port, error);
    if (listener < 0)
        return NULL;
    http_server *server = calloc(1, sizeof *server);
    if (server != NULL) {
        server->service = s;
        server->routes = listening->routes;
        server->max_connections = listening->max_connections;
        endpoint_url(listener, server->url, sizeof server->url);
        server->connections = new_connections(server);
        if (server->connections != NULL && start_serving(server, listener))
            return server;
    }
    attn_fail(error, ATTN_NO_MEMORY, "cannot start the HTTP server: %s", strerror(errno));
    close(listener);
    if (server != NULL)
        connections_free(server->connections);
    free(server);
    return NULL;
}

const char *http_url(const http_server *server) {
    return server->url;
}

/* From now on the system answers nobody who wants to connect, and whoever tries again finds the port closed.
 * Without this one may still get in between the last that is taken over and the end of the listener, and be
 * reset. What belongs to connections that are half made passes (tcp(7); RFC 9293, 3.1: the flag SYN). */
static void refuse_new(int listener) {
    enum { FLAGS_AT = 13, SYN = 0x02, DROP = 0 };
    struct sock_filter rules[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS_AT),
                                  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, SYN, 0, 1),
                                  BPF_STMT(BPF_RET | BPF_K, DROP), BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
    const struct sock_fprog program = {.len = sizeof rules / sizeof *rules, .filter = rules};
    if (setsockopt(listener, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        log_line(LOG_DEBUG, "cannot turn connections away: %s", strerror(errno));
}

/* The listener's end has three steps, each on the loop's thread. The library stops listening: */
static void stop_listening(void *context) {
    http_server *server = context;
    server->listener = MHD_quiesce_daemon(server->daemon);
    if (server->listener != MHD_INVALID_SOCKET)
        refuse_new(server->listener);
}

/* Those that the system accepts for us are taken over, as they would be reset when the listener is closed: */
static void adopt_accepted(void *context) {
    http_server *server = context;
    for (;;) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        const int fd =
            accept4(server->listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, size);
    }
}

/* And it is closed. */
static void close_listener(void *context) {
    http_server *server = context;
    adopt_accepted(server);
    close(server->listener);
    connections_drain(server->connections);
}

void http_close_listener(http_server *server) {
    http_loop_call(server->loop, stop_listening, server);
    if (server->listener == MHD_INVALID_SOCKET)
        return;
    struct pollfd waiting = {.fd = server->listener, .events = POLLIN};
    for (int i = 0; i < HANDSHAKE_MS; i++)
        if (poll(&waiting, 1, 1) == 1)
            http_loop_call(server->loop, adopt_accepted, server);
    http_loop_call(server->loop, close_listener, server);
}

bool http_is_drained(http_server *server) {
    return connections_are_over(server->connections);
}

connection_counts http_count(http_server *server) {
    return connections_count(server->connections);
}

connection_counts http_cut_off(http_server *server) {
    const connection_counts counts = connections_cut(server->connections);
    atomic_store(&server->service->ending, true); /* after that, so that what runs is counted as running */
    return counts;
}

size_t http_active(http_server *server) {
    return atomic_load(&server->active);
}

void http_stop(http_server *server) {
    http_loop_end(server->loop);
    MHD_stop_daemon(server->daemon);
    connections_free(server->connections);
    free(server);
}

const char *http_library(void) {
    return MHD_get_version();
}
