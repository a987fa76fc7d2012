#include "core/model/precision.h"

#include "core/splitmix64.h"

#include <math.h>

enum { LENGTH = 16 };

/* A random array [LENGTH, width]; NULL without memory. */
static float *draw(attn_arena *work, size_t width, uint64_t *state) {
    float *array = attn_arena_array(work, width, LENGTH * sizeof *array);
    for (size_t i = 0; array != NULL && i < width * LENGTH; i++)
        array[i] = attn_splitmix64_float(state);
    return array;
}

/* The largest difference, relative to the largest number expected. */
static double compare(const float *found, const float *expected, size_t count) {
    double difference = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs((double)found[i] - (double)expected[i]));
        largest = fmax(largest, fabs((double)expected[i]));
    }
    return largest > 0 ? difference / largest : difference;
}

static attn_status measure(const attn_layer *narrow, const attn_layer *wide, attn_arena *work,
                           double *error) {
    const attn_config *config = &narrow->config;
    uint64_t state = 0;
    const attn_input input = {.B = 1,
                              .L = LENGTH,
                              .S = LENGTH,
                              .query = draw(work, config->embed_dim, &state),
                              .key = draw(work, config->kdim, &state),
                              .value = draw(work, config->vdim, &state),
                              .is_causal = config->causal};
    float *outputs[2];
    for (size_t i = 0; i < 2; i++)
        outputs[i] = attn_arena_array(work, config->embed_dim, LENGTH * sizeof(float));
    if (input.query == NULL || input.key == NULL || input.value == NULL || outputs[0] == NULL ||
        outputs[1] == NULL)
        return ATTN_NO_MEMORY;
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < 2 && status == ATTN_OK; i++)
        status = attn_forward(i == 0 ? narrow : wide, &input, &(attn_output){.output = outputs[i]}, work,
                              NULL, NULL);
    *error = status == ATTN_OK ? compare(outputs[0], outputs[1], config->embed_dim * LENGTH) : (double)NAN;
    return status == ATTN_BAD_VALUE ? ATTN_OK : status;
}

attn_status attn_precision_error(const attn_layer *narrow, const attn_layer *wide, double *error) {
    attn_arena *work = attn_arena_new(NULL);
    const attn_status status = work == NULL ? ATTN_NO_MEMORY : measure(narrow, wide, work, error);
    attn_arena_free(work);
    return status;
}
