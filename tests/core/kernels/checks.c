#include "tests/core/kernels/checks.h"

#include "tests/core/kernels/arrays.h"

#include <math.h>

enum { SHAPES = 60 };

/* ---- Products
 * ---------------------------------------------------------------------------------------------- */

/* A product of random shape with all its arrays. */
typedef struct {
    attn_product p;
    attn_precision precision;
    size_t panel, y_count;
    float *a, *b, *scale, *bias, *before, *y;
    void *narrow;
} random_product;

static float b_number(const random_product *r, size_t at) {
    if (r->precision == ATTN_INT8)
        return (float)((const int8_t *)r->p.b)[at];
    if (r->precision == ATTN_FLOAT32)
        return ((const float *)r->p.b)[at];
    const uint32_t bits = (uint32_t)((const uint16_t *)r->p.b)[at] << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static void narrow(random_product *r, size_t count) {
    r->narrow = malloc(count * 2);
    if (r->narrow == NULL)
        abort();
    for (size_t n = 0; n < count; n++) {
        uint32_t bits;
        memcpy(&bits, &r->b[n], sizeof bits);
        if (r->precision == ATTN_INT8)
            ((int8_t *)r->narrow)[n] = (int8_t)lrintf(r->b[n] * 127);
        else
            ((uint16_t *)r->narrow)[n] = (uint16_t)(bits >> 16);
    }
}

static random_product new_product(const attn_kernels *kernels, attn_precision precision, uint64_t *seed) {
    const bool wide = precision == ATTN_FLOAT32, across = wide && random_below(seed, 3) == 0;
    const bool flat = wide && random_below(seed, 3) == 0; /* b as one matrix, not in panels */
    const size_t unit = wide ? kernels->lanes : kernels->panel;
    random_product r = {.precision = precision, .panel = kernels->panel};
    attn_product *p = &r.p;
    p->rows = between(seed, 1, random_below(seed, 2) ? 8 : 40);
    p->columns = unit * between(seed, 1, 6 * kernels->panel / unit);
    p->depth = between(seed, 1, random_below(seed, 2) ? 7 : ATTN_DEPTH);
    p->a_row = across ? 1 : p->depth + between(seed, 0, 5);
    p->a_step = across ? p->rows + between(seed, 0, 5) : 1;
    const size_t panels = (p->columns + r.panel - 1) / r.panel;
    p->b_row = flat ? p->columns : r.panel;
    p->b_panel = flat ? r.panel : (p->depth + between(seed, 0, 3)) * r.panel;
    p->y_row = p->columns + between(seed, 0, 5);
    p->add = random_below(seed, 2);
    const size_t b_count = flat ? p->depth * p->columns : panels * p->b_panel;
    p->a = r.a = random_array((p->rows - 1) * p->a_row + (p->depth - 1) * p->a_step + 1, seed);
    p->b = r.b = random_array(b_count, seed);
    r.scale = random_array(p->columns, seed), r.bias = random_array(p->columns, seed);
    p->b_scale = random_below(seed, 2) ? r.scale : NULL;
    p->bias = random_below(seed, 2) ? r.bias : NULL;
    if (!wide) {
        narrow(&r, b_count);
        p->b = r.narrow;
    }
    r.y_count = p->rows * p->y_row;
    r.before = array(r.y_count), p->y = r.y = array(r.y_count);
    for (size_t m = 0; m < p->rows; m++)
        for (size_t n = 0; n < p->columns; n++)
            r.before[m * p->y_row + n] = random_float(seed);
    memcpy(r.y, r.before, r.y_count * sizeof *r.y);
    return r;
}

static void free_product(random_product *r) {
    free(r->a), free(r->b), free(r->scale), free(r->bias), free(r->before), free(r->y), free(r->narrow);
}

/* The number at [m][n] and how far rounding may lead from it. */
static double exact_product(const random_product *r, size_t m, size_t n, double *allowed) {
    const attn_product *p = &r->p;
    double sum = 0, sizes = 0;
    for (size_t k = 0; k < p->depth; k++) {
        const double term = (double)p->a[m * p->a_row + k * p->a_step] *
                            (double)b_number(r, n / r->panel * p->b_panel + k * p->b_row + n % r->panel);
        sum += term, sizes += fabs(term);
    }
    const double scale = p->b_scale == NULL ? 1 : (double)p->b_scale[n];
    const double before = p->add ? (double)r->before[m * p->y_row + n] : 0;
    const double bias = p->bias == NULL ? 0 : (double)p->bias[n];
    *allowed = 0x1p-23 * (((double)p->depth + 2) * sizes * fabs(scale) + fabs(before) + fabs(bias)) + 1e-30;
    return before + scale * sum + bias;
}

bool check_product(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < 3 * SHAPES && good; shape++) {
        const attn_precision precision = shape % ATTN_PRECISIONS;
        random_product r = new_product(kernels, precision, &seed);
        const attn_product *p = &r.p;
        kernels->product[precision](p);
        for (size_t at = 0; at <= r.y_count && good; at++) {
            const size_t m = at / p->y_row, n = at % p->y_row;
            double allowed = 0, expected = (double)UNTOUCHED;
            if (n < p->columns && m < p->rows)
                expected = exact_product(&r, m, n, &allowed);
            if (!(fabs((double)r.y[at] - expected) <= allowed))
                good = FAIL("%s %zu x %zu, depth %zu: [%zu][%zu] is %.9g, not %.9g",
                            attn_precision_name(precision), p->rows, p->columns, p->depth, m, n,
                            (double)r.y[at], expected);
        }
        free_product(&r);
    }
    return good;
}

