/* What it is worth to compute 32 requests of one token together: one call of the core's for all of them
 * against one call for each, in turns; medians, and the same bits. */
#include "core/kernels/choose.h"
#include "core/model/load.h"
#include "server/machine.h"
#include "server/scheduler.h"
#include "tests/bench/timing.h"
#include "tests/random.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS ((size_t)32)
#define TURNS    31

static const char *const specs[] = {
    "init:embed_dim=512,num_heads=8",
    "init:embed_dim=768,num_heads=12",
    "init:embed_dim=4096,num_heads=32,num_kv_heads=8",
};

/* A layer and its requests: a job, so that a pool's worker computes it and the others can help. */
typedef struct {
    sched_job job;
    const attn_layer *layer;
    const attn_parallel *parallel;
    attn_input inputs[REQUESTS];
    attn_output outputs[REQUESTS], alone[REQUESTS];
    attn_arena *work[REQUESTS];
    double microseconds[2][TURNS]; /* one by one, together */
    pthread_barrier_t done;
} bench;

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL)
        abort();
    return memory;
}

static bench *new_bench(const attn_layer *layer, uint64_t *seed) {
    const size_t E = layer->config.embed_dim;
    bench *b = allocate(1, sizeof *b);
    b->layer = layer;
    for (size_t i = 0; i < REQUESTS; i++) {
        float *token = allocate(E, sizeof *token);
        for (size_t e = 0; e < E; e++)
            token[e] = random_float(seed);
        b->inputs[i] = (attn_input){.B = 1, .L = 1, .S = 1, .query = token, .key = token, .value = token};
        b->outputs[i].output = allocate(E, sizeof(float));
        b->alone[i].output = allocate(E, sizeof(float));
        b->work[i] = attn_arena_new(NULL);
    }
    return b;
}

/* Computes all requests in calls of so many, and returns the time. */
static double run(bench *b, const attn_output *outputs, size_t together) {
    attn_job jobs[REQUESTS];
    for (size_t i = 0; i < REQUESTS; i++)
        jobs[i] = (attn_job){.input = &b->inputs[i], .output = &outputs[i], .work = b->work[i]};
    const double began = 1e6 * seconds_on(CLOCK_MONOTONIC);
    for (size_t i = 0; i < REQUESTS; i += together)
        attn_forward_batch(b->layer, &jobs[i], together, b->parallel);
    const double took = 1e6 * seconds_on(CLOCK_MONOTONIC) - began;
    for (size_t i = 0; i < REQUESTS; i++)
        if (jobs[i].status != ATTN_OK) {
            fprintf(stderr, "%s\n", jobs[i].error.text);
            exit(EXIT_FAILURE);
        }
    return took;
}

static void measure(bench *b) {
    for (int turn = 0; turn < TURNS; turn++) {
        b->microseconds[0][turn] = run(b, b->alone, 1);
        b->microseconds[1][turn] = run(b, b->outputs, REQUESTS);
    }
    for (size_t i = 0; i < REQUESTS; i++)
        if (memcmp(b->alone[i].output, b->outputs[i].output, b->layer->config.embed_dim * sizeof(float)) !=
            0) {
            fprintf(stderr, "request %zu: other bits in company\n", i);
            exit(EXIT_FAILURE);
        }
}

static bool prepare(sched_job *job) {
    (void)job;
    return true;
}

static void compute(sched_job *const *jobs, size_t count) {
    (void)count; /* there is one */
    measure((bench *)(void *)jobs[0]);
}

static void finish(sched_job *job) {
    pthread_barrier_wait(&((bench *)(void *)job)->done);
}

static const sched_steps steps = {.prepare = prepare, .compute = compute, .finish = finish};

static void bench_layer(const char *spec, scheduler *pool, size_t threads, uint64_t *seed) {
    attn_registry registry = {0};
    attn_error error;
    if (attn_registry_load(&registry, spec, &error) != ATTN_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(EXIT_FAILURE);
    }
    bench *b = new_bench(&registry.models[0]->layer, seed);
    b->job = (sched_job){.steps = &steps, .deadline = UINT64_MAX};
    b->parallel = threads == 1 ? NULL : sched_parallel(pool);
    pthread_barrier_init(&b->done, NULL, 2);
    sched_submit(pool, &b->job);
    pthread_barrier_wait(&b->done);
    const double apart = median(b->microseconds[0], TURNS), together = median(b->microseconds[1], TURNS);
    printf("%-50s %7zu %12.1f %12.1f %8.2f\n", spec, threads, apart / (double)REQUESTS,
           together / (double)REQUESTS, apart / together);
    for (size_t i = 0; i < REQUESTS; i++) {
        free((void *)(uintptr_t)b->inputs[i].query);
        free(b->outputs[i].output);
        free(b->alone[i].output);
        attn_arena_free(b->work[i]);
    }
    pthread_barrier_destroy(&b->done);
    free(b);
    attn_registry_free(&registry);
}

int main(int argc, char **argv) {
    const char *const *list = argc > 1 ? (const char *const *)(argv + 1) : specs;
    const size_t count = argc > 1 ? (size_t)argc - 1 : sizeof specs / sizeof specs[0], cpus = machine_cpus();
    uint64_t seed = test_seed("bench_batch");
    scheduler *pool = sched_new(cpus, false, 1, NULL);
    if (pool == NULL)
        return EXIT_FAILURE;
    printf("%zu requests of one token, kernels %s: microseconds a request, medians of %d turns\n", REQUESTS,
           attn_kernels_named("auto")->name, TURNS);
    printf("%-50s %7s %12s %12s %8s\n", "", "threads", "one by one", "together", "ratio");
    for (size_t i = 0; i < count; i++) {
        bench_layer(list[i], pool, 1, &seed);
        if (cpus > 1)
            bench_layer(list[i], pool, cpus, &seed);
    }
    sched_free(pool);
    return EXIT_SUCCESS;
}
