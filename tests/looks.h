/* looks.h: a control that measures how long it is not asked, in CPU time of the thread that asks it: so that
 * what else runs on the machine does not count. */
#ifndef TESTS_LOOKS_H
#define TESTS_LOOKS_H

#include "core/attention.h"

#include <stdint.h>
#include <time.h>

/* What is promised: work ends within so many milliseconds of its deadline. Sanitizers are slow. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LONGEST_UNLOOKED 500.0
#else
#define LONGEST_UNLOOKED 50.0
#endif

typedef struct {
    size_t looks;    /* so far */
    size_t stops_at; /* the look from which on the answer is to stop; 0: never */
    double longest;  /* milliseconds between two looks, or before the first, or after the last */
    double last;     /* when it was asked last */
} looks;

static inline double cpu_milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The work begins, or ends. */
static inline void looks_mark(looks *l) {
    const double now = cpu_milliseconds(), gap = now - l->last;
    l->longest = l->last > 0 && gap > l->longest ? gap : l->longest;
    l->last = now;
}

static inline bool looks_ask(void *context) {
    looks *l = context;
    looks_mark(l);
    l->looks++;
    return l->stops_at != 0 && l->looks >= l->stops_at;
}

#endif