/* The same product row by row, and each panel by itself. */
static void in_pieces(const attn_kernels *kernels, const random_product *r) {
    const attn_product *p = &r->p;
    const size_t size = r->precision == ATTN_FLOAT32 ? 4 : r->precision == ATTN_BFLOAT16 ? 2 : 1;
    for (size_t m = 0; m < p->rows; m++)
        for (size_t n = 0; n < p->columns; n += r->panel) {
            attn_product one = *p;
            one.rows = 1;
            one.columns = p->columns - n < r->panel ? p->columns - n : r->panel;
            one.a += m * p->a_row;
            one.b = (const char *)p->b + n / r->panel * p->b_panel * size;
            one.b_scale = p->b_scale == NULL ? NULL : p->b_scale + n;
            one.bias = p->bias == NULL ? NULL : p->bias + n;
            one.y += m * p->y_row + n;
            kernels->product[r->precision](&one);
        }
}

bool check_product_bits(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < 3 * SHAPES && good; shape++) {
        random_product r = new_product(kernels, shape % ATTN_PRECISIONS, &seed);
        kernels->product[r.precision](&r.p);
        float *together = r.y;
        r.p.y = r.y = r.before;
        r.before = together;
        in_pieces(kernels, &r);
        if (memcmp(together, r.y, r.y_count * sizeof *r.y) != 0)
            good = FAIL("%s %zu x %zu, depth %zu: other bits in pieces", attn_precision_name(r.precision),
                        r.p.rows, r.p.columns, r.p.depth);
        free_product(&r);
    }
    return good;
}

/* y [keys]: the same scores by products with the query in the first of the lanes. */
static void dots_by_product(const attn_kernels *kernels, size_t keys, size_t depth, const float *q,
                            const float *k, size_t k_row, float *y) {
    const size_t lanes = kernels->lanes;
    float *b = array(depth * lanes), *all = array(keys * lanes);
    for (size_t n = 0; n < depth * lanes; n++)
        b[n] = n % lanes == 0 ? q[n / lanes] : 1;
    for (size_t d = 0; d < depth; d += ATTN_DEPTH) {
        const attn_product p = {.rows = keys,
                                .columns = lanes,
                                .depth = depth - d < ATTN_DEPTH ? depth - d : ATTN_DEPTH,
                                .a = k + d,
                                .a_row = k_row,
                                .a_step = 1,
                                .b = b + d * lanes,
                                .b_row = lanes,
                                .b_panel = kernels->panel,
                                .y = all,
                                .y_row = lanes,
                                .add = d > 0};
        kernels->product[ATTN_FLOAT32](&p);
    }
    for (size_t j = 0; j < keys; j++)
        y[j] = all[j * lanes];
    free(b), free(all);
}

