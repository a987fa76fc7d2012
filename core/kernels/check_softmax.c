/* check_softmax.c: the softmax of tiles, and the functions of one number. */
#include "core/kernels/check_common.h"

/* Relative error of what goes through an exponential. */
#define CLOSE ((double)0x1p-18)

/* ---- The softmax ---- */

enum { FIXED_KEYS = 40, RANDOM_SHAPES = 60 };

typedef struct {
    attn_soft_tile tile;
    size_t keys;   /* of all tiles */
    size_t step;   /* of each tile; 0: as many as it happens */
    float *scores; /* [keys, width] */
    double *mixed; /* [width]: the sum of what the tiles hold, rescaled */
} softmax;

/* Of query 1 all keys are excluded, of the first and the last none, of the others some, all or none. */
static void fill_scores(attn_checking *c, const softmax *s) {
    const size_t width = s->tile.width;
    for (size_t q = 0; q < width; q++) {
        const size_t kind = q == 0 || q + 1 == width ? 2 : q == 1 ? 0 : attn_check_below(c, 4);
        for (size_t j = 0; j < s->keys; j++) {
            const bool is_excluded = kind == 0 || (kind == 1 && attn_check_below(c, 2));
            s->scores[j * width + q] = is_excluded ? -INFINITY : 30 * attn_check_number(c);
        }
    }
}

/* What exp(score - largest) is, for a column in which all may be excluded. */
static double exponential_of(float score, double largest) {
    return isinf(score) ? 0 : exp((double)score - largest);
}

/* Copies the scores of the next keys to the tile. */
static void next_tile(attn_checking *c, softmax *s, size_t from) {
    attn_soft_tile *t = &s->tile;
    t->keys = s->step > 0 ? s->step : attn_check_between(c, 1, s->keys - from);
    memcpy(t->tile, s->scores + from * t->width, t->keys * t->width * sizeof *t->tile);
}

/* Holds the tile of the keys from `from` on against exp(score - max) / divisor. */
static void check_tile(attn_checking *c, const softmax *s, const char *kernel, size_t from,
                       const double *divisor, double close) {
    const attn_soft_tile *t = &s->tile;
    for (size_t i = 0; i < t->keys * t->width; i++) {
        const size_t q = i % t->width;
        double expected = exponential_of(s->scores[from * t->width + i], (double)t->max[q]);
        if (divisor != NULL && divisor[q] > 0)
            expected /= divisor[q];
        const double tiny = expected > 0 ? 0x1p-126 : 0; /* it may be rounded to 0 */
        attn_check_close(c, kernel, (double)t->tile[i], expected, expected * close + tiny);
    }
}

static void step_through_tiles(attn_checking *c, softmax *s) {
    const attn_soft_tile *t = &s->tile;
    for (size_t q = 0; q < t->width; q++)
        t->max[q] = -INFINITY, t->sum[q] = 0, s->mixed[q] = 0;
    for (size_t from = 0; from < s->keys; from += t->keys) {
        next_tile(c, s, from);
        c->kernels->softmax_step(t);
        check_tile(c, s, "the softmax", from, NULL, CLOSE);
        for (size_t q = 0; q < t->width; q++) {
            s->mixed[q] *= (double)t->factor[q];
            for (size_t j = 0; j < t->keys; j++)
                s->mixed[q] += (double)t->tile[j * t->width + q];
        }
    }
}

/* Holds the maximum and the sums after all tiles against those of all scores at once. */
static void check_sums(attn_checking *c, const softmax *s, double close) {
    const attn_soft_tile *t = &s->tile;
    for (size_t q = 0; q < t->width; q++) {
        double max = -(double)INFINITY, sum = 0;
        for (size_t j = 0; j < s->keys; j++)
            max = fmax(max, (double)s->scores[j * t->width + q]);
        for (size_t j = 0; j < s->keys; j++)
            sum += exponential_of(s->scores[j * t->width + q], max);
        attn_check_close(c, "the softmax's maximum", (double)t->max[q], max, 0);
        attn_check_close(c, "the softmax's sum", t->sum[q], sum, sum * close);
        attn_check_close(c, "the softmax's factor", s->mixed[q], sum, sum * close);
    }
}

