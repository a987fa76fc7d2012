/* check_tiny.c: within a round each kernel takes what is below 2^-126 as zero. */
#include "core/kernels/check_common.h"
#include "core/kernels/linear.h"

#include <float.h>

/* Sums of so few products are as small. */
enum { WIDTH = 70, DEPTH = 21, MOST_ROWS = 20 };

/* Numbers of two sizes whose products are that small, though they are not, or one of them is. */
typedef struct {
    attn_checking *c;
    float x_size, w_size;
    bool counts;        /* the product is a normal number */
    const float *a, *b; /* [MOST_ROWS, DEPTH] and [DEPTH, columns] */
    float *y;           /* [MOST_ROWS, columns] */
    size_t columns;
} tiny;

static void check_all(const tiny *t, const char *kernel, const float *y, size_t count) {
    ATTN_SHAPE(t->c, "numbers of %g and %g", (double)t->x_size, (double)t->w_size);
    for (size_t n = 0; n < count; n++) {
        const uint32_t size = attn_bits_of(y[n]) & 0x7fffffff, normal = attn_bits_of(FLT_MIN);
        if (t->counts ? size < normal || size >= ATTN_INFINITE : size != 0)
            attn_check_fail(t->c, kernel, (double)y[n], t->counts ? (double)t->x_size : 0);
    }
}

/* From 1 to 2 times the size, so that no sum is small by chance. NULL: no memory. */
static float *array_of(attn_checking *c, size_t count, float size) {
    float *x = attn_check_array(c, count);
    for (size_t n = 0; n < count && x != NULL; n++)
        x[n] = size * (1.5f + 0.5f * attn_check_number(c));
    return x;
}

static void deliver(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns,
                    float *y, size_t y_row) {
    (void)part;
    for (size_t r = 0; r < rows; r++)
        memcpy((float *)context + (row + r) * WIDTH + column, y + r * y_row, columns * sizeof *y);
}

static void check_projection(const tiny *t, attn_precision precision) {
    attn_checking *c = t->c;
    const size_t rows = attn_check_between(c, 1, MOST_ROWS);
    const float *weight = array_of(c, WIDTH * DEPTH, t->w_size), *x = array_of(c, rows * DEPTH, t->x_size);
    float *y = attn_check_array(c, rows * WIDTH);
    attn_packed packed;
    if (!attn_check_goes_on(c))
        return;
    if (!attn_pack(&packed, c->kernels, precision, WIDTH, DEPTH, weight)) {
        attn_check_no_memory(c);
        return;
    }
    const attn_linear_part part = {x, rows};
    const attn_linear linear = {
        .weight = &packed, .parts = &part, .part_count = 1, .unit = 1, .deliver = deliver, .context = y};
    char *scratch = attn_check_block(c, attn_linear_scratch(&linear, 1));
    if (scratch != NULL) {
        attn_linear_run(&linear, 1, NULL, scratch);
        check_all(t, "the projection", y, rows * WIDTH);
    }
    attn_packed_free(&packed);
}

/* What is called within rounds only. */
static void check_in_a_round(void *context, size_t round, size_t slot) {
    const tiny *t = context;
    const attn_kernels *kernels = t->c->kernels;
    (void)round, (void)slot;
    const attn_product product = {.rows = MOST_ROWS,
                                  .columns = t->columns,
                                  .depth = DEPTH,
                                  .a = t->a,
                                  .a_row = DEPTH,
                                  .a_step = 1,
                                  .b = t->b,
                                  .b_row = kernels->panel,
                                  .b_panel = DEPTH * kernels->panel,
                                  .y = t->y,
                                  .y_row = t->columns};
    kernels->product[ATTN_FLOAT32](&product);
    check_all(t, "the product", t->y, MOST_ROWS * t->columns);
    kernels->dots(MOST_ROWS, DEPTH, t->b, t->a, DEPTH, t->y);
    check_all(t, "the product of a query with keys", t->y, MOST_ROWS);
    memcpy(t->y, t->a, DEPTH * sizeof *t->y);
    kernels->scale(t->y, DEPTH, t->w_size);
    check_all(t, "the scaling", t->y, DEPTH);
}

void attn_check_tiny(attn_checking *c) {
    static const float sizes[][2] = {
        {1e-20f, 1e-20f}, {1e-40f, 1e20f}, {1e20f, 1e-40f}, {1e-20f, 1e-10f}, {1e-36f, 2}};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes && attn_check_goes_on(c); n++) {
        tiny t = {c, sizes[n][0], sizes[n][1], n >= 3, NULL, NULL, NULL, 3 * c->kernels->panel};
        attn_check_free(c);
        t.a = array_of(c, MOST_ROWS * DEPTH, t.x_size);
        t.b = array_of(c, DEPTH * t.columns, t.w_size);
        t.y = attn_check_array(c, MOST_ROWS * t.columns);
        if (!attn_check_goes_on(c))
            return;
        attn_parallel_run(NULL, 1, check_in_a_round, &t);
        for (int precision = 0; precision < ATTN_PRECISIONS && attn_check_goes_on(c); precision++)
            check_projection(&t, (attn_precision)precision);
    }
}
