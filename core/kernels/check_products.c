/* check_products.c: products of matrices, and of a query with keys. */
#include "core/kernels/check_common.h"
#include "core/kernels/packed.h"

/* Sizes beside and beyond those of every tile, for the fixed shapes. */
static const size_t SIZES[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100};
enum { SIZE_COUNT = sizeof SIZES / sizeof SIZES[0], RANDOM_SHAPES = 60 };

/* ---- Products ---- */

/* One of a set's functions that multiply. */
typedef struct {
    char name[48];
    void (*multiply)(const attn_product *p);
    attn_precision precision; /* of b */
    size_t panel;
    bool whole_panels; /* are all that it takes */
} multiplier;

/* A product of some shape with all its arrays. */
typedef struct {
    attn_product p;
    const multiplier *by;
    size_t y_count;
    const float *b; /* what the numbers of p.b stand for */
    float *before;  /* what stood in y; UNTOUCHED between the rows */
} product;

/* Makes narrow numbers of b, and of b what they stand for. */
static void *narrow(attn_checking *c, attn_precision precision, float *b, size_t count) {
    void *numbers = attn_check_block(c, count * sizeof(uint16_t));
    for (size_t n = 0; n < count && numbers != NULL; n++) {
        if (precision == ATTN_INT8) {
            const int8_t code = (int8_t)lrintf(b[n] * 127);
            ((int8_t *)numbers)[n] = code;
            b[n] = code;
        } else {
            const uint16_t high = (uint16_t)(attn_bits_of(b[n]) >> 16);
            ((uint16_t *)numbers)[n] = high;
            b[n] = attn_float_of((uint32_t)high << 16);
        }
    }
    return numbers;
}

/* Of random numbers, and with all that is optional at random. Such a shape, but for its columns: they come
 * in the unit that the multiplier takes. */
static bool new_product(attn_checking *c, const multiplier *by, size_t rows, size_t columns, size_t depth,
                        product *r) {
    const bool is_free = by->precision == ATTN_FLOAT32 && !by->whole_panels;
    const bool across = is_free && attn_check_below(c, 3) == 0;
    const bool flat = is_free && attn_check_below(c, 3) == 0; /* b as one matrix, not in panels */
    const size_t unit = is_free ? c->kernels->lanes : by->panel;
    attn_check_free(c);
    *r = (product){.by = by};
    attn_product *p = &r->p;
    p->rows = rows;
    p->columns = (columns + unit - 1) / unit * unit;
    p->depth = depth;
    p->a_row = across ? 1 : depth + attn_check_below(c, 6);
    p->a_step = across ? rows + attn_check_below(c, 6) : 1;
    const size_t panels = (p->columns + by->panel - 1) / by->panel;
    p->b_row = flat ? p->columns : by->panel;
    p->b_panel = flat ? by->panel : (depth + attn_check_below(c, 4)) * by->panel;
    p->y_row = p->columns + attn_check_below(c, 6);
    p->add = attn_check_below(c, 2);
    const size_t b_count = flat ? depth * p->columns : panels * p->b_panel;
    float *const b = attn_check_random(c, b_count);
    r->y_count = rows * p->y_row;
    r->b = b;
    p->a = attn_check_random(c, (rows - 1) * p->a_row + (depth - 1) * p->a_step + 1);
    p->b_scale = attn_check_below(c, 2) ? attn_check_random(c, p->columns) : NULL;
    p->bias = attn_check_below(c, 2) ? attn_check_random(c, p->columns) : NULL;
    p->y = attn_check_array(c, r->y_count);
    r->before = attn_check_array(c, r->y_count);
    if (!attn_check_goes_on(c))
        return false;
    p->b = by->precision == ATTN_FLOAT32 ? b : narrow(c, by->precision, b, b_count);
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < p->columns; n++)
            r->before[m * p->y_row + n] = attn_check_number(c);
    memcpy(p->y, r->before, r->y_count * sizeof *p->y);
    ATTN_SHAPE(c, "m=%zu, n=%zu, k=%zu", rows, p->columns, depth);
    return attn_check_goes_on(c);
}

