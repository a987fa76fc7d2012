/* options.h: what the service was told at its start, by flags and by the environment. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "core/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define OPTIONS_MAX_MODELS 256

typedef enum { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } log_level;

typedef struct {
    const char *host;
    size_t port;
    char *models[OPTIONS_MAX_MODELS]; /* [NAME=]SPEC, owned */
    size_t model_count;
    size_t precision;            /* attn_precision */
    size_t threads;              /* 0: the CPUs that the process may use */
    const attn_kernels *kernels; /* --cpu */
    size_t max_body;             /* bytes */
    size_t max_answer;           /* bytes */
    size_t max_memory;           /* bytes; 0: half of what the machine or the cgroup has */
    size_t max_queue;            /* requests */
    size_t max_connections;
    size_t results_memory;  /* bytes */
    size_t results_ttl;     /* seconds */
    size_t read_timeout;    /* milliseconds */
    size_t idle_timeout;    /* milliseconds */
    size_t write_timeout;   /* milliseconds */
    size_t request_timeout; /* milliseconds */
    size_t drain_seconds;
    size_t drain_timeout; /* seconds */
    size_t level;         /* log_level */
    size_t self_check;    /* 0 or 1 */
    bool check, probe, version, help;
    bool ignored_service_port; /* ATTEND_PORT was Kubernetes's, not ours */
} options;

/* Reads the flags, then the environment (ATTEND_<FLAG>) for what no flag has set, then the defaults. False if
 * a value is bad: then `sentence` [size] says which, and what was expected. The caller frees with
 * options_free. */
bool options_read(options *o, int argc, char **argv, char *sentence, size_t size);

void options_free(options *o);

/* Prints the table of flags for --help. */
void options_print_help(FILE *out);

#endif
