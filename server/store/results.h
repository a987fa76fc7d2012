/* results.h: the results that are kept for a while, under ids that cannot be guessed. Safe to use from
 * several threads.
 *
 * All of them together take at most so many bytes (--results-memory): the one that was used least recently
 * makes room for a new one. Each lives at most so long (--results-ttl). */
#ifndef STORE_RESULTS_H
#define STORE_RESULTS_H

#include "server/attend/kept.h"
#include "server/problem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define RESULTS_PATH "/results/" /* what the path of a kept result begins with; its id follows */

typedef struct results results;

/* `limit` in bytes, `lifetime` in nanoseconds on `clock`. Without a clock it is clock_now, and a thread of
 * the store's own removes what has expired; with one, that is done at each call. NULL if memory or the thread
 * could not be had. */
results *results_new(size_t limit, uint64_t lifetime, uint64_t (*clock)(void));

/* Frees the store and all in it. Nothing may be taken any more. NULL is allowed. */
void results_free(results *r);

/* Could this be kept? Before anything is computed. Fails with too_large, which names the flag. */
problem_code results_check(const results *r, const attend_request *request, const attend_call *call,
                           problem *p);

/* Draws an id, sets call->result_url to its path, and keeps a copy. Fails with *p filled in, and an empty
 * result_url: there are no random numbers or no memory, too much of the store is in use at this moment, or
 * the control (NULL: there is none) says stop. */
problem_code results_put(results *r, const attend_request *request, attend_call *call,
                         const attn_control *control, problem *p);

/* What is said of a kept result beside the result itself. */
typedef struct {
    const kept_result *kept; /* NULL: it is not there */
    time_t created;          /* seconds since 1970 */
    uint64_t seconds_left;   /* rounded up */
    void *entry;             /* the store's own */
} results_taken;

/* Looks it up, which counts as a use. What is found stays there until it is given back, even if the store
 * forgets it meanwhile. */
results_taken results_take(results *r, const char *id);
void results_give_back(results *r, const results_taken *taken);

/* Is it there? That counts as a use too. */
bool results_has(results *r, const char *id);

/* Removes a result; false if it is not there. */
bool results_delete(results *r, const char *id);

/* Bytes that are taken now, and results. */
size_t results_used(results *r);
size_t results_count(results *r);

#endif
