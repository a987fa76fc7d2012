/* main.c: start and stop, nothing else. */
#include "core/kernels/choose.h"
#include "core/kernels/openblas.h"
#include "core/model/describe.h"
#include "server/clock.h"
#include "server/http/http.h"
#include "server/keys.h"
#include "server/load.h"
#include "server/log.h"
#include "server/machine.h"
#include "server/metrics.h"
#include "server/probe.h"
#include "server/reload.h"
#include "server/routes/routes.h"
#include "server/scheduler.h"
#include "server/service.h"
#include "server/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_BAD_START = 2 };

/* How long requests that are told to stop may take to do so; they look every few milliseconds. */
#define CUT_OFF_MS 5000

/* Connections to the admin port, and how long the last of them may take to end. */
#define ADMIN_CONNECTIONS ((size_t)64)
#define ADMIN_END_MS      1000

static void print_version(const attn_kernels *kernels) {
    printf("attend-server %s\nlibmicrohttpd %s\njansson %s\n%s\nkernels %s (this CPU has %s)\n",
           ATTEND_VERSION, http_library(), jansson_version_str(), attn_openblas_library(), kernels->name,
           attn_kernels_names());
}

static void print_models(const attn_registry *registry) {
    for (size_t i = 0; i < registry->count; i++) {
        char line[512];
        attn_model_describe(registry->models[i], line, sizeof line);
        printf("%s%s: %s\n", registry->models[i]->name, i == 0 ? " (default)" : "", line);
    }
}

static size_t choose_threads(const options *o) {
    return o->threads != 0 ? o->threads : machine_cpus();
}

/* What each worker does first. */
static void (*preparation(const options *o))(void) {
    return strcmp(o->kernels->name, "openblas") == 0 ? attn_openblas_warm_up : NULL;
}

/* Before 1.0.1 the library lets through requests that can be read in two ways. */
static void warn_of_old_library(void) {
    int major = 0, minor = 0, patch = 0;
    sscanf(http_library(), "%d.%d.%d", &major, &minor, &patch);
    if (major < 1 || (major == 1 && minor == 0 && patch < 1))
        log_line(LOG_WARNING,
                 "libmicrohttpd %s is older than 1.0.1 and lax about malformed HTTP: put a proxy in "
                 "front of it where clients are not trusted",
                 http_library());
}

/* Signals come through a pipe, whichever thread they reach: a library may have threads of its own, in which
 * nothing is blocked. */
static int signal_pipe[2];

static void pass_on(int signal_number) {
    const int saved = errno;
    const unsigned char byte = (unsigned char)signal_number;
    if (write(signal_pipe[1], &byte, 1) < 0)
        errno = EAGAIN; /* the pipe is full of signals already */
    errno = saved;
}

static bool catch_signals(void) {
    struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    signal(SIGPIPE, SIG_IGN);
    return pipe2(signal_pipe, O_NONBLOCK | O_CLOEXEC) == 0 && sigaction(SIGTERM, &action, NULL) == 0 &&
           sigaction(SIGINT, &action, NULL) == 0;
}

/* Waits up to `milliseconds` (-1: for ever) for a signal. Returns its number, or 0. */
static int wait_for_signal(int milliseconds) {
    const uint64_t end = milliseconds < 0 ? CLOCK_NEVER : clock_in_ms((uint64_t)milliseconds);
    struct pollfd polled = {.fd = signal_pipe[0], .events = POLLIN};
    unsigned char byte;
    for (;;) {
        if (read(signal_pipe[0], &byte, 1) == 1)
            return byte;
        const uint64_t now = clock_now();
        if (now >= end)
            return 0;
        poll(&polled, 1, end == CLOCK_NEVER ? -1 : (int)((end - now) / 1000000u) + 1);
    }
}

static reloader reloads;

static void ask_to_reload(int signal_number) {
    (void)signal_number;
    reload_ask(&reloads);
}

/* A second signal while draining ends the process at once. */
static void end_on_signal(int signal_number) {
    if (signal_number != 0) {
        log_line(LOG_WARNING, "second signal: ending at once");
        _exit(128 + signal_number);
    }
}

/* Waits until the last connection is closed, but not beyond `milliseconds`. */
static bool wait_for_end(http_server *server, size_t milliseconds) {
    const uint64_t end = clock_in_ms(milliseconds);
    while (!http_is_drained(server)) {
        if (clock_now() >= end)
            return false;
        end_on_signal(wait_for_signal(10));
    }
    return true;
}

/* Past --drain-timeout. What is computed stops soon when it is told to; the process ends even if it does
 * not. */
static void cut_off(http_server *server, size_t seconds) {
    const connection_counts cut = http_cut_off(server);
    const size_t all = cut.arriving + cut.running + cut.sending;
    if (all > 0)
        log_line(LOG_WARNING,
                 "%zu requests were cut off %zu s after the listener closed (--drain-timeout): "
                 "%zu arriving, %zu running, %zu being sent",
                 all, seconds, cut.arriving, cut.running, cut.sending);
    if (wait_for_end(server, CUT_OFF_MS) || http_active(server) == 0)
        return;
    log_line(LOG_ERROR, "%zu requests did not stop: ending without them", http_active(server));
    _exit(EXIT_SUCCESS);
}

/* Serves until a signal, then drains: not ready at once, the listener closed after the delay, and the end
 * when the last answer is out. */
static void serve_until_signal(service *s, http_server *server) {
    const int got = wait_for_signal(-1);
    atomic_store(&s->draining, true);
    const size_t seconds = got == SIGTERM ? s->options.drain_seconds : 0;
    log_line(LOG_INFO, "draining: the listener closes in %zu s, %zu requests are running", seconds,
             http_active(server));
    end_on_signal(wait_for_signal((int)seconds * 1000));
    http_close_listener(server);
    if (!wait_for_end(server, s->options.drain_timeout * 1000))
        cut_off(server, s->options.drain_timeout);
}

