/* bench_tiny.c: does a pass of small numbers take longer than one of ordinary numbers? 512 numbers wide, 8
 * heads, 32 positions, on one thread; in turns, medians, as times of the time for numbers of size 1.
 *
 *     bench_tiny [SET...]      sets of kernels; none: all that this CPU has */
#include "core/attention.h"
#include "core/kernels/choose.h"
#include "tests/bench/timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { E = 512, H = 8, L = 32, WEIGHTS = 4, SIZES = 4, ROUNDS = 15 };
static const float sizes[SIZES] = {1, 1e-20f, 1e-37f, 1e-40f};

static void fill(float *x, size_t count, float size) {
    for (size_t n = 0; n < count; n++)
        x[n] = size * (float)(drand48() - 0.5);
}

static attn_layer new_layer(const attn_kernels *kernels) {
    static float weight[E * E];
    attn_layer layer = {
        .config =
            {.embed_dim = E, .num_heads = H, .num_kv_heads = H, .head_dim = E / H, .kdim = E, .vdim = E},
        .kernels = kernels};
    attn_packed *const packed[WEIGHTS] = {&layer.q_weight, &layer.k_weight, &layer.v_weight, &layer.o_weight};
    for (size_t n = 0; n < WEIGHTS; n++) {
        fill(weight, (size_t)E * E, 0.15f);
        if (!attn_pack(packed[n], kernels, ATTN_FLOAT32, E, E, weight))
            abort();
    }
    return layer;
}

static void free_layer(attn_layer *layer) {
    attn_packed_free(&layer->q_weight);
    attn_packed_free(&layer->k_weight);
    attn_packed_free(&layer->v_weight);
    attn_packed_free(&layer->o_weight);
}

static double seconds(const attn_layer *layer, const float *x) {
    static float output[L * E];
    const attn_input input = {.B = 1, .L = L, .S = L, .query = x, .key = x, .value = x};
    attn_arena *work = attn_arena_new(NULL);
    const double start = seconds_on(CLOCK_THREAD_CPUTIME_ID);
    if (work == NULL ||
        attn_forward(layer, &input, &(attn_output){.output = output}, work, NULL, NULL) != ATTN_OK)
        abort();
    const double end = seconds_on(CLOCK_THREAD_CPUTIME_ID);
    attn_arena_free(work);
    return end - start;
}

static void measure(const attn_kernels *kernels) {
    static float x[SIZES][L * E];
    double times[SIZES][ROUNDS], middle[SIZES];
    attn_layer layer = new_layer(kernels);
    for (size_t n = 0; n < SIZES; n++)
        fill(x[n], (size_t)L * E, sizes[n]);
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t n = 0; n < SIZES; n++)
            times[n][round] = seconds(&layer, x[n]);
    for (size_t n = 0; n < SIZES; n++)
        middle[n] = median(times[n], ROUNDS);
    printf("%-8s  numbers of size 1 %8.3f ms", kernels->name, middle[0] * 1e3);
    for (size_t n = 1; n < SIZES; n++)
        printf("  of %g %6.2fx", (double)sizes[n], middle[n] / middle[0]);
    printf("\n");
    free_layer(&layer);
}

int main(int argc, char **argv) {
    char names[128];
    snprintf(names, sizeof names, "%s", attn_kernels_names());
    for (char *name = strtok(names, ", "); argc < 2 && name != NULL; name = strtok(NULL, ", "))
        measure(attn_kernels_named(name));
    for (int n = 1; n < argc; n++) {
        const attn_kernels *kernels = attn_kernels_named(argv[n]);
        if (kernels == NULL) {
            fprintf(stderr, "this CPU has: %s\n", attn_kernels_names());
            return 2;
        }
        measure(kernels);
    }
    return 0;
}