static bool random_product(attn_checking *c, const multiplier *by, product *r) {
    const size_t rows = attn_check_between(c, 1, attn_check_below(c, 2) ? 8 : 40);
    const size_t columns = attn_check_between(c, 1, 6 * by->panel);
    const size_t depth = attn_check_between(c, 1, attn_check_below(c, 2) ? 7 : ATTN_DEPTH);
    return new_product(c, by, rows, columns, depth, r);
}

/* The number at [m][n] and how far rounding may lead from it. */
static double exact_product(const product *r, size_t m, size_t n, double *allowed) {
    const attn_product *p = &r->p;
    const float *a = p->a + m * p->a_row, *b = r->b + n / r->by->panel * p->b_panel + n % r->by->panel;
    double sum = 0, sizes = 0;
    for (size_t k = 0; k < p->depth; k++) {
        const double term = (double)a[k * p->a_step] * (double)b[k * p->b_row];
        sum += term, sizes += fabs(term);
    }
    const double factor = p->b_scale == NULL ? 1 : (double)p->b_scale[n];
    const double before = p->add ? (double)r->before[m * p->y_row + n] : 0;
    const double bias = p->bias == NULL ? 0 : (double)p->bias[n];
    *allowed = 0x1p-23 * (((double)p->depth + 2) * sizes * fabs(factor) + fabs(before) + fabs(bias)) + 1e-30;
    return before + factor * sum + bias;
}

/* Multiplies, and holds what is in y then against plain loops. */
static void check_multiplied(attn_checking *c, const product *r) {
    const attn_product *p = &r->p;
    r->by->multiply(p);
    for (size_t at = 0; at <= r->y_count; at++) {
        const size_t m = at / p->y_row, n = at % p->y_row;
        double allowed = 0, expected = (double)ATTN_UNTOUCHED;
        if (n < p->columns && m < p->rows)
            expected = exact_product(r, m, n, &allowed);
        attn_check_close(c, r->by->name, (double)p->y[at], expected, allowed);
    }
}

/* In float32, with the narrow weights in use, and with what multiplies with weights instead of these. */
static size_t list_multipliers(const attn_checking *c, multiplier list[ATTN_PRECISIONS + 1]) {
    const attn_kernels *kernels = c->kernels;
    size_t count = 1;
    list[0] =
        (multiplier){"the product", kernels->product[ATTN_FLOAT32], ATTN_FLOAT32, kernels->panel, false};
    for (int precision = ATTN_BFLOAT16; precision < ATTN_PRECISIONS; precision++)
        if (c->effort->in_use[precision])
            list[count++] = (multiplier){"", kernels->product[precision], (attn_precision)precision,
                                         kernels->panel, true};
    if (kernels->weight_product != NULL)
        list[count++] = (multiplier){"", kernels->weight_product, ATTN_FLOAT32, kernels->weight_panel, true};
    for (size_t n = 1; n < count; n++)
        snprintf(list[n].name, sizeof list[n].name, "the product with %s weights",
                 attn_precision_name(list[n].precision));
    return count;
}

/* Each size in each place, beside others that change with it; then random ones. */
void attn_check_product(attn_checking *c) {
    multiplier by[ATTN_PRECISIONS + 1];
    const size_t count = list_multipliers(c, by);
    product r;
    for (size_t n = 0; n < count; n++) {
        const size_t turns = by[n].whole_panels ? 3 : 6; /* of each number of rows */
        for (size_t i = 0; i < turns * SIZE_COUNT && attn_check_goes_on(c); i++) {
            const size_t turn = i / SIZE_COUNT;
            if (new_product(c, &by[n], SIZES[i % SIZE_COUNT], SIZES[(i * 5 + turn) % SIZE_COUNT],
                            SIZES[(i * 11 + turn + 3) % SIZE_COUNT], &r))
                check_multiplied(c, &r);
        }
        for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++)
            if (random_product(c, &by[n], &r))
                check_multiplied(c, &r);
    }
}

