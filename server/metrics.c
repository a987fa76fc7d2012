#include "server/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum {
    MOST_MODELS = 256,
    FIRST_STATUS = 100, /* of those that are told apart */
    NO_STATUS = 500,    /* the place of none, after those from 100 to 599 */
    STATUSES,
    MOST_BOUNDS = 18,
};

typedef atomic_uint_fast64_t counter;

/* How often a value was at most a bound (the last place: beyond all), and the sum of them. */
typedef struct {
    counter places[MOST_BOUNDS + 1], sum;
} histogram;

/* The bounds of a kind of histogram, and what one of its values is in the unit that it is told in. */
typedef struct {
    uint64_t bounds[MOST_BOUNDS];
    size_t count;
    double unit;
} scale;

#define MS UINT64_C(1000000)
static const scale times = {{MS / 20, MS / 10, MS / 5, MS / 2, MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS,
                             100 * MS, 200 * MS, 500 * MS, 1000 * MS, 2000 * MS, 5000 * MS, 10000 * MS,
                             30000 * MS},
                            18,
                            1e-9};
static const scale sizes = {
    {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864, 268435456, 1073741824},
    13,
    1};
static const scale batches = {{1, 2, 4, 8, 16, 32, 64}, 7, 1};

static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"};
static const char *const stages[] = {"parse", "queue", "compute", "encode", "send"};
static const char *const outcomes[] = {"ok", "partial", "failed"};
_Static_assert(LENGTH(stages) == STAGE_COUNT && LENGTH(outcomes) == RELOAD_OUTCOMES, "a word for each");

/* What is counted of one route. */
typedef struct {
    size_t first; /* the place of the first route with this path, where all are counted */
    counter requests[LENGTH(methods)][STATUSES];
    histogram duration;
} route_counts;

typedef struct {
    char name[80];
    counter rows;
} model_counts;

struct metrics {
    const http_routes *routes;
    histogram stages[STAGE_COUNT], bytes_in, bytes_out, batch;
    counter refused[PROBLEM_COUNT], reloads[RELOAD_OUTCOMES];
    counter reloaded;       /* when the last reload ended, in seconds since 1970; 0: there was none */
    pthread_mutex_t adding; /* held to add a model, never to count */
    _Atomic size_t model_count;
    model_counts models[MOST_MODELS + 1];
    route_counts counts[]; /* [routes->count + 1], the last for other paths */
};

metrics *metrics_new(const http_routes *routes) {
    metrics *m = calloc(1, sizeof *m + (routes->count + 1) * sizeof *m->counts);
    if (m == NULL)
        return NULL;
    m->routes = routes;
    for (size_t i = 0; i < routes->count; i++)
        while (strcmp(routes->rows[m->counts[i].first].path, routes->rows[i].path) != 0)
            m->counts[i].first++;
    m->counts[routes->count].first = routes->count;
    strcpy(m->models[MOST_MODELS].name, "other");
    pthread_mutex_init(&m->adding, NULL);
    return m;
}

void metrics_free(metrics *m) {
    if (m == NULL)
        return;
    pthread_mutex_destroy(&m->adding);
    free(m);
}

/* ---- Counting ---- */

static void add(counter *c, uint64_t value) {
    atomic_fetch_add_explicit(c, value, memory_order_relaxed);
}

static uint64_t get(const counter *c) {
    return atomic_load_explicit(c, memory_order_relaxed);
}

static void observe(histogram *h, const scale *s, uint64_t value) {
    size_t place = 0;
    while (place < s->count && value > s->bounds[place])
        place++;
    add(&h->places[place], 1);
    add(&h->sum, value);
}

static size_t place_of(const char *word, const char *const *words, size_t count) {
    size_t place = 0;
    while (place + 1 < count && strcmp(word, words[place]) != 0)
        place++;
    return place;
}

static route_counts *counts_of(metrics *m, const http_route *route) {
    const http_routes *all = m->routes;
    const bool is_known = route >= all->rows && route < all->rows + all->count;
    return &m->counts[m->counts[is_known ? (size_t)(route - all->rows) : all->count].first];
}

static size_t place_of_status(int status) {
    return status >= FIRST_STATUS && status < FIRST_STATUS + NO_STATUS ? (size_t)status - FIRST_STATUS
                                                                       : NO_STATUS;
}

