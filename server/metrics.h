/* metrics.h: what the service counts of itself, and how it tells (Prometheus text format 0.0.4,
 * OpenMetrics 1.0).
 *
 * Counting takes no lock: each number is an atomic that is added to. Labels have values from fixed sets
 * alone, never from a request. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "server/http/route.h"
#include "server/problem.h"
#include "server/wire/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { STAGE_PARSE, STAGE_QUEUE, STAGE_COMPUTE, STAGE_ENCODE, STAGE_SEND, STAGE_COUNT } metrics_stage;

/* How a reload ended: all of it is new; some of it; nothing. */
typedef enum { RELOAD_OK, RELOAD_PARTIAL, RELOAD_FAILED, RELOAD_OUTCOMES } metrics_reload;

/* A request that is over. */
typedef struct {
    const http_route *route; /* one of those of metrics_new; any other, or NULL: another path */
    const char *method;
    int status;                   /* 0: the client left before it had one */
    problem_code refused;         /* why it was refused, or PROBLEM_NONE */
    uint64_t duration;            /* nanoseconds from its first line to the last byte of its answer */
    uint64_t stages[STAGE_COUNT]; /* nanoseconds; 0 for what it did not go through */
    uint64_t bytes_in, bytes_out; /* of the bodies */
    size_t batch;                 /* requests that were computed together with it, or 0 */
} metrics_request;

/* What is measured when it is asked for, beside what is counted: a gauge, a counter if the name ends in
 * _total, in OpenMetrics an info if it ends in _info. */
typedef struct {
    const char *name;   /* of the family, as in "attend_memory_bytes" */
    const char *labels; /* what stands between the braces, as in "use=\"models\"", or "" */
    const char *help;   /* of the family; that of its first row is told */
    double value;
} metrics_gauge;

typedef struct metrics metrics;

/* For these routes, which must outlive it; those with one path count together. NULL: no memory. */
metrics *metrics_new(const http_routes *routes);

/* NULL is allowed, here and where something is counted: then it is not. */
void metrics_free(metrics *m);

void metrics_count(metrics *m, const metrics_request *r);

/* So many rows were computed for the model; 0: there is such a model. One beyond the first 256 counts as
 * "other". */
void metrics_count_rows(metrics *m, const char *model, size_t rows);

void metrics_count_reload(metrics *m, metrics_reload outcome);

/* Writes all that is counted, and the gauges [count], of which those of one family follow each other. False:
 * no memory. */
bool metrics_write(const metrics *m, const metrics_gauge *gauges, size_t count, bool open_metrics,
                   wire_buffer *out);

#endif