/* The same product row by row, and each panel by itself. */
static void multiply_in_pieces(const product *r, float *y) {
    const attn_product *p = &r->p;
    const size_t panel = r->by->panel;
    const size_t size = attn_precision_bytes(r->by->precision);
    for (size_t m = 0; m < p->rows; m++)
        for (size_t n = 0; n < p->columns; n += panel) {
            attn_product one = *p;
            one.rows = 1;
            one.columns = p->columns - n < panel ? p->columns - n : panel;
            one.a += m * p->a_row;
            one.b = (const char *)p->b + n / panel * p->b_panel * size;
            one.b_scale = p->b_scale == NULL ? NULL : p->b_scale + n;
            one.bias = p->bias == NULL ? NULL : p->bias + n;
            one.y = y + m * p->y_row + n;
            r->by->multiply(&one);
        }
}

void attn_check_product_bits(attn_checking *c) {
    multiplier by[ATTN_PRECISIONS + 1];
    const size_t count = list_multipliers(c, by);
    product r;
    for (size_t i = 0; i < count * RANDOM_SHAPES * c->effort->rounds; i++) {
        if (!attn_check_goes_on(c) || !random_product(c, &by[i % count], &r))
            return;
        r.by->multiply(&r.p);
        multiply_in_pieces(&r, r.before);
        for (size_t at = 0; at < r.y_count; at++)
            attn_check_same(c, "the product in pieces", (double)r.before[at], (double)r.p.y[at]);
    }
}

/* ---- The products of one query with keys ---- */

/* y [keys]: by products with the query in the first of the lanes. */
static void multiply_by_product(attn_checking *c, size_t keys, size_t depth, const float *q, const float *k,
                                size_t k_row, float *y) {
    const size_t lanes = c->kernels->lanes;
    float *b = attn_check_array(c, depth * lanes), *all = attn_check_array(c, keys * lanes);
    if (!attn_check_goes_on(c))
        return;
    for (size_t d = 0; d < depth; d++)
        b[d * lanes] = q[d];
    for (size_t d = 0; d < depth; d += ATTN_DEPTH) {
        const attn_product p = {.rows = keys,
                                .columns = lanes,
                                .depth = depth - d < ATTN_DEPTH ? depth - d : ATTN_DEPTH,
                                .a = k + d,
                                .a_row = k_row,
                                .a_step = 1,
                                .b = b + d * lanes,
                                .b_row = lanes,
                                .b_panel = c->kernels->panel,
                                .y = all,
                                .y_row = lanes,
                                .add = d > 0};
        c->kernels->product[ATTN_FLOAT32](&p);
    }
    for (size_t j = 0; j < keys; j++)
        y[j] = all[j * lanes];
}

static void check_keys(attn_checking *c, size_t keys, size_t depth) {
    static const char name[] = "the product of a query with keys";
    const attn_kernels *kernels = c->kernels;
    attn_check_free(c);
    const size_t k_row = depth + attn_check_below(c, 6);
    const float *q = attn_check_random(c, depth), *k = attn_check_random(c, (keys - 1) * k_row + depth);
    float *y = attn_check_array(c, keys), *by_product = attn_check_array(c, keys);
    ATTN_SHAPE(c, "%zu keys of width %zu", keys, depth);
    if (attn_check_goes_on(c))
        multiply_by_product(c, keys, depth, q, k, k_row, by_product);
    if (!attn_check_goes_on(c))
        return;
    kernels->dots(keys, depth, q, k, k_row, y);
    for (size_t j = 0; j < keys; j++) {
        double sum = 0, sizes = 0;
        for (size_t d = 0; d < depth; d++) {
            const double term = (double)q[d] * (double)k[j * k_row + d];
            sum += term, sizes += fabs(term);
        }
        float alone;
        kernels->dots(1, depth, q, k + j * k_row, k_row, &alone);
        attn_check_close(c, name, (double)y[j], sum, 0x1p-23 * (double)depth * sizes);
        attn_check_same(c, name, (double)alone, (double)y[j]);
        attn_check_same(c, name, (double)y[j], (double)by_product[j]);
    }
    attn_check_same(c, name, (double)y[keys], (double)ATTN_UNTOUCHED);
}

void attn_check_dots(attn_checking *c) {
    for (size_t n = 1; n <= 100 && attn_check_goes_on(c); n++)
        check_keys(c, 1 + n % 33, n);
    for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++)
        check_keys(c, attn_check_between(c, 1, 150), attn_check_between(c, 1, 600));
}