void metrics_count(metrics *m, const metrics_request *r) {
    if (m == NULL)
        return;
    route_counts *route = counts_of(m, r->route);
    add(&route->requests[place_of(r->method, methods, LENGTH(methods))][place_of_status(r->status)], 1);
    observe(&route->duration, &times, r->duration);
    for (size_t i = 0; i < STAGE_COUNT; i++)
        if (r->stages[i] > 0)
            observe(&m->stages[i], &times, r->stages[i]);
    observe(&m->bytes_in, &sizes, r->bytes_in);
    observe(&m->bytes_out, &sizes, r->bytes_out);
    if (r->batch > 0)
        observe(&m->batch, &batches, r->batch);
    if (r->refused != PROBLEM_NONE)
        add(&m->refused[r->refused], 1);
}

/* The first places never change once they are counted in model_count, so that looking takes no lock. NULL: it
 * has no place yet. */
static model_counts *find_model(metrics *m, const char *name) {
    const size_t count = atomic_load_explicit(&m->model_count, memory_order_acquire);
    for (size_t i = 0; i < count; i++)
        if (strcmp(m->models[i].name, name) == 0)
            return &m->models[i];
    return count < MOST_MODELS ? NULL : &m->models[MOST_MODELS];
}

static model_counts *add_model(metrics *m, const char *name) {
    pthread_mutex_lock(&m->adding);
    model_counts *model = find_model(m, name);
    if (model == NULL) {
        const size_t count = m->model_count;
        model = &m->models[count];
        snprintf(model->name, sizeof model->name, "%s", name);
        atomic_store_explicit(&m->model_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&m->adding);
    return model;
}

void metrics_count_rows(metrics *m, const char *name, size_t rows) {
    if (m == NULL)
        return;
    model_counts *model = find_model(m, name);
    add(&(model == NULL ? add_model(m, name) : model)->rows, rows);
}

void metrics_count_reload(metrics *m, metrics_reload outcome) {
    if (m == NULL)
        return;
    add(&m->reloads[outcome], 1);
    atomic_store_explicit(&m->reloaded, (uint64_t)time(NULL), memory_order_relaxed);
}

/* ---- Telling ---- */

typedef struct {
    wire_buffer *out;
    bool open_metrics, complete;
} page;

static void __attribute__((format(printf, 2, 3))) write_text(page *p, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    p->complete = p->complete && length >= 0 && (size_t)length < sizeof line &&
                  wire_buffer_append(p->out, line, (size_t)length);
}

/* In OpenMetrics the family of a counter has no _total, which its samples have. */
static void write_family(page *p, const char *name, const char *type, const char *help) {
    const char *total = strcmp(type, "counter") == 0 && !p->open_metrics ? "_total" : "";
    write_text(p, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total, type);
}

/* A bound as OpenMetrics wants it, so that it is the same in both formats: a whole number ends in .0. */
static void write_bound(char text[32], double bound) {
    snprintf(text, 28, "%.12g", bound);
    if (strcspn(text, ".e") == strlen(text))
        strcat(text, ".0");
}

/* `labels` is what stands between the braces, or "". */
static void write_sample(page *p, const char *name, const char *suffix, const char *labels, double value) {
    const char *open = *labels == '\0' ? "" : "{", *close = *labels == '\0' ? "" : "}";
    write_text(p, "%s%s%s%s%s %.15g\n", name, suffix, open, labels, close, value);
}

static void write_histogram(page *p, const char *name, const char *labels, const histogram *h,
                            const scale *s) {
    const char *comma = *labels == '\0' ? "" : ",";
    uint64_t count = 0;
    for (size_t i = 0; i <= s->count; i++) {
        char bound[32] = "+Inf";
        if (i < s->count)
            write_bound(bound, (double)s->bounds[i] * s->unit);
        count += get(&h->places[i]);
        write_text(p, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma, bound, count);
    }
    write_sample(p, name, "_sum", labels, (double)get(&h->sum) * s->unit);
    write_sample(p, name, "_count", labels, (double)count);
}

static void write_requests(page *p, const route_counts *counts, const char *path) {
    for (size_t i = 0; i < LENGTH(methods); i++)
        for (size_t j = 0; j < STATUSES; j++) {
            const uint64_t count = get(&counts->requests[i][j]);
            char status[24] = "none";
            if (count == 0) /* as nearly all of them */
                continue;
            if (j != NO_STATUS)
                snprintf(status, sizeof status, "%zu", j + FIRST_STATUS);
            write_text(p,
                       "attend_http_requests_total{route=\"%s\",method=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                       path, methods[i], status, count);
        }
}

static void write_duration(page *p, const route_counts *counts, const char *path) {
    char labels[160];
    snprintf(labels, sizeof labels, "route=\"%s\"", path);
    write_histogram(p, "attend_http_request_duration_seconds", labels, &counts->duration, &times);
}

static void for_each_route(page *p, const metrics *m,
                           void write(page *, const route_counts *, const char *)) {
    for (size_t i = 0; i <= m->routes->count; i++)
        if (m->counts[i].first == i)
            write(p, &m->counts[i], i < m->routes->count ? m->routes->rows[i].path : "other");
}

static void write_routes(page *p, const metrics *m) {
    write_family(p, "attend_http_requests", "counter",
                 "Requests by route, method and status; none: the client left before it was answered.");
    for_each_route(p, m, write_requests);
    write_family(p, "attend_http_request_duration_seconds", "histogram",
                 "From the first line of a request to the last byte of its answer.");
    for_each_route(p, m, write_duration);
}

static void write_stages(page *p, const metrics *m) {
    write_family(p, "attend_stage_duration_seconds", "histogram", "How long requests took for what.");
    for (size_t i = 0; i < STAGE_COUNT; i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "stage=\"%s\"", stages[i]);
        write_histogram(p, "attend_stage_duration_seconds", labels, &m->stages[i], &times);
    }
    write_family(p, "attend_http_request_bytes", "histogram", "Bytes of a request's body, as it came.");
    write_histogram(p, "attend_http_request_bytes", "", &m->bytes_in, &sizes);
    write_family(p, "attend_http_answer_bytes", "histogram", "Bytes of an answer's body, as it was sent.");
    write_histogram(p, "attend_http_answer_bytes", "", &m->bytes_out, &sizes);
    write_family(p, "attend_batch_requests", "histogram", "Requests that were computed together.");
    write_histogram(p, "attend_batch_requests", "", &m->batch, &batches);
}

static void write_counters(page *p, const metrics *m) {
    const size_t count = atomic_load_explicit(&m->model_count, memory_order_acquire);
    write_family(p, "attend_rows", "counter", "Rows of queries that were computed.");
    for (size_t i = 0; i < count || (i == MOST_MODELS && get(&m->models[i].rows) > 0); i++)
        write_text(p, "attend_rows_total{model=\"%s\"} %" PRIu64 "\n", m->models[i].name,
                   get(&m->models[i].rows));
    write_family(p, "attend_refused", "counter", "Requests that were refused, by the code of the answer.");
    for (size_t i = 1; i < PROBLEM_COUNT; i++)
        write_text(p, "attend_refused_total{code=\"%s\"} %" PRIu64 "\n", problem_name((problem_code)i),
                   get(&m->refused[i]));
    write_family(p, "attend_reloads", "counter", "Reloads of models, keys and certificates.");
    for (size_t i = 0; i < RELOAD_OUTCOMES; i++)
        write_text(p, "attend_reloads_total{outcome=\"%s\"} %" PRIu64 "\n", outcomes[i], get(&m->reloads[i]));
    write_family(p, "attend_last_reload_timestamp_seconds", "gauge",
                 "When the last reload ended, since 1970; 0: there was none.");
    write_sample(p, "attend_last_reload_timestamp_seconds", "", "", (double)get(&m->reloaded));
}

/* Takes the ending off a name that has it. */
static bool cut_ending(char *name, const char *ending) {
    const size_t length = strlen(name), cut = strlen(ending);
    const bool has = length > cut && strcmp(name + length - cut, ending) == 0;
    if (has)
        name[length - cut] = '\0';
    return has;
}

static void write_gauge_family(page *p, const metrics_gauge *g) {
    char name[80];
    snprintf(name, sizeof name, "%s", g->name);
    if (cut_ending(name, "_total"))
        write_family(p, name, "counter", g->help);
    else if (p->open_metrics && cut_ending(name, "_info"))
        write_family(p, name, "info", g->help);
    else
        write_family(p, name, "gauge", g->help);
}

bool metrics_write(const metrics *m, const metrics_gauge *gauges, size_t count, bool open_metrics,
                   wire_buffer *out) {
    page p = {out, open_metrics, true};
    write_routes(&p, m);
    write_stages(&p, m);
    write_counters(&p, m);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(gauges[i].name, gauges[i - 1].name) != 0)
            write_gauge_family(&p, &gauges[i]);
        write_sample(&p, gauges[i].name, "", gauges[i].labels, gauges[i].value);
    }
    if (open_metrics)
        write_text(&p, "# EOF\n");
    return p.complete;
}
