/* rows.c: part of the self-check: what works on rows of scores, and of what the products give. */
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

/* ---- Between the products: each number is rounded once at most, so there is only one right answer ---- */

enum { ROWS = 3 };

/* What `largest` gives, as a number: infinity if one is not finite. */
static double number_of(uint32_t bits) {
    float number = INFINITY;
    if (bits < ATTN_INFINITE)
        memcpy(&number, &bits, sizeof number);
    return (double)number;
}

/* In each place one that is the largest without its sign, and what is not finite. */
static attn_status check_largest(attn_checking *c, size_t count) {
    const float extremes[] = {-2, INFINITY, -INFINITY, NAN, -NAN};
    float x[LARGEST];
    char shape[64];
    attn_status status = ATTN_OK;
    attn_check_fill(c, x, count, 1);
    for (size_t n = 0; n < count && status == ATTN_OK; n++) {
        const float number = x[n];
        snprintf(shape, sizeof shape, "n=%zu, in place %zu", count, n);
        for (size_t i = 0; i < sizeof extremes / sizeof extremes[0] && status == ATTN_OK; i++) {
            x[n] = extremes[i];
            status = attn_check_hold(c, "the largest number", shape, number_of(c->kernels->largest(x, count)),
                                     i == 0 ? 2 : (double)INFINITY, 0);
        }
        x[n] = number;
    }
    return status;
}

static attn_status check_copy(attn_checking *c, size_t columns) {
    float from[ROWS * ROW], to[ROWS * LARGEST];
    double largest = 0;
    char shape[32];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "%d rows, n=%zu", ROWS, columns);
    attn_check_fill(c, from, ROWS * ROW, 1);
    const uint32_t bits = c->kernels->copy(ROWS, columns, from, ROW, to, LARGEST);
    for (size_t i = 0; i < ROWS * columns && status == ATTN_OK; i++) {
        const size_t row = i / columns, n = i % columns;
        const double x = (double)from[row * ROW + n];
        status = attn_check_hold(c, "the copy of rows", shape, (double)to[row * LARGEST + n], x, 0);
        largest = fmax(largest, fabs(x));
    }
    return status == ATTN_OK
               ? attn_check_hold(c, "the largest copied number", shape, number_of(bits), largest, 0)
               : status;
}

static attn_status check_scale(attn_checking *c, size_t count) {
    const float factor = 0.3f;
    float x[LARGEST], original[LARGEST];
    double largest = 0;
    char shape[32];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "n=%zu", count);
    attn_check_fill(c, original, count, 1);
    memcpy(x, original, count * sizeof *x);
    const uint32_t bits = c->kernels->scale(x, count, factor);
    for (size_t n = 0; n < count && status == ATTN_OK; n++) {
        const float product = original[n] * factor;
        status = attn_check_hold(c, "the scaling", shape, (double)x[n], (double)product, 0);
        largest = fmax(largest, fabs((double)product));
    }
    return status == ATTN_OK
               ? attn_check_hold(c, "the largest scaled number", shape, number_of(bits), largest, 0)
               : status;
}

/* Sums in double precision are begun, and added to. */
static attn_status check_sums(attn_checking *c, size_t count) {
    float x[2][LARGEST];
    double sums[LARGEST];
    char shape[64];
    attn_status status = ATTN_OK;
    attn_check_fill(c, x[0], count, 1);
    attn_check_fill(c, x[1], count, 0.001f); /* a sum that float32 would round */
    for (size_t i = 0; i < 2; i++) {
        snprintf(shape, sizeof shape, "n=%zu, %zu summands", count, i + 1);
        c->kernels->add_up(x[i], count, sums, i > 0);
        for (size_t n = 0; n < count && status == ATTN_OK; n++) {
            const double sum = i == 0 ? (double)x[0][n] : (double)x[0][n] + (double)x[1][n];
            status = attn_check_hold(c, "the sum in double precision", shape, sums[n], sum, 0);
        }
    }
    return status;
}

static attn_status check_rescale(attn_checking *c, size_t columns) {
    const float factors[ROWS] = {0.3f, 1, 0};
    const size_t count = ROWS * columns;
    float x[ROWS * LARGEST], original[ROWS * LARGEST];
    double sums[ROWS * LARGEST];
    char shape[32];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "%d rows, n=%zu", ROWS, columns);
    attn_check_fill(c, original, count, 1);
    memcpy(x, original, count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        sums[i] = (double)original[i] / 3;
    c->kernels->rescale(ROWS, columns, factors, x, sums);
    for (size_t i = 0; i < count && status == ATTN_OK; i++) {
        const float product = original[i] * factors[i / columns];
        const double sum = (double)original[i] / 3 * (double)factors[i / columns];
        status = attn_check_hold(c, "the rescaling", shape, (double)x[i], (double)product, 0);
        if (status == ATTN_OK)
            status = attn_check_hold(c, "the rescaling of sums", shape, sums[i], sum, 0);
    }
    return status;
}

/* Of sums, of what is not yet added to them, and of both. */
static attn_status check_share_out(attn_checking *c, size_t count) {
    static const char *const names[] = {"", "the share of numbers", "the share of sums", "the share of both"};
    const double share = 1 / 1.7;
    float x[LARGEST], to[LARGEST];
    double sums[LARGEST];
    char shape[32];
    attn_status status = ATTN_OK;
    snprintf(shape, sizeof shape, "n=%zu", count);
    attn_check_fill(c, to, count, 1);
    attn_check_fill(c, x, count, 1);
    for (size_t n = 0; n < count; n++)
        sums[n] = (double)to[n] / 3;
    for (int given = 1; given <= 3; given++) {
        const float *const numbers = given & 1 ? x : NULL;
        const double *const before = given & 2 ? sums : NULL;
        c->kernels->share_out(count, numbers, before, share, to);
        for (size_t n = 0; n < count && status == ATTN_OK; n++) {
            const double sum = (before == NULL ? 0 : before[n]) + (numbers == NULL ? 0 : (double)numbers[n]);
            status = attn_check_hold(c, names[given], shape, (double)to[n], (double)(float)(sum * share), 0);
        }
    }
    return status;
}

static attn_status check_between(attn_checking *c, size_t count) {
    attn_status (*const checks[])(attn_checking *, size_t) = {check_largest, check_copy,    check_scale,
                                                              check_sums,    check_rescale, check_share_out};
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0] && status == ATTN_OK; i++)
        status = checks[i](c, count);
    return status;
}

attn_status attn_check_rows(attn_checking *c) {
    attn_status status = check_softmax(c);
    for (size_t n = 1; n <= LARGEST && status == ATTN_OK; n++) {
        status = check_row(c, n);
        if (status == ATTN_OK)
            status = check_dots(c, 1 + n % 33, n);
        if (status == ATTN_OK)
            status = check_between(c, n);
    }
    return status;
}
