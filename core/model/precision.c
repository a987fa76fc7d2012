#include "core/model/precision.h"

#include "core/splitmix64.h"

#include <math.h>
#include <stdlib.h>

/* Each row of output belongs to a batch entry of its own: within one, attention would make rows alike. */
enum { ENTRIES = 16, KEYS = 4 };

/* A random array [rows, width]; NULL without memory. */
static float *draw(attn_arena *work, size_t rows, size_t width, uint64_t *state) {
    float *array = attn_arena_array(work, width, rows * sizeof *array);
    for (size_t i = 0; array != NULL && i < rows * width; i++)
        array[i] = attn_splitmix64_float(state);
    return array;
}

/* The root mean square of a column of x, or of x - y if y is given. */
static double size_of_column(const float *x, const float *y, size_t column, size_t width) {
    double sum = 0;
    for (size_t i = column; i < ENTRIES * width; i += width) {
        const double number = (double)x[i] - (y == NULL ? 0 : (double)y[i]);
        sum += number * number;
    }
    return sqrt(sum / ENTRIES);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Each column by itself: a large one would hide the error of the others. A column smaller than the median is
 * compared with that, as it may be close to zero. `sizes` is [width] of working memory. */
static double compare(const float *found, const float *expected, size_t width, double *sizes) {
    double worst = 0;
    for (size_t column = 0; column < width; column++)
        sizes[column] = size_of_column(expected, NULL, column, width);
    qsort(sizes, width, sizeof *sizes, by_size);
    const double median = sizes[width / 2];
    for (size_t column = 0; column < width; column++) {
        const double size = fmax(size_of_column(expected, NULL, column, width), median);
        worst = fmax(worst, size > 0 ? size_of_column(found, expected, column, width) / size : 0);
    }
    return worst;
}

static attn_status measure(const attn_layer *narrow, const attn_layer *wide, attn_arena *work,
                           double *error) {
    const attn_config *config = &narrow->config;
    const size_t E = config->embed_dim;
    uint64_t state = 0;
    const attn_input input = {.B = ENTRIES,
                              .L = 1,
                              .S = KEYS,
                              .query = draw(work, ENTRIES, E, &state),
                              .key = draw(work, ENTRIES * KEYS, config->kdim, &state),
                              .value = draw(work, ENTRIES * KEYS, config->vdim, &state),
                              .is_causal = config->causal,
                              .query_offset = KEYS - 1};
    float *outputs[2];
    for (size_t i = 0; i < 2; i++)
        outputs[i] = attn_arena_array(work, E, ENTRIES * sizeof(float));
    double *const sizes = attn_arena_array(work, E, sizeof *sizes);
    if (input.query == NULL || input.key == NULL || input.value == NULL || outputs[0] == NULL ||
        outputs[1] == NULL || sizes == NULL)
        return ATTN_NO_MEMORY;
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < 2 && status == ATTN_OK; i++)
        status = attn_forward(i == 0 ? narrow : wide, &input, &(attn_output){.output = outputs[i]}, work,
                              NULL, NULL);
    *error = status == ATTN_OK ? compare(outputs[0], outputs[1], E, sizes) : (double)NAN;
    return status == ATTN_BAD_VALUE ? ATTN_OK : status;
}

attn_status attn_precision_error(const attn_layer *narrow, const attn_layer *wide, double *error) {
    attn_arena *work = attn_arena_new(NULL);
    const attn_status status = work == NULL ? ATTN_NO_MEMORY : measure(narrow, wide, work, error);
    attn_arena_free(work);
    return status;
}
