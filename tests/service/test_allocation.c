/* Every allocation of the program's own fails once, one after the other, from the start to the exit. The
 * program then refuses to start with one line, or the request that met the failure gets 507 and the next one
 * its answer. */
#include "tests/service/harness.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITISED true /* a sanitizer brings its own allocator, which cannot be replaced */
#else
#define SANITISED false
#endif

#define SMALL "small=init:embed_dim=8,num_heads=2,seed=5,precision=int8"

/* Stands for a body with so many rows that it, its tensor and its answer are blocks of their own: more than
 * core/blocks.h leaves to malloc. */
#define LARGE "+"
#define ROWS  4000

#define KEPT "*" /* stands for the path of the result that the step before has kept */

typedef struct {
    const char *path, *body;
    long status;
} step;

static const step steps[] = {
    {"/attend", "{\"id\":\"x\",\"query\":[[[1,2,3,4,5,6,7,8]]],\"need_weights\":true}", 200},
    {"/attend", LARGE, 200},
    {"/models", NULL, 200},
    {"/attend", "{\"query\":[[1]]}", 400},
    {"/readyz", NULL, 200},
    {"/metrics", NULL, 200},
    {"/attend", "{\"query\":[[1,2,3,4,5,6,7,8]],\"is_causal\":true}", 200},
    {"/attend",
     "{\"query\":[[1,2,3,4,5,6,7,8]],\"need_weights\":true,\"view\":{\"heads\":[1],\"rows\":[0,1],\"top_k\":"
     "1},"
     "\"return\":[\"q\",\"k\",\"v\",\"scores\",\"lse\",\"entropy\",\"head_output\",\"stats\"]}",
     200},
    {"/attend", "{\"query\":[[1,2,3,4,5,6,7,8]],\"need_weights\":true,\"view\":{\"size\":[1,1]}}", 200},
    {"/attend", "{\"head_output\":[[[1,2,3,4]],[[5,6,7,8]]]}", 200},
    {"/attend",
     "{\"query\":[[1,2,3,4,5,6,7,8]],\"keep\":true,\"query_labels\":[\"a\"],\"view\":{\"rows\":[0,1]}}", 200},
    {KEPT "", NULL, 200},
    {KEPT ".json", NULL, 200},
    {KEPT "/heatmap.png?head=mean", NULL, 200},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* {"query":[[0.5,...],...]} */
static const char *large_body(void) {
    static char body[ROWS * 40];
    size_t length = (size_t)sprintf(body, "{\"query\":[");
    for (size_t i = 0; i < ROWS; i++)
        length += (size_t)sprintf(body + length, "%s[0.5,1,2,3,4,5,6,%zu]", i == 0 ? "" : ",", i);
    sprintf(body + length, "]}");
    return body;
}

/* Runs all steps; returns how many got 507 instead of their answer. Whatever else comes is a failed test. */
static int run_steps(const server *s, int failing) {
    int refused = 0;
    char kept[100] = "", path[150];
    for (int i = 0; i < STEPS; i++) {
        const bool of_kept = strncmp(steps[i].path, KEPT, strlen(KEPT)) == 0;
        if (of_kept && *kept == '\0')
            continue; /* its step was refused */
        snprintf(path, sizeof path, "%s%s", of_kept ? kept : "",
                 steps[i].path + (of_kept ? strlen(KEPT) : 0));
        const char *body = steps[i].body;
        answer a =
            http_request(s, path, body == NULL || strcmp(body, LARGE) != 0 ? body : large_body(), NULL);
        /* The one failure that is not answered: there is no memory to know the connection by. */
        const bool closed = a.status == 0, out_of_memory = a.status == 507;
        cr_assert(a.status == steps[i].status || out_of_memory || closed, "allocation %d, step %d: %ld %s",
                  failing, i, a.status, a.body);
        cr_assert(!out_of_memory || strstr(a.body, "out_of_memory") != NULL, "%s", a.body);
        refused += out_of_memory || closed;
        const char *found = a.body == NULL ? NULL : strstr(a.body, "\"result_url\":\"");
        if (found != NULL && !of_kept)
            snprintf(kept, sizeof kept, "%.*s", (int)strcspn(found + 14, "\""), found + 14);
    }
    return refused;
}

Test(allocation, each_failure_is_an_error_like_any_other, .disabled = SANITISED) {
    int unstarted = 0, refused = 0, failing = 1;
    setenv("LD_PRELOAD", FAIL_ALLOCATION_LIBRARY, 1);
    for (bool reached = true; reached; failing++) {
        char number[16], said[4096];
        server s;
        snprintf(number, sizeof number, "%d", failing);
        setenv("FAIL_ALLOCATION", number, 1);
        const bool started = server_try_start(&s, said, sizeof said, "--model", SMALL, "--threads", "1",
                                              "--drain-seconds", "0", "--log-level", "error", NULL);
        const int without = started ? run_steps(&s, failing) : 0;
        cr_assert_leq(without, 1, "allocation %d: %d requests were refused for one failure", failing,
                      without);
        if (started)
            kill(s.pid, SIGTERM);
        const int code = server_collect(&s, said, sizeof said);
        cr_assert_eq(code, started ? 0 : 2, "allocation %d: exit code %d: %s", failing, code, said);
        cr_assert(started || strncmp(said, "attend-server: ", 15) == 0, "allocation %d: %s", failing, said);
        const char *count = strstr(said, "allocations: ");
        cr_assert_not_null(count, "%s", said);
        reached = atoi(count + 13) >= failing;
        unstarted += !started;
        refused += without;
    }
    fprintf(stderr, "%d allocations failed: %d stopped the start, %d met a request\n", failing - 2, unstarted,
            refused);
    cr_assert(unstarted > 3 && refused > 20);
}
