/* GET /metrics: what is counted, and what is measured now. */
#include "server/metrics.h"

#include "core/kernels/openblas.h"
#include "server/http/http.h"
#include "server/process.h"
#include "server/routes/handlers.h"
#include "server/scheduler.h"
#include "server/store/store.h"

#include <stdio.h>
#include <string.h>

#define LABELS_SIZE 512 /* bytes: the longest say how OpenBLAS was built */

/* The list that is being made. */
typedef struct {
    metrics_gauge *gauges;
    char (*labels)[LABELS_SIZE];
    size_t count;
} gauge_list;

static char *add(gauge_list *list, const char *name, const char *help, double value) {
    char *labels = list->labels[list->count];
    list->gauges[list->count++] = (metrics_gauge){name, labels, help, value};
    *labels = '\0';
    return labels;
}

/* One of a family, of which this label tells it apart. */
static void add_of(gauge_list *list, const char *name, const char *help, const char *label, const char *of,
                   double value) {
    snprintf(add(list, name, help, value), LABELS_SIZE, "%s=\"%s\"", label, of);
}

static void add_scheduler(gauge_list *list, service *s) {
    const sched_counts counts = sched_count(s->scheduler);
    add(list, "attend_requests_waiting", "Requests that wait for a worker.", (double)counts.waiting);
    add(list, "attend_requests_running", "Requests that a worker is busy with.", (double)counts.running);
}

static void add_memory(gauge_list *list, const service *s, const attn_registry *models) {
    static const char used[] = "attend_memory_bytes", limit[] = "attend_memory_limit_bytes";
    static const char used_help[] = "Bytes of memory that are held.", limit_help[] = "The most of it.";
    double weights = 0;
    for (size_t i = 0; i < models->count; i++)
        weights += (double)models->models[i]->bytes;
    add_of(list, used, used_help, "use", "requests", (double)atomic_load(&s->budget.used));
    add_of(list, used, used_help, "use", "results", (double)store_used(s->results));
    add_of(list, used, used_help, "use", "models", weights);
    add_of(list, limit, limit_help, "use", "requests", (double)s->budget.limit);
    add_of(list, limit, limit_help, "use", "results", (double)store_limit(s->results));
    add(list, "attend_results", "Results that are kept.", (double)store_count(s->results));
}

/* Of the listener for requests; those of the admin port are not its. */
static void add_connections(gauge_list *list, service *s) {
    static const char name[] = "attend_connections", help[] = "Open connections by what they do.";
    http_server *server = atomic_load(&s->server);
    const connection_counts counts = server == NULL ? (connection_counts){0} : http_count(server);
    add_of(list, name, help, "state", "idle", (double)counts.idle);
    add_of(list, name, help, "state", "reading", (double)counts.arriving);
    add_of(list, name, help, "state", "working", (double)counts.running);
    add_of(list, name, help, "state", "sending", (double)counts.sending);
}

static void add_models(gauge_list *list, service *s, const attn_registry *models) {
    for (size_t i = 0; i < models->count; i++) {
        const attn_model *model = models->models[i];
        metrics_count_rows(s->metrics, model->name, 0); /* so that it is told before the first */
        snprintf(add(list, "attend_model_info", "The models that are served.", 1), LABELS_SIZE,
                 "model=\"%s\",precision=\"%s\"", model->name,
                 attn_precision_name(model->layer.config.precision));
    }
}

/* OpenBLAS is loaded only where it multiplies, and then it is already. */
static void add_build(gauge_list *list, const attn_kernels *kernels) {
    const bool is_blas = strcmp(kernels->name, "openblas") == 0;
    snprintf(add(list, "attend_build_info", "What it was built from.", 1), LABELS_SIZE,
             "version=\"" ATTEND_VERSION "\",kernels=\"%s\",libmicrohttpd=\"%s\",openblas=\"%s\"",
             kernels->name, http_library(), is_blas ? attn_openblas_library() : "");
}

static void add_process(gauge_list *list) {
    const process_usage u = process_read_usage();
    add(list, "process_cpu_seconds_total", "CPU time, user and system.", u.cpu_seconds);
    add(list, "process_start_time_seconds", "When it was started, since 1970.", u.started);
    add(list, "process_resident_memory_bytes", "Resident memory.", u.resident);
    add(list, "process_virtual_memory_bytes", "Virtual memory.", u.virtual);
    add(list, "process_open_fds", "Open file descriptors.", u.open_files);
    add(list, "process_max_fds", "The most of them.", u.max_open_files);
}

void handle_metrics(http_exchange *x) {
    enum { FIXED = 32 }; /* more than there are beside the models */
    service *s = x->service;
    const attn_registry *models = &x->snapshot->models;
    const size_t room = FIXED + models->count;
    gauge_list list = {attn_arena_array(x->small, room, sizeof(metrics_gauge)),
                       attn_arena_array(x->small, room, LABELS_SIZE), 0};
    const bool open_metrics = strcmp(x->answer_type, media_open_metrics) == 0;
    if (list.gauges == NULL || list.labels == NULL)
        return;
    add_scheduler(&list, s);
    add_memory(&list, s, models);
    add_connections(&list, s);
    add_models(&list, s, models);
    add_build(&list, s->options.kernels);
    add_process(&list);
    x->answer = (wire_buffer){.arena = x->small};
    x->media_type = open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                 : "text/plain; version=0.0.4; charset=utf-8";
    x->status = metrics_write(s->metrics, list.gauges, list.count, open_metrics, &x->answer) ? 200 : 0;
}
