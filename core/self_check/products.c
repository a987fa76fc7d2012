/* products.c: part of the self-check: products of matrices. */
#include "core/kernels/linear.h"
#include "core/kernels/packed.h"
#include "core/self_check/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST ((size_t)100)   /* dimension of a product: more than a tile of any kernel */
#define GAP     ((size_t)3)     /* between the end of a row and the next one */
#define ROW     (LARGEST + GAP) /* from one row to the next */

/* ---- One block of a sum ---- */

typedef struct {
    float *a;      /* [LARGEST, ROW]: the rows, or the columns */
    float *weight; /* [n, k] */
    float *bias;   /* [y_row] */
    float *before; /* [LARGEST, y_row]: what the result was before, and */
    float *y;      /* what it is */
    float *b;      /* [y_row, LARGEST]: the weight in panels */
    size_t y_row;  /* up to the end of a panel */
} matrices;

/* What multiplies, and how it is called. */
typedef struct {
    const char *name;
    void (*product)(const attn_product *p);
    attn_precision precision;
    size_t panel;
    bool across, add, bias; /* a is stored by columns; the sum is added; a bias is added */
} variant;

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Holds y = a weight^T against plain loops. */
static attn_status compare_product(const attn_checking *c, const matrices *x, const char *name,
                                   const attn_product *p, size_t columns) {
    char shape[64];
    snprintf(shape, sizeof shape, "m=%zu, n=%zu, k=%zu", p->rows, columns, p->depth);
    for (size_t i = 0; i < p->rows; i++)
        for (size_t j = 0; j < columns; j++) {
            double sum = p->add ? (double)x->before[i * x->y_row + j] : 0;
            for (size_t k = 0; k < p->depth; k++)
                sum += (double)x->a[i * p->a_row + k * p->a_step] * (double)x->weight[j * p->depth + k];
            sum += p->bias != NULL ? (double)p->bias[j] : 0;
            const attn_status status = attn_check_hold(c, name, shape, (double)x->y[i * x->y_row + j], sum,
                                                       (double)(p->depth + 2) * 0x1p-20);
            if (status != ATTN_OK)
                return status;
        }
    return ATTN_OK;
}

/* Cuts the weight [n, k] into panels. */
static void lay_out(const matrices *x, size_t panel, size_t n, size_t k) {
    memset(x->b, 0, round_up(n, panel) * k * sizeof *x->b);
    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < k; i++)
            x->b[(row / panel * k + i) * panel + row % panel] = x->weight[row * k + i];
}

static attn_status check_product(attn_checking *c, const matrices *x, const variant *v, size_t m, size_t n,
                                 size_t k) {
    attn_packed packed = {0};
    attn_product product = {.rows = m,
                            .columns = round_up(n, v->across ? c->kernels->lanes : v->panel),
                            .depth = k,
                            .a = x->a,
                            .a_row = v->across ? 1 : ROW,
                            .a_step = v->across ? ROW : 1,
                            .b = x->b,
                            .b_row = v->panel,
                            .b_panel = k * v->panel,
                            .bias = v->bias ? x->bias : NULL,
                            .y = x->y,
                            .y_row = x->y_row,
                            .add = v->add};
    attn_check_fill(c, x->weight, n * k, 1);
    memcpy(x->y, x->before, LARGEST * x->y_row * sizeof *x->y);
    if (v->precision == ATTN_FLOAT32) {
        lay_out(x, v->panel, n, k);
    } else {
        if (!attn_pack(&packed, c->kernels, v->precision, n, k, x->weight))
            return attn_check_no_memory(c);
        product.b = packed.numbers;
        product.b_scale = packed.scales;
        for (size_t i = 0; i < n * k; i++)
            x->weight[i] = attn_packed_at(&packed, i / k, i % k);
    }
    v->product(&product);
    attn_packed_free(&packed);
    return compare_product(c, x, v->name, &product, n);
}

/* Each size in each place, beside others that change with it. */
static attn_status check_sizes(attn_checking *c, const matrices *x, variant v, bool across) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100};
    const size_t count = sizeof sizes / sizeof sizes[0];
    attn_status status = ATTN_OK;
    for (size_t i = 0; i < count * 6 && status == ATTN_OK; i++) {
        v.across = across && i % 2 == 0;
        v.add = i % 3 == 0;
        v.bias = i / 2 % 2 == 0;
        status = check_product(c, x, &v, sizes[i % count], sizes[(i * 5 + i / count) % count],
                               sizes[(i * 11 + 3) % count]);
    }
    return status;
}

static attn_status check_products(attn_checking *c, const variant *v, bool across) {
    const size_t y_row = round_up(LARGEST, v->panel) + GAP, square = LARGEST * ROW;
    float *storage = calloc(2 * square + (1 + 3 * LARGEST) * y_row, sizeof *storage);
    if (storage == NULL)
        return attn_check_no_memory(c);
    matrices x = {.a = storage, .weight = storage + square, .bias = storage + 2 * square, .y_row = y_row};
    x.before = x.bias + y_row;
    x.y = x.before + LARGEST * y_row;
    x.b = x.y + LARGEST * y_row;
    attn_check_fill(c, x.a, square, 1);
    attn_check_fill(c, x.bias, (1 + LARGEST) * y_row, 1);
    const attn_status status = check_sizes(c, &x, *v, across);
    free(storage);
    return status;
}

