/* checks_tiny.c: within a round each kernel takes what is below 2^-126 as zero. */
#include "tests/core/kernels/checks.h"

#include "core/parallel.h"
#include "tests/core/kernels/arrays.h"

#include <math.h>

/* Sums of so few products are as small. */
enum { WIDTH = 70, DEPTH = 21, MOST_ROWS = 20 };

/* Numbers of two sizes whose products are that small, though they are not, or one of them is. */
typedef struct {
    const attn_kernels *kernels;
    uint64_t seed;
    float x_size, w_size;
    bool counts; /* the product is a normal number */
    bool good;
} tiny_check;

static bool all_as_expected(const tiny_check *c, const char *kernel, const float *y, size_t count) {
    const attn_kernels *kernels = c->kernels;
    for (size_t n = 0; n < count; n++)
        if ((y[n] != 0) != c->counts || (y[n] != 0 && !isnormal(y[n])))
            return FAIL("%s of numbers of %g and %g: [%zu] is %.9g", kernel, (double)c->x_size,
                        (double)c->w_size, n, (double)y[n]);
    return true;
}

/* From 1 to 2 times the size, so that no sum is small by chance. */
static void fill(float *x, size_t count, float size, uint64_t *seed) {
    for (size_t n = 0; n < count; n++)
        x[n] = size * (1.5f + 0.5f * random_float(seed));
}

static void take(void *context, size_t part, size_t row, size_t rows, size_t column, size_t columns, float *y,
                 size_t y_row) {
    (void)part;
    for (size_t r = 0; r < rows; r++)
        memcpy((float *)context + (row + r) * WIDTH + column, y + r * y_row, columns * sizeof *y);
}

/* A projection, in every precision. */
static bool projection_is_right(tiny_check *c, attn_precision precision) {
    const attn_kernels *kernels = c->kernels;
    const size_t rows = between(&c->seed, 1, MOST_ROWS);
    float *weight = array(WIDTH * DEPTH), *x = array(rows * DEPTH), *y = array(rows * WIDTH);
    fill(weight, WIDTH * DEPTH, c->w_size, &c->seed);
    fill(x, rows * DEPTH, c->x_size, &c->seed);
    attn_packed packed;
    if (!attn_pack(&packed, kernels, precision, WIDTH, DEPTH, weight))
        abort();
    const attn_linear_part part = {x, rows};
    const attn_linear linear = {
        .weight = &packed, .parts = &part, .part_count = 1, .unit = 1, .deliver = take, .context = y};
    char *scratch = aligned_alloc(64, (attn_linear_scratch(&linear, 1) + 63) / 64 * 64);
    if (scratch == NULL)
        abort();
    attn_linear_run(&linear, 1, NULL, scratch);
    const bool good = all_as_expected(c, attn_precision_name(precision), y, rows * WIDTH);
    attn_packed_free(&packed);
    free(weight), free(x), free(y), free(scratch);
    return good;
}

/* What is called within rounds only. */
static void check_in_a_round(void *context, size_t round, size_t slot) {
    tiny_check *c = context;
    const attn_kernels *kernels = c->kernels;
    const size_t columns = 3 * kernels->panel;
    (void)round, (void)slot;
    float *a = array(MOST_ROWS * DEPTH), *b = array(DEPTH * columns), *y = array(MOST_ROWS * columns);
    fill(a, MOST_ROWS * DEPTH, c->x_size, &c->seed);
    fill(b, DEPTH * columns, c->w_size, &c->seed);
    const attn_product product = {.rows = MOST_ROWS,
                                  .columns = columns,
                                  .depth = DEPTH,
                                  .a = a,
                                  .a_row = DEPTH,
                                  .a_step = 1,
                                  .b = b,
                                  .b_row = kernels->panel,
                                  .b_panel = DEPTH * kernels->panel,
                                  .y = y,
                                  .y_row = columns};
    kernels->product[ATTN_FLOAT32](&product);
    c->good = c->good && all_as_expected(c, "the product", y, MOST_ROWS * columns);
    kernels->dots(MOST_ROWS, DEPTH, b, a, DEPTH, y);
    c->good = c->good && all_as_expected(c, "the dot product", y, MOST_ROWS);
    memcpy(y, a, DEPTH * sizeof *y);
    kernels->scale(y, DEPTH, c->w_size);
    c->good = c->good && all_as_expected(c, "the scaling", y, DEPTH);
    free(a), free(b), free(y);
}

bool check_tiny(const attn_kernels *kernels, uint64_t seed) {
    static const float sizes[][2] = {
        {1e-20f, 1e-20f}, {1e-40f, 1e20f}, {1e20f, 1e-40f}, {1e-20f, 1e-10f}, {1e-36f, 2}};
    bool good = true;
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes && good; n++) {
        tiny_check c = {kernels, seed, sizes[n][0], sizes[n][1], n >= 3, true};
        attn_parallel_run(NULL, 1, check_in_a_round, &c);
        for (int precision = 0; precision < ATTN_PRECISIONS && c.good; precision++)
            c.good = projection_is_right(&c, (attn_precision)precision);
        good = c.good;
    }
    return good;
}
