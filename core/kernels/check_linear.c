/* check_linear.c: packed weights, and products of many rows with them. */
#include "core/kernels/check_common.h"
#include "core/kernels/linear.h"

#include <stdatomic.h>

enum { RANDOM_SHAPES = 8, MOST_PARTS = 20 };

/* ---- Packing ---- */

/* What a weight is rounded to. */
static double rounded(attn_precision precision, float weight, float largest) {
    if (precision == ATTN_FLOAT32)
        return (double)weight;
    if (precision == ATTN_BFLOAT16) {
        int exponent;
        frexp((double)weight, &exponent);
        const double unit = ldexp(1, exponent - 8); /* eight bits are kept; rint takes ties to even */
        return rint((double)weight / unit) * unit;
    }
    const float scale = largest / 127;
    return scale > 0 ? (double)(rintf(weight / scale) * scale) : 0;
}

/* The largest of the numbers that share a scale with number k. */
static float largest_beside(const float *row, size_t depth, size_t k) {
    const size_t first = k / 256 * 256, last = depth - first < 256 ? depth : first + 256;
    float largest = 0;
    for (size_t n = first; n < last; n++)
        largest = fmaxf(largest, fabsf(row[n]));
    return largest;
}

static void check_packed(attn_checking *c, const attn_packed *packed, const float *weight) {
    const size_t depth = packed->depth;
    for (size_t at = 0; at < packed->width * depth; at++) {
        const size_t row = at / depth, k = at % depth;
        const float largest = largest_beside(weight + row * depth, depth, k);
        const double expected = rounded(packed->precision, weight[at], largest);
        attn_check_close(c, "the packing", (double)attn_packed_at(packed, row, k), expected, 0);
    }
}

static void pack_and_check(attn_checking *c, attn_precision precision, size_t width, size_t depth,
                           bool has_zeros) {
    attn_packed packed;
    attn_check_free(c);
    float *weight = attn_check_random(c, width * depth);
    if (weight == NULL)
        return;
    if (has_zeros)
        memset(weight, 0, depth * sizeof *weight);
    weight[attn_check_below(c, width * depth)] = 50; /* spoils its own block only */
    if (!attn_pack(&packed, c->kernels, precision, width, depth, weight)) {
        attn_check_no_memory(c);
        return;
    }
    ATTN_SHAPE(c, "%zu x %zu %s weights", width, depth, attn_precision_name(precision));
    check_packed(c, &packed, weight);
    attn_packed_free(&packed);
    attn_check_close(c, "the freeing of weights", packed.numbers != NULL, 0, 0);
}

void attn_check_packing(attn_checking *c) {
    attn_packed packed;
    for (size_t i = 0; i < ATTN_PRECISIONS * RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c);
         i++) {
        const size_t width = attn_check_between(c, 1, 150);
        const size_t depth = attn_check_between(c, 1, i % 2 ? 70 : 700);
        if (c->effort->in_use[i % ATTN_PRECISIONS])
            pack_and_check(c, i % ATTN_PRECISIONS, width, depth, i % 2);
    }
    ATTN_SHAPE(c, "more than there is");
    const bool is_packed =
        attn_pack(&packed, c->kernels, ATTN_FLOAT32, SIZE_MAX / 8, 1000, NULL) || packed.numbers != NULL ||
        attn_pack(&packed, c->kernels, ATTN_FLOAT32, SIZE_MAX - 1, 1, NULL) || packed.numbers != NULL;
    attn_check_close(c, "the packing", is_packed, 0, 0);
}

/* ---- Projections ---- */

static const char NAME[] = "the projection";

/* A projection, its parts, and where their results go. */
typedef struct {
    attn_linear linear;
    attn_linear_part parts[MOST_PARTS];
    float *y[MOST_PARTS];
    atomic_size_t delivered[MOST_PARTS];
    atomic_bool has_split; /* a unit was delivered in two pieces */
    attn_packed weight;
    size_t stopped; /* this part, from the beginning */
} projection;

static void deliver(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                    float *y, size_t y_row) {
    projection *p = context;
    const size_t width = p->weight.width;
    if (column % p->linear.unit != 0 || (columns % p->linear.unit != 0 && column + columns != width))
        p->has_split = true;
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < columns; n++) {
            p->y[part][(row + m) * width + column + n] = y[m * y_row + n];
            y[m * y_row + n] = NAN; /* they are ours to change */
        }
    p->delivered[part] += rows * columns;
}

static bool is_stopped(void *context, size_t part) {
    const projection *p = context;
    return part == p->stopped;
}