bool check_dots(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t keys = between(&seed, 1, 150), depth = between(&seed, 1, 600);
        const size_t k_row = depth + between(&seed, 0, 5);
        float *q = random_array(depth, &seed), *k = random_array((keys - 1) * k_row + depth, &seed);
        float *y = array(keys), *by_product = array(keys);
        kernels->dots(keys, depth, q, k, k_row, y);
        dots_by_product(kernels, keys, depth, q, k, k_row, by_product);
        for (size_t j = 0; j < keys && good; j++) {
            double sum = 0, sizes = 0;
            for (size_t d = 0; d < depth; d++) {
                const double term = (double)q[d] * (double)k[j * k_row + d];
                sum += term, sizes += fabs(term);
            }
            float alone;
            kernels->dots(1, depth, q, k + j * k_row, k_row, &alone);
            if (!(fabs((double)y[j] - sum) <= 0x1p-23 * (double)depth * sizes))
                good = FAIL("depth %zu: %.9g, not %.9g", depth, (double)y[j], sum);
            else if (memcmp(&alone, &y[j], sizeof alone) != 0)
                good = FAIL("depth %zu: other bits alone than among %zu", depth, keys);
            else if (memcmp(&by_product[j], &y[j], sizeof alone) != 0)
                good = FAIL("depth %zu: other bits than by a product", depth);
        }
        if (y[keys] != UNTOUCHED)
            good = FAIL("wrote past the end");
        free(q), free(k), free(y), free(by_product);
    }
    return good;
}

/* ---- Softmax
 * ------------------------------------------------------------------------------------------------ */

/* Scores of all keys and `width` queries; some are excluded, and all of some queries. */
static float *random_scores(size_t keys, size_t width, uint64_t *seed) {
    float *scores = array(keys * width);
    for (size_t q = 0; q < width; q++) {
        const size_t kind = random_below(seed, 4);
        for (size_t j = 0; j < keys; j++) {
            const bool excluded = kind == 0 || (kind == 1 && random_below(seed, 2));
            scores[j * width + q] = excluded ? -INFINITY : 30 * random_float(seed);
        }
    }
    return scores;
}

/* Softens the keys in tiles as a caller would; `mixed` [width] are the sums of what the tiles hold, rescaled.
 */
static void soften_in_tiles(const attn_kernels *kernels, size_t keys, attn_soft_tile *t, const float *scores,
                            double *mixed, uint64_t *seed) {
    for (size_t q = 0; q < t->width; q++)
        t->max[q] = -INFINITY, t->sum[q] = 0, mixed[q] = 0;
    for (size_t from = 0; from < keys; from += t->keys) {
        t->keys = between(seed, 1, keys - from);
        memcpy(t->tile, scores + from * t->width, t->keys * t->width * sizeof *scores);
        kernels->soften(t);
        for (size_t q = 0; q < t->width; q++) {
            mixed[q] *= (double)t->factor[q];
            for (size_t j = 0; j < t->keys; j++)
                mixed[q] += (double)t->tile[j * t->width + q];
        }
    }
}

static bool check_query(const attn_kernels *kernels, size_t keys, const attn_soft_tile *t,
                        const float *scores, const double *mixed, size_t q) {
    double max = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++)
        max = fmax(max, (double)scores[j * t->width + q]);
    for (size_t j = 0; j < keys && max > -INFINITY; j++)
        sum += exp((double)scores[j * t->width + q] - max);
    const double allowed = 0x1p-22 * 64 * sum;
    if ((double)t->max[q] != max)
        return FAIL("the maximum is %.9g, not %.9g", (double)t->max[q], max);
    if (!(fabs(t->sum[q] - sum) <= allowed) || !(fabs(mixed[q] - sum) <= allowed))
        return FAIL("the sum is %.9g and %.9g, not %.9g", t->sum[q], mixed[q], sum);
    for (size_t j = 0; j < keys; j++) {
        const double share = sum > 0 ? exp((double)scores[j * t->width + q] - max) / sum : 0;
        const double found = (double)t->tile[j * t->width + q];
        if (!(fabs(found - share) <= 0x1p-22 * 64 * share + 0x1p-126) || (share == 0 && found != 0))
            return FAIL("a weight is %.9g, not %.9g", found, share);
    }
    return true;
}

bool check_softmax(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t keys = between(&seed, 1, 150), width = kernels->lanes * between(&seed, 1, 3);
        float *scores = random_scores(keys, width, &seed);
        double *sum = malloc(width * sizeof *sum), *mixed = malloc(width * sizeof *mixed);
        if (sum == NULL || mixed == NULL)
            abort();
        attn_soft_tile t = {array(keys * width), keys, width, array(width), sum, array(width)};
        soften_in_tiles(kernels, keys, &t, scores, mixed, &seed);
        t.keys = keys;
        memcpy(t.tile, scores, keys * width * sizeof *scores);
        kernels->weigh(&t);
        for (size_t q = 0; q < width && good; q++)
            good = check_query(kernels, keys, &t, scores, mixed, q);
        if (t.tile[keys * width] != UNTOUCHED || t.max[width] != UNTOUCHED || t.factor[width] != UNTOUCHED)
            good = FAIL("wrote past the end");
        free(scores), free(sum), free(mixed), free(t.tile), free(t.max), free(t.factor);
    }
    return good;
}

