/* options.h: what the service was told at its start, by flags and by the environment. */
#ifndef SERVER_OPTIONS_H
#define SERVER_OPTIONS_H

#include "core/kernels/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OPTIONS_LIST_MAX 256
#define OPTIONS_NONE     SIZE_MAX /* a number that was not given */

typedef enum { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG } log_level;

/* A flag that may be there more than once. */
typedef struct {
    char *words[OPTIONS_LIST_MAX]; /* owned */
    size_t count;
} option_list;

typedef struct {
    const char *host;
    size_t port, admin_port;     /* admin_port: OPTIONS_NONE without one */
    option_list models;          /* [NAME=]SPEC */
    option_list allowed_hosts;   /* empty: as --host says */
    option_list cors_origins;    /* exact */
    const char *api_key_file;    /* NULL: no key is asked for */
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
    bool check, probe, new_key, version, help;
    const char *ignored_port; /* ATTEND_PORT or ATTEND_ADMIN_PORT was Kubernetes's, not ours */
} options;

/* Reads the flags, then the environment (ATTEND_<FLAG>) for what no flag has set, then the defaults. False if
 * a value is bad: then `sentence` [size] says which, and what was expected. The caller frees with
 * options_free. */
bool options_read(options *o, int argc, char **argv, char *sentence, size_t size);

void options_free(options *o);

/* Prints the table of flags for --help. */
void options_print_help(FILE *out);

#endif