/* A projection without parts; NULL: no memory. The caller frees with free_projection. */
static projection *new_projection(attn_checking *c, attn_precision precision, size_t width, size_t depth,
                                  size_t unit) {
    projection *p = attn_check_block(c, sizeof *p);
    const float *weight = attn_check_random(c, width * depth), *bias = attn_check_random(c, width);
    if (c->status != ATTN_OK)
        return NULL;
    memset(p, 0, sizeof *p);
    if (!attn_pack(&p->weight, c->kernels, precision, width, depth, weight)) {
        attn_check_no_memory(c);
        return NULL;
    }
    p->stopped = MOST_PARTS;
    p->linear = (attn_linear){.weight = &p->weight,
                              .bias = bias,
                              .parts = p->parts,
                              .unit = unit,
                              .deliver = deliver,
                              .context = p};
    ATTN_SHAPE(c, "width %zu, depth %zu, %s weights", width, depth, attn_precision_name(precision));
    return p;
}

static void free_projection(projection *p) {
    if (p != NULL)
        attn_packed_free(&p->weight);
}

static void add_part(attn_checking *c, projection *p, size_t rows) {
    const size_t n = p->linear.part_count++;
    p->parts[n] = (attn_linear_part){attn_check_random(c, rows * p->weight.depth), rows};
    p->y[n] = attn_check_block(c, rows * p->weight.width * sizeof(float));
}

static projection *random_projection(attn_checking *c, attn_precision precision) {
    const size_t unit = attn_check_between(c, 1, attn_check_below(c, 3) ? 24 : 200);
    const size_t width = unit * attn_check_between(c, 1, 1 + 1300 / unit);
    projection *p = new_projection(c, precision, width, attn_check_between(c, 1, 700), unit);
    if (p == NULL)
        return NULL;
    if (attn_check_below(c, 4) == 0)
        p->linear.bias = NULL;
    if (attn_check_below(c, 2))
        p->linear.stopped = is_stopped;
    for (size_t n = attn_check_between(c, 1, MOST_PARTS); n > 0; n--)
        add_part(c, p, attn_check_between(c, 0, attn_check_below(c, 4) ? 3 : 120));
    return p;
}

/* One row from one place and some from another, of more than one block of the sum. */
static projection *fixed_projection(attn_checking *c, attn_precision precision, size_t rows) {
    projection *p = new_projection(c, precision, 70, 300, 1);
    if (p == NULL)
        return NULL;
    add_part(c, p, 1);
    add_part(c, p, rows);
    return p;
}

/* In one loop. */
static void run_all(attn_checking *c, projection *const *p, size_t count, const attn_parallel *parallel) {
    attn_linear linears[ATTN_LINEARS];
    for (size_t n = 0; n < count; n++) {
        linears[n] = p[n]->linear;
        for (size_t part = 0; part < MOST_PARTS; part++)
            p[n]->delivered[part] = 0;
    }
    char *scratch = attn_check_block(c, attn_linear_scratch(linears, count) * attn_parallel_slots(parallel));
    if (!attn_check_goes_on(c))
        return;
    attn_linear_run(linears, count, parallel, scratch);
    attn_check_free_last(c);
}

static void check_delivered(attn_checking *c, const projection *p) {
    for (size_t part = 0; part < p->linear.part_count; part++) {
        const size_t expected = part == p->stopped ? 0 : p->parts[part].rows * p->weight.width;
        attn_check_close(c, "the number of what the projection delivers", (double)p->delivered[part],
                         (double)expected, 0);
    }
    attn_check_close(c, "the splitting of the projection's units", p->has_split, 0, 0);
}

/* Holds column n of each step-th row against plain loops. */
static void check_column(attn_checking *c, const projection *p, size_t n, size_t steps, float *weight) {
    const size_t width = p->weight.width, depth = p->weight.depth;
    const double bias = p->linear.bias == NULL ? 0 : (double)p->linear.bias[n];
    attn_packed_numbers(&p->weight, n, 0, depth, weight);
    for (size_t part = 0; part < p->linear.part_count; part++)
        for (size_t m = 0; m < p->parts[part].rows && part != p->stopped;
             m += 1 + p->parts[part].rows / steps) {
            const float *x = p->parts[part].x + m * depth;
            double sum = bias, sizes = fabs(bias);
            for (size_t k = 0; k < depth; k++) {
                const double term = (double)x[k] * (double)weight[k];
                sum += term, sizes += fabs(term);
            }
            attn_check_close(c, NAME, (double)p->y[part][m * width + n], sum, 0x1p-23 * 16 * sizes);
        }
}

/* Runs the projection, and holds every number against plain loops, or with `steps` about so many rows of a
 * part, and ten times as many columns. */