/* In tiles of `step` keys, or of random size. */
static void check_keys(attn_checking *c, size_t keys, size_t width, size_t step) {
    const double close = step > 0 ? CLOSE : 4 * CLOSE;
    attn_check_free(c);
    softmax s = {.keys = keys, .step = step, .scores = attn_check_array(c, keys * width)};
    s.mixed = attn_check_block(c, width * sizeof *s.mixed);
    s.tile = (attn_soft_tile){.tile = attn_check_array(c, keys * width),
                              .width = width,
                              .max = attn_check_array(c, width),
                              .sum = attn_check_block(c, width * sizeof *s.tile.sum),
                              .factor = attn_check_array(c, width)};
    ATTN_SHAPE(c, "%zu keys", keys);
    if (!attn_check_goes_on(c))
        return;
    fill_scores(c, &s);
    step_through_tiles(c, &s);
    check_sums(c, &s, close);
    for (size_t from = 0; from < keys; from += s.tile.keys) {
        next_tile(c, &s, from);
        c->kernels->softmax_weights(&s.tile);
        check_tile(c, &s, "the softmax's weights", from, s.tile.sum, close);
    }
    attn_check_same(c, "the softmax", (double)s.tile.tile[keys * width], (double)ATTN_UNTOUCHED);
    attn_check_same(c, "the softmax", (double)s.tile.max[width], (double)ATTN_UNTOUCHED);
    attn_check_same(c, "the softmax", (double)s.tile.factor[width], (double)ATTN_UNTOUCHED);
}

void attn_check_softmax(attn_checking *c) {
    const size_t lanes = c->kernels->lanes;
    for (size_t keys = 1; keys <= FIXED_KEYS && attn_check_goes_on(c); keys++)
        check_keys(c, 2 * keys, 2 * lanes, keys);
    for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++)
        check_keys(c, attn_check_between(c, 1, 150), lanes * attn_check_between(c, 1, 3), 0);
}

/* ---- Functions of one number ---- */

enum { MOST_NUMBERS = 1021 }; /* no multiple of any vector: ends are used too */

/* A function that a kernel applies to each number of an array. */
typedef struct {
    const char *name;
    void (*apply)(const attn_kernels *kernels, float *x, size_t count);
    double (*exact)(double x);
    double ulps; /* by which it may be wrong, in units of the last place */
} function;

static void apply_exponential(const attn_kernels *kernels, float *x, size_t count) {
    kernels->exponential(x, count);
}

static void apply_soft_cap(const attn_kernels *kernels, float *x, size_t count) {
    kernels->soft_cap(x, count, 1);
}

static const function EXPONENTIAL = {"the exponential", apply_exponential, exp, 1.05};
static const function SOFT_CAP = {"the soft cap", apply_soft_cap, tanh, 1.4};

/* The unit of the last place of a float32 of such a size. */
static double ulp_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits & 0x7ff0000000000000) - ((uint64_t)23 << 52);
    double ulp;
    memcpy(&ulp, &bits, sizeof ulp);
    return ulp;
}

static void check_numbers(attn_checking *c, const function *f, const float *x, size_t count) {
    float y[MOST_NUMBERS + 1];
    memcpy(y, x, count * sizeof *y);
    y[count] = ATTN_UNTOUCHED;
    f->apply(c->kernels, y, count);
    for (size_t n = 0; n < count; n++) {
        const double exact = f->exact((double)x[n]);
        if (!(fabs((double)y[n] - exact) <= f->ulps * ulp_of(exact))) {
            ATTN_SHAPE(c, "%.9g, one of n=%zu", (double)x[n], count);
            attn_check_fail(c, f->name, (double)y[n], exact);
        }
    }
    ATTN_SHAPE(c, "the number after n=%zu", count);
    attn_check_same(c, f->name, (double)y[count], (double)ATTN_UNTOUCHED);
}