/* The admin port, if there is one, has connections of its own, which others cannot use up, and outlives the
 * port for requests: who asks there sees that drain. */
static bool start_admin(service *s, http_server **admin, attn_error *error) {
    const http_listening there = {&admin_routes, s->options.admin_port, ADMIN_CONNECTIONS};
    *admin = NULL;
    return there.port == OPTIONS_NONE || (*admin = http_start(s, &there, error)) != NULL;
}

/* Its requests are never with a worker, so that it can be stopped whatever they do. */
static void stop_admin(http_server *admin) {
    if (admin == NULL)
        return;
    http_close_listener(admin);
    wait_for_end(admin, ADMIN_END_MS);
    http_stop(admin);
}

/* Listens: the port for requests last, as what has begun to serve cannot be taken back. */
static http_server *start_listening(service *s, http_server **admin, attn_error *error) {
    const bool has_admin = s->options.admin_port != OPTIONS_NONE;
    const size_t most = http_fit_connections(&s->options, has_admin ? ADMIN_CONNECTIONS : 0);
    if (!start_admin(s, admin, error))
        return NULL;
    http_server *server = http_start(s, &(http_listening){&service_routes, s->options.port, most}, error);
    if (server == NULL)
        stop_admin(*admin);
    atomic_store(&s->server, server);
    return server;
}

static int run(service *s) {
    attn_error error = {""};
    log_set_level((log_level)s->options.level);
    if (s->options.ignored_port != NULL)
        log_line(LOG_WARNING, "%s is Kubernetes's address of a Service and was ignored",
                 s->options.ignored_port);
    snapshot *loaded = load_snapshot(&s->options, NULL, &s->draining, &error);
    if (loaded == NULL) {
        fprintf(stderr, "attend-server: %s\n", error.text);
        return EXIT_BAD_START;
    }
    snapshot_replace(&s->served, loaded);
    if (s->options.check) {
        print_models(&loaded->models);
        return EXIT_SUCCESS;
    }
    warn_of_old_library();
    s->budget.limit = s->options.max_memory != 0 ? s->options.max_memory : machine_memory() / 2;
    s->metrics = metrics_new(&service_routes);
    s->results = store_new(s->options.results_memory, s->options.results_ttl * 1000000000u, free, NULL);
    const bool ready =
        s->metrics != NULL && attn_blocks_start(&s->budget, ATTN_BLOCKS_KEEP) && catch_signals();
    s->scheduler =
        ready ? sched_new(choose_threads(&s->options), false, s->options.max_queue, preparation(&s->options))
              : NULL;
    http_server *admin = NULL;
    http_server *server =
        s->scheduler == NULL || s->results == NULL ? NULL : start_listening(s, &admin, &error);
    if (server == NULL) {
        fprintf(stderr, "attend-server: %s\n",
                s->scheduler == NULL || s->results == NULL ? "cannot start the threads" : error.text);
        sched_free(s->scheduler);
        store_free(s->results);
        metrics_free(s->metrics);
        attn_blocks_stop(&s->budget);
        return EXIT_BAD_START;
    }
    const bool reloading = reload_start(&reloads, s);
    if (!reloading)
        log_line(LOG_ERROR, "no thread for reloads could be started: SIGHUP does nothing");
    fprintf(stderr, "listening on %s\n", http_url(server));
    if (admin != NULL)
        fprintf(stderr, "admin on %s\n", http_url(admin));
    serve_until_signal(s, server);
    stop_admin(admin); /* before what it tells about is gone */
    sched_free(
        s->scheduler); /* first: the last worker may still be waking the connection that it has served */
    http_stop(server);
    store_free(s->results);
    metrics_free(s->metrics);
    attn_blocks_stop(&s->budget);
    if (reloading && !reload_stop(&reloads))
        _exit(EXIT_SUCCESS); /* a load that nobody waits for */
    return EXIT_SUCCESS;
}

static int print_new_key(void) {
    char key[KEYS_KEY_SIZE], line[KEYS_LINE_SIZE];
    if (!keys_draw(key, line)) {
        fprintf(stderr, "attend-server: the system has no random numbers\n");
        return EXIT_FAILURE;
    }
    printf("the key, for the client:   %s\nits line, for the file:    %s\n", key, line);
    return EXIT_SUCCESS;
}

static int run_probe(const options *o) {
    attn_error error;
    if (probe(o, &error) == ATTN_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "attend-server: %s\n", error.text);
    return EXIT_FAILURE;
}

/* Until requests are served, a signal ends the process at once; without a handler, process 1 of a container
 * would ignore it. */
static void end_at_once(int signal_number) {
    _exit(128 + signal_number);
}

int main(int argc, char **argv) {
    static service s = {.served = SNAPSHOT_HOLDER};
    char sentence[512];
    reload_prepare(&reloads);
    signal(SIGHUP, ask_to_reload);
    signal(SIGTERM, end_at_once);
    signal(SIGINT, end_at_once);
    json_object_seed(0); /* before there are threads */
    if (!options_read(&s.options, argc, argv, sentence, sizeof sentence)) {
        fprintf(stderr, "attend-server: %s\n", sentence);
        options_free(&s.options);
        return EXIT_BAD_START;
    }
    int code = EXIT_SUCCESS;
    if (s.options.help)
        options_print_help(stdout);
    else if (s.options.version)
        print_version(s.options.kernels);
    else if (s.options.new_key)
        code = print_new_key();
    else if (s.options.probe)
        code = run_probe(&s.options);
    else
        code = run(&s);
    snapshot_replace(&s.served, NULL);
    options_free(&s.options);
    return code;
}