/* In float32, and either matrix may come across. */
attn_status attn_check_product(attn_checking *c) {
    const attn_kernels *kernels = c->kernels;
    const variant v = {"the product", kernels->product[ATTN_FLOAT32], ATTN_FLOAT32, kernels->panel, 0, 0, 0};
    return check_products(c, &v, true);
}

/* The product with weights, where that is another one. */
static attn_status check_weight_product(attn_checking *c, attn_precision precision) {
    const attn_kernels *kernels = c->kernels;
    char name[64];
    snprintf(name, sizeof name, "the product with %s weights", attn_precision_name(precision));
    const variant own = {name, kernels->weight_product, ATTN_FLOAT32, kernels->weight_panel, 0, 0, 0},
                  narrow = {name, kernels->product[precision], precision, kernels->panel, 0, 0, 0};
    if (kernels->weight_product != NULL)
        return check_products(c, &own, false);
    return precision == ATTN_FLOAT32 ? ATTN_OK : check_products(c, &narrow, false);
}

/* ---- The projections: products of more than one block of the sum, of rows from two places ---- */

enum { WIDTH = 70, DEPTH = 300, PARTS = 2, FEW = 3, MANY = 40 };

typedef struct {
    float weight[WIDTH * DEPTH], bias[WIDTH];
    float x[PARTS][MANY * DEPTH], y[PARTS][MANY * WIDTH];
} projection;

static void take(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns, float *y,
                 size_t y_row) {
    projection *p = context;
    for (size_t i = 0; i < rows; i++)
        memcpy(p->y[part] + (row + i) * WIDTH + column, y + i * y_row, columns * sizeof *y);
}

static attn_status compare_projection(const attn_checking *c, const projection *p, const attn_packed *packed,
                                      size_t part, size_t rows) {
    char shape[64];
    snprintf(shape, sizeof shape, "%zu rows, %s weights", rows, attn_precision_name(packed->precision));
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < WIDTH; j++) {
            double sum = (double)p->bias[j];
            for (size_t k = 0; k < DEPTH; k++)
                sum += (double)p->x[part][i * DEPTH + k] * (double)attn_packed_at(packed, j, k);
            const attn_status status = attn_check_hold(
                c, "the projection", shape, (double)p->y[part][i * WIDTH + j], sum, DEPTH * 0x1p-20);
            if (status != ATTN_OK)
                return status;
        }
    return ATTN_OK;
}

static attn_status run_projection(const attn_checking *c, projection *p, const attn_packed *packed,
                                  const attn_linear_part *parts, size_t count) {
    const attn_linear linear = {.weight = packed,
                                .bias = p->bias,
                                .parts = parts,
                                .part_count = count,
                                .unit = 1,
                                .deliver = take,
                                .context = p};
    const size_t bytes = (attn_linear_scratch(&linear, 1) + 63) / 64 * 64;
    char *scratch = aligned_alloc(64, bytes);
    if (scratch == NULL)
        return attn_check_no_memory(c);
    attn_linear_run(&linear, 1, NULL, scratch);
    free(scratch);
    return ATTN_OK;
}

/* So many rows, all but one of them from the second place. */
static attn_status check_rows(const attn_checking *c, projection *p, const attn_packed *packed, size_t rows) {
    const attn_linear_part parts[PARTS] = {{p->x[0], 1}, {p->x[1], rows - 1}};
    attn_status status = run_projection(c, p, packed, parts, PARTS);
    if (status == ATTN_OK)
        status = compare_projection(c, p, packed, 0, 1);
    return status == ATTN_OK ? compare_projection(c, p, packed, 1, rows - 1) : status;
}

/* Holds each of the last rows that check_rows has computed against the same row by itself: no bit of it may
 * depend on its place or its company. */
static attn_status check_alone(const attn_checking *c, projection *p, const attn_packed *packed) {
    attn_status status = ATTN_OK;
    char shape[64];
    snprintf(shape, sizeof shape, "a row, %s weights", attn_precision_name(packed->precision));
    for (size_t i = 0; i < MANY - 1 && status == ATTN_OK; i++) {
        const attn_linear_part alone = {p->x[1] + i * DEPTH, 1};
        status = run_projection(c, p, packed, &alone, 1);
        for (size_t j = 0; j < WIDTH && status == ATTN_OK; j++)
            status = attn_check_hold(c, "the projection by itself", shape, (double)p->y[0][j],
                                     (double)p->y[1][i * WIDTH + j], 0);
    }
    return status;
}

static attn_status check_projection(attn_checking *c, attn_precision precision) {
    attn_packed packed = {0};
    attn_status status = ATTN_OK;
    projection *p = calloc(1, sizeof *p);
    if (p != NULL) {
        attn_check_fill(c, p->weight, sizeof p->weight / sizeof(float), 1);
        attn_check_fill(c, p->bias, WIDTH, 1);
        attn_check_fill(c, p->x[0], sizeof p->x / sizeof(float), 1);
    }
    if (p == NULL || !attn_pack(&packed, c->kernels, precision, WIDTH, DEPTH, p->weight))
        status = attn_check_no_memory(c);
    if (status == ATTN_OK)
        status = check_rows(c, p, &packed, FEW);
    if (status == ATTN_OK)
        status = check_rows(c, p, &packed, MANY);
    if (status == ATTN_OK)
        status = check_alone(c, p, &packed);
    attn_packed_free(&packed);
    free(p);
    return status;
}

attn_status attn_check_weights(attn_checking *c, attn_precision precision) {
    const attn_status status = check_weight_product(c, precision);
    return status == ATTN_OK ? check_projection(c, precision) : status;
}