/* Random numbers from -most to most, so many that every end of a vector is used. */
static void check_ends(attn_checking *c, const function *f, float most) {
    float x[100];
    for (size_t count = 1; count <= sizeof x / sizeof x[0]; count++) {
        for (size_t n = 0; n < count; n++)
            x[n] = most * attn_check_number(c);
        check_numbers(c, f, x, count);
    }
}

/* Every effort->step-th float32 from `first` to `last`, which have the same sign. */
static void check_range(attn_checking *c, const function *f, float first, float last) {
    float x[MOST_NUMBERS];
    const uint64_t end = attn_bits_of(last);
    for (uint64_t bits = attn_bits_of(first); bits <= end && attn_check_goes_on(c);) {
        size_t count = 0;
        for (; count < MOST_NUMBERS && bits <= end; bits += c->effort->step)
            x[count++] = attn_float_of((uint32_t)bits);
        check_numbers(c, f, x, count);
    }
}

void attn_check_exponential(attn_checking *c) {
    static const float special[][2] = {{0, 1},         {-0.0f, 1},  {-INFINITY, 0},
                                       {-88, 0},       {-1e30f, 0}, {0x1p-27f, 1},
                                       {-0x1p-27f, 1}, {-87.4f, 0}, {-0x1p-126f, 1}};
    for (size_t n = 0; n < sizeof special / sizeof *special; n++) {
        float x = special[n][0];
        c->kernels->exponential(&x, 1);
        ATTN_SHAPE(c, "%g", (double)special[n][0]);
        attn_check_close(c, EXPONENTIAL.name, (double)x, (double)special[n][1], 0);
    }
    check_ends(c, &EXPONENTIAL, 80);
    check_range(c, &EXPONENTIAL, 0x1p-26f, 88.7f);
    check_range(c, &EXPONENTIAL, -0x1p-26f, -87.3365f);
}

/* Caps other than 1, with numbers of all sizes. */
static void check_caps(attn_checking *c) {
    float x[100], y[100];
    const float cap = 20;
    for (size_t count = 1; count <= 100; count++) {
        for (size_t n = 0; n < count; n++)
            y[n] = x[n] = 80 * attn_check_number(c);
        c->kernels->soft_cap(y, count, cap);
        ATTN_SHAPE(c, "n=%zu", count);
        for (size_t n = 0; n < count; n++) {
            const double expected = (double)cap * tanh((double)x[n] / (double)cap);
            attn_check_close(c, SOFT_CAP.name, (double)y[n], expected, fabs(expected) * CLOSE);
        }
    }
}

static void check_special_caps(attn_checking *c) {
    static const float x[] = {0, 1e-30f, 1e30f, -1e30f, -INFINITY, 60, NAN};
    const double expected[] = {0, (double)1e-30f, 30, -30, -30, 30 * tanh(2), (double)NAN};
    float y[sizeof x / sizeof *x], tiny[] = {0, -3, 1e-40f, INFINITY};
    memcpy(y, x, sizeof y);
    c->kernels->soft_cap(y, sizeof y / sizeof *y, 30);
    for (size_t n = 0; n < sizeof x / sizeof *x; n++) {
        ATTN_SHAPE(c, "%g, cap 30", (double)x[n]);
        if (isnan(x[n]))
            attn_check_same(c, SOFT_CAP.name, (double)y[n], expected[n]);
        else
            attn_check_close(c, SOFT_CAP.name, (double)y[n], expected[n], 1e-6 * fabs(expected[n]));
    }
    c->kernels->soft_cap(tiny, sizeof tiny / sizeof *tiny, 1e-40f); /* so small a cap may be taken as zero */
    ATTN_SHAPE(c, "cap 1e-40");
    for (size_t n = 0; n < sizeof tiny / sizeof *tiny; n++)
        attn_check_close(c, SOFT_CAP.name, (double)tiny[n], 0, (double)1e-40f);
}

void attn_check_soft_cap(attn_checking *c) {
    check_ends(c, &SOFT_CAP, 20);
    check_range(c, &SOFT_CAP, 0x1p-13f, 20.0f);
    check_range(c, &SOFT_CAP, -0x1p-13f, -20.0f);
    check_caps(c);
    check_special_caps(c);
}