static void run_and_check(attn_checking *c, projection *p, size_t steps) {
    float *weight = attn_check_array(c, p->weight.depth);
    run_all(c, &p, 1, NULL);
    check_delivered(c, p);
    for (size_t n = 0; n < p->weight.width && attn_check_goes_on(c); n += 1 + p->weight.width / (10 * steps))
        check_column(c, p, n, steps, weight);
}

enum { ALL = 1000, SOME = 5, FEW_ROWS = 2, MANY_ROWS = 39 };

/* A check of one projection. */
typedef void check_of(attn_checking *c, projection *p, size_t steps);

/* In each precision in use; random shapes are tried in some places. */
static void check_projections(attn_checking *c, check_of *check) {
    const size_t count = ATTN_PRECISIONS * (2 + RANDOM_SHAPES * c->effort->rounds);
    for (size_t i = 0; i < count && attn_check_goes_on(c); i++) {
        const attn_precision precision = i % ATTN_PRECISIONS;
        const size_t shape = i / ATTN_PRECISIONS;
        if (!c->effort->in_use[precision])
            continue;
        attn_check_free(c);
        projection *p = shape < 2 ? fixed_projection(c, precision, shape == 0 ? FEW_ROWS : MANY_ROWS)
                                  : random_projection(c, precision);
        if (attn_check_goes_on(c))
            check(c, p, shape < 2 ? ALL : SOME);
        free_projection(p);
    }
}

void attn_check_linear(attn_checking *c) {
    check_projections(c, run_and_check);
}

/* Runs rows [m, m + count) of a part alone, as the only part of `one`, and holds them to the same bits. */
static void check_rows_alone(attn_checking *c, const projection *p, size_t part, size_t m, size_t count,
                             projection *one) {
    const size_t width = p->weight.width;
    one->parts[0] = (attn_linear_part){p->parts[part].x + m * p->weight.depth, count};
    run_all(c, &one, 1, NULL);
    for (size_t n = 0; n < count * width && attn_check_goes_on(c); n++)
        attn_check_same(c, "the projection by itself", (double)one->y[0][n],
                        (double)p->y[part][m * width + n]);
}

/* Some rows of a part by themselves, and all. */
static void check_part_alone(attn_checking *c, const projection *p, size_t part, size_t steps) {
    const size_t rows = p->parts[part].rows;
    projection one = {.weight = p->weight, .linear = p->linear, .stopped = MOST_PARTS};
    one.linear.parts = one.parts, one.linear.part_count = 1, one.linear.context = &one;
    one.linear.weight = &one.weight;
    one.y[0] = attn_check_block(c, rows * p->weight.width * sizeof(float));
    if (one.y[0] == NULL)
        return;
    check_rows_alone(c, p, part, 0, rows, &one);
    for (size_t m = 0; m < rows && attn_check_goes_on(c); m += 1 + rows / steps)
        check_rows_alone(c, p, part, m, 1, &one);
    attn_check_free_last(c);
}

static void check_alone(attn_checking *c, const projection *p, size_t steps) {
    check_delivered(c, p);
    for (size_t part = 0; part < p->linear.part_count && attn_check_goes_on(c); part++)
        check_part_alone(c, p, part, steps);
}

/* No bit of a row may depend on its place, its company or on threads. */
static void check_bits(attn_checking *c, projection *p, size_t steps) {
    run_all(c, &p, 1, c->effort->parallel);
    check_alone(c, p, steps);
}

void attn_check_linear_bits(attn_checking *c) {
    check_projections(c, check_bits);
}

/* Has every part of a product that was computed with others the bits that it has by itself? */
void attn_check_linears(attn_checking *c) {
    for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++) {
        projection *p[ATTN_LINEARS] = {NULL};
        const size_t count = attn_check_between(c, 1, ATTN_LINEARS);
        attn_check_free(c);
        for (size_t n = 0; n < count && attn_check_goes_on(c); n++)
            p[n] = random_projection(c, (attn_precision)attn_check_below(c, ATTN_PRECISIONS));
        if (attn_check_goes_on(c))
            run_all(c, p, count, attn_check_below(c, 2) ? c->effort->parallel : NULL);
        for (size_t n = 0; n < count; n++) {
            if (attn_check_goes_on(c))
                check_alone(c, p[n], SOME);
            free_projection(p[n]);
        }
    }
}

void attn_check_stopped(attn_checking *c) {
    for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++) {
        attn_check_free(c);
        projection *p = random_projection(c, i % ATTN_PRECISIONS);
        if (attn_check_goes_on(c)) {
            p->linear.stopped = is_stopped;
            p->stopped = attn_check_below(c, p->linear.part_count);
            run_and_check(c, p, SOME);
        }
        free_projection(p);
    }
}
