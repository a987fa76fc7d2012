/* rows.c: part of the self-check: what works on rows of scores. */
#include "core/self_check/hold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST ((size_t)100)     /* numbers of a row: more than several vectors of any kernel */
#define ROW     (LARGEST + 3)     /* from one row to the next */
#define CLOSE   ((double)0x1p-18) /* relative error of what goes through an exponential */

/* ---- The softmax ---- */

enum { TILES = 2, TILE_KEYS_MAX = 40, TILE_WIDTH_MAX = 64 };

typedef struct {
    float scores[TILES][TILE_KEYS_MAX * TILE_WIDTH_MAX], tile[TILE_KEYS_MAX * TILE_WIDTH_MAX];
    float max[TILE_WIDTH_MAX], factor[TILE_WIDTH_MAX];
    double sum[TILE_WIDTH_MAX];
    size_t keys, width;
} softmax;

/* What exp(score - largest) is, for a column in which all may be excluded. */
static double exponential_of(float score, double largest) {
    return isinf(score) ? 0 : exp((double)score - largest);
}

/* Holds `tile`, made of `scores`, against exp(score - max) / divisor. */
static attn_status compare_tile(const attn_checking *c, const softmax *s, const char *kernel,
                                const float *scores, const double *divisor) {
    char shape[32];
    snprintf(shape, sizeof shape, "%zu keys", s->keys);
    for (size_t i = 0; i < s->keys * s->width; i++) {
        const size_t q = i % s->width;
        double expected = exponential_of(scores[i], (double)s->max[q]);
        if (divisor != NULL && divisor[q] > 0)
            expected /= divisor[q];
        const attn_status status =
            attn_check_hold(c, kernel, shape, (double)s->tile[i], expected, expected * CLOSE);
        if (status != ATTN_OK)
            return status;
    }
    return ATTN_OK;
}

/* Holds the maximum and the sum after all tiles against those of all scores at once. */
static attn_status compare_sums(const attn_checking *c, const softmax *s) {
    for (size_t q = 0; q < s->width; q++) {
        double largest = -(double)INFINITY, sum = 0;
        for (size_t t = 0; t < TILES; t++)
            for (size_t j = 0; j < s->keys; j++)
                largest = fmax(largest, (double)s->scores[t][j * s->width + q]);
        for (size_t t = 0; t < TILES; t++)
            for (size_t j = 0; j < s->keys; j++)
                sum += exponential_of(s->scores[t][j * s->width + q], largest);
        attn_status status =
            attn_check_hold(c, "the softmax's maximum", "two tiles", (double)s->max[q], largest, 0);
        if (status == ATTN_OK)
            status = attn_check_hold(c, "the softmax's sum", "two tiles", s->sum[q], sum, sum * CLOSE);
        if (status != ATTN_OK)
            return status;
    }
    return ATTN_OK;
}

static attn_status check_tiles(attn_checking *c, softmax *s, size_t keys) {
    attn_status status = ATTN_OK;
    s->keys = keys;
    s->width = 2 * c->kernels->lanes;
    const attn_soft_tile tile = {s->tile, keys, s->width, s->max, s->sum, s->factor};
    for (size_t q = 0; q < s->width; q++) {
        s->max[q] = -INFINITY;
        s->sum[q] = 0;
    }
    for (size_t t = 0; t < TILES && status == ATTN_OK; t++) {
        attn_check_fill(c, s->scores[t], keys * s->width, 10);
        for (size_t i = 0; i < keys * s->width; i++) /* some are excluded, and all of query 1 */
            if (i % 7 == 3 || i % s->width == 1)
                s->scores[t][i] = -INFINITY;
        memcpy(s->tile, s->scores[t], keys * s->width * sizeof(float));
        c->kernels->soften(&tile);
        status = compare_tile(c, s, "the softmax", s->scores[t], NULL);
    }
    if (status == ATTN_OK)
        status = compare_sums(c, s);
    if (status != ATTN_OK)
        return status;
    memcpy(s->tile, s->scores[0], keys * s->width * sizeof(float));
    c->kernels->weigh(&tile);
    return compare_tile(c, s, "the softmax's weights", s->scores[0], s->sum);
}

static attn_status check_softmax(attn_checking *c) {
    attn_status status = ATTN_OK;
    softmax *s = calloc(1, sizeof *s);
    if (s == NULL)
        return attn_check_no_memory(c);
    for (size_t keys = 1; keys <= TILE_KEYS_MAX && status == ATTN_OK; keys++)
        status = check_tiles(c, s, keys);
    free(s);
    return status;
}

/* ---- What works on rows ---- */

static attn_status check_row(attn_checking *c, size_t count) {
    float exponentials[LARGEST], capped[LARGEST], original[LARGEST];
    const float cap = 20;
    char shape[32];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "n=%zu", count);
    attn_check_fill(c, original, count, 80);
    memcpy(exponentials, original, count * sizeof *original);
    memcpy(capped, original, count * sizeof *original);
    c->kernels->exponential(exponentials, count);
    c->kernels->soft_cap(capped, count, cap);
    for (size_t i = 0; i < count && status == ATTN_OK; i++) {
        const double x = (double)original[i], e = exp(x), t = (double)cap * tanh(x / (double)cap);
        status = attn_check_hold(c, "the exponential", shape, (double)exponentials[i], e, e * CLOSE);
        if (status == ATTN_OK)
            status = attn_check_hold(c, "the soft cap", shape, (double)capped[i], t, fabs(t) * CLOSE);
    }
    return status;
}

/* The scores of one query, of width `depth`, and `keys` keys. */
static attn_status check_dots(attn_checking *c, size_t keys, size_t depth) {
    float q[LARGEST], k[LARGEST * ROW], y[LARGEST];
    char shape[64];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "%zu keys of width %zu", keys, depth);
    attn_check_fill(c, q, depth, 1);
    attn_check_fill(c, k, keys * ROW, 1);
    c->kernels->dots(keys, depth, q, k, ROW, y);
    for (size_t j = 0; j < keys && status == ATTN_OK; j++) {
        double sum = 0;
        for (size_t d = 0; d < depth; d++)
            sum += (double)q[d] * (double)k[j * ROW + d];
        status = attn_check_hold(c, "the product of a query with keys", shape, (double)y[j], sum,
                                 (double)depth * 0x1p-20);
    }
    return status;
}

attn_status attn_check_rows(attn_checking *c) {
    attn_status status = check_softmax(c);
    for (size_t n = 1; n <= LARGEST && status == ATTN_OK; n++) {
        status = check_row(c, n);
        if (status == ATTN_OK)
            status = check_dots(c, 1 + n % 33, n);
    }
    return status;
}