/* ---- Functions of one number
 * ---------------------------------------------------------------------------------- */

/* |found - expected| in units of the last place of a float32 of expected's size. */
static double ulps(float found, double expected) {
    uint64_t bits;
    memcpy(&bits, &expected, sizeof bits);
    bits = (bits & 0x7ff0000000000000) - ((uint64_t)23 << 52);
    double ulp;
    memcpy(&ulp, &bits, sizeof ulp);
    return fabs((double)found - expected) / ulp;
}

static void apply_exponential(const attn_kernels *kernels, float *x, size_t count) {
    kernels->exponential(x, count);
}

static void apply_soft_cap(const attn_kernels *kernels, float *x, size_t count) {
    kernels->soft_cap(x, count, 1);
}

/* The worst error of every `step`th float32 from `first` to `last`, which have the same sign. */
static double worst_error(const attn_kernels *kernels, void (*apply)(const attn_kernels *, float *, size_t),
                          double (*exact)(double), float first, float last, uint32_t step, float *where) {
    enum { BLOCK = 1021 }; /* no multiple of any vector: ends are used too */
    float x[BLOCK], y[BLOCK];
    double worst = 0;
    const uint64_t end = bits_of(last);
    for (uint64_t bits = bits_of(first); bits <= end;) {
        size_t count = 0;
        for (; count < BLOCK && bits <= end; bits += step)
            x[count++] = of_bits((uint32_t)bits);
        memcpy(y, x, count * sizeof *y);
        apply(kernels, y, count);
        for (size_t n = 0; n < count; n++) {
            const double error = ulps(y[n], exact((double)x[n]));
            if (!(error <= worst))
                worst = error, *where = x[n];
        }
    }
    return worst;
}

bool check_exponential(const attn_kernels *kernels, uint32_t step) {
    static const float special[][2] = {{0, 1},         {-0.0f, 1},  {-INFINITY, 0},
                                       {-88, 0},       {-1e30f, 0}, {0x1p-27f, 1},
                                       {-0x1p-27f, 1}, {-87.4f, 0}, {-0x1p-126f, 1}};
    for (size_t n = 0; n < sizeof special / sizeof *special; n++) {
        float x = special[n][0];
        kernels->exponential(&x, 1);
        if (x != special[n][1])
            return FAIL("exp(%g) is %.9g, not %g", (double)special[n][0], (double)x, (double)special[n][1]);
    }
    float where = 0;
    for (int sign = 0; sign < 2; sign++) {
        const double worst = worst_error(kernels, apply_exponential, exp, sign ? -0x1p-26f : 0x1p-26f,
                                         sign ? -87.3365f : 88.7f, step, &where);
        if (!(worst < 1.05))
            return FAIL("exp(%.9g) is wrong by %.3f ulp", (double)where, worst);
    }
    return true;
}

bool check_soft_cap(const attn_kernels *kernels, uint32_t step) {
    float where = 0;
    for (int sign = 0; sign < 2; sign++) {
        const double worst = worst_error(kernels, apply_soft_cap, tanh, sign ? -0x1p-13f : 0x1p-13f,
                                         sign ? -20.0f : 20.0f, step, &where);
        if (!(worst < 1.4))
            return FAIL("tanh(%.9g) is wrong by %.3f ulp", (double)where, worst);
    }
    float x[] = {0, 1e-30f, 1e30f, -1e30f, -INFINITY, 60, NAN};
    kernels->soft_cap(x, sizeof x / sizeof *x, 30);
    if (x[0] != 0 || !(fabsf(x[1] / 1e-30f - 1) < 1e-6f) || x[2] != 30 || x[3] != -30 || x[4] != -30 ||
        !(fabsf(x[5] / (float)(30 * tanh(2)) - 1) < 1e-6f) || x[6] == x[6])
        return FAIL("a special number is capped to a wrong one");
    float y[] = {0, -3, 1e-40f, INFINITY};
    kernels->soft_cap(y, sizeof y / sizeof *y, 1e-40f); /* so small a cap may be taken as zero */
    for (size_t n = 0; n < sizeof y / sizeof *y; n++)
        if (!(fabsf(y[n]) <= 1e-40f))
            return FAIL("%.9g is not capped to 1e-40", (double)y[n]);
    return true;
}
