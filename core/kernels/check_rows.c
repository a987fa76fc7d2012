/* check_rows.c: what is done with numbers between the products. Each number is rounded once at most, so there
 * is only one right answer. */
#include "core/kernels/check_common.h"

enum { MOST_COLUMNS = 100, MOST_ROWS = 8, FIXED_ROWS = 3, RANDOM_SHAPES = 200 };

/* A check of rows of so many numbers. What is plain has FIXED_ROWS rows, all that is optional, and ordinary
 * numbers, so that an error in any place shows; what is not, has these at random. */
typedef void check_of(attn_checking *c, size_t columns, bool is_plain);

static void check_columns(attn_checking *c, check_of *check) {
    for (size_t columns = 1; columns <= MOST_COLUMNS && attn_check_goes_on(c); columns++)
        check(c, columns, true);
    for (size_t i = 0; i < RANDOM_SHAPES * c->effort->rounds && attn_check_goes_on(c); i++)
        check(c, i == 0 ? 0 : attn_check_between(c, 1, MOST_COLUMNS), false);
}

/* Puts infinity, NaN, -NaN, the largest and the smallest numbers, -0 or one that is the largest only without
 * its sign into two of every three rows. */
static void make_special(attn_checking *c, float *x, size_t count) {
    static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
                                       0x7f800001, 0xffffffff, 0x7f7fffff, 0xff7fffff,
                                       0x00000001, 0x80000001, 0x80000000, 0xc0400000};
    for (size_t n = attn_check_below(c, 3); n > 0 && count > 0; n--)
        x[attn_check_below(c, count)] =
            attn_float_of(special[attn_check_below(c, sizeof special / sizeof *special)]);
}

/* [rows, columns] of random numbers, `row` apart; what is between the rows is UNTOUCHED. */
static float *random_rows(attn_checking *c, size_t rows, size_t columns, size_t row, bool is_plain) {
    float *x = attn_check_array(c, rows * row);
    for (size_t r = 0; r < rows && x != NULL; r++) {
        for (size_t n = 0; n < columns; n++)
            x[r * row + n] = attn_check_number(c);
        if (!is_plain)
            make_special(c, x + r * row, columns);
    }
    return x;
}

/* Sums that no float32 holds, and UNTOUCHED behind them. */
static double *random_sums(attn_checking *c, size_t count) {
    double *sums = attn_check_block(c, (count + 1) * sizeof *sums);
    for (size_t n = 0; n <= count && sums != NULL; n++)
        sums[n] = n == count ? (double)ATTN_UNTOUCHED
                             : (double)attn_check_number(c) + (double)attn_check_number(c) * 0x1p-28;
    return sums;
}

static void *copy_of(attn_checking *c, const void *numbers, size_t bytes) {
    void *copy = attn_check_block(c, bytes);
    return copy == NULL || numbers == NULL ? NULL : memcpy(copy, numbers, bytes);
}

/* 1, 0, what leads beyond float32 on either side, or any number. */
static float random_factor(attn_checking *c) {
    static const float factors[] = {1, 1, 0, -1, 0x1p127f, 0x1p-140f};
    const size_t kind = attn_check_below(c, 2 * sizeof factors / sizeof *factors);
    return kind < sizeof factors / sizeof *factors ? factors[kind] : attn_check_number(c);
}

/* A product of two float32 is exact in double precision: rounded, it is the product in float32. */
static float plain_product(float x, float factor) {
    return (float)((double)x * (double)factor);
}

/* ---- The largest ---- */

/* Holds what a kernel gives as the largest number; any bits from those of infinity on say that one is not
 * finite. */
static void largest_is(attn_checking *c, const char *kernel, uint32_t found, double expected) {
    const double number = found < ATTN_INFINITE ? (double)attn_float_of(found) : (double)INFINITY;
    attn_check_same(c, kernel, number, expected);
}

static void largest_is_right(attn_checking *c, const char *kernel, uint32_t found, const float *x,
                             size_t rows, size_t columns, size_t row) {
    double most = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t n = 0; n < columns; n++)
            most = isfinite(x[r * row + n]) ? fmax(most, fabs((double)x[r * row + n])) : (double)INFINITY;
    largest_is(c, kernel, found, most);
}

/* In each place one that is the largest without its sign, and what is not finite. */
static void check_largest(attn_checking *c, size_t count, bool is_plain) {
    const float extremes[] = {-2, INFINITY, -INFINITY, NAN, -NAN};
    attn_check_free(c);
    float *x = random_rows(c, 1, count, count, is_plain);
    if (x == NULL)
        return;
    ATTN_SHAPE(c, "n=%zu", count);
    largest_is_right(c, "the largest number", c->kernels->largest(x, count), x, 1, count, count);
    for (size_t n = 0; n < count && is_plain; n++) {
        const float number = x[n];
        ATTN_SHAPE(c, "n=%zu, in place %zu", count, n);
        for (size_t i = 0; i < sizeof extremes / sizeof extremes[0]; i++) {
            x[n] = extremes[i];
            largest_is(c, "the largest number", c->kernels->largest(x, count), i == 0 ? 2 : (double)INFINITY);
        }
        x[n] = number;
    }
}

static void check_copy(attn_checking *c, size_t columns, bool is_plain) {
    const size_t rows = is_plain ? FIXED_ROWS : attn_check_below(c, MOST_ROWS + 1);
    const size_t from_row = columns + attn_check_below(c, 6), to_row = columns + attn_check_below(c, 6);
    attn_check_free(c);
    const float *from = random_rows(c, rows, columns, from_row, is_plain);
    float *to = attn_check_array(c, rows * to_row);
    if (!attn_check_goes_on(c))
        return;
    ATTN_SHAPE(c, "%zu rows, n=%zu", rows, columns);
    const uint32_t found = c->kernels->copy(rows, columns, from, from_row, to, to_row);
    for (size_t at = 0; at <= rows * to_row; at++) {
        const size_t r = to_row > 0 ? at / to_row : rows, n = to_row > 0 ? at % to_row : 0;
        const float expected = r < rows && n < columns ? from[r * from_row + n] : ATTN_UNTOUCHED;
        attn_check_same(c, "the copy of rows", attn_bits_of(to[at]), attn_bits_of(expected));
    }
    largest_is_right(c, "the largest copied number", found, from, rows, columns, from_row);
}

static void check_scale(attn_checking *c, size_t count, bool is_plain) {
    const float factor = is_plain ? 0.3f : random_factor(c);
    attn_check_free(c);
    const float *before = random_rows(c, 1, count, count, is_plain);
    float *x = copy_of(c, before, (count + 1) * sizeof *x);
    if (!attn_check_goes_on(c))
        return;
    ATTN_SHAPE(c, "n=%zu, factor %g", count, (double)factor);
    const uint32_t found = c->kernels->scale(x, count, factor);
    for (size_t n = 0; n <= count; n++) {
        const float expected = n < count ? plain_product(before[n], factor) : ATTN_UNTOUCHED;
        attn_check_same(c, "the scaling", (double)x[n], (double)expected);
    }
    largest_is_right(c, "the largest scaled number", found, x, 1, count, count);
}

/* ---- With sums in double precision ---- */

/* Sums are begun, and added to. */
static void check_accumulate(attn_checking *c, size_t count, bool is_plain) {
    for (int add = 0; add < 2; add++) {
        attn_check_free(c);
        const float *x = random_rows(c, 1, count, count, is_plain);
        const double *before = random_sums(c, count);
        double *sums = copy_of(c, before, (count + 1) * sizeof *sums);
        if (!attn_check_goes_on(c))
            return;
        ATTN_SHAPE(c, "n=%zu, %d summands", count, add + 1);
        c->kernels->accumulate(x, count, sums, add);
        for (size_t n = 0; n <= count; n++) {
            const double expected = n == count ? before[n] : add ? before[n] + (double)x[n] : (double)x[n];
            attn_check_same(c, "the sum in double precision", sums[n], expected);
        }
    }
}

static void check_rescale(attn_checking *c, size_t columns, bool is_plain) {
    static const float plain_factors[FIXED_ROWS] = {0.3f, 1, 0};
    const size_t rows = is_plain ? FIXED_ROWS : attn_check_below(c, MOST_ROWS + 1), count = rows * columns;
    const size_t given = is_plain ? 3 : attn_check_below(c, 4); /* neither, one of them, or both */
    attn_check_free(c);
    float *factors = attn_check_array(c, rows);
    const float *before = random_rows(c, rows, columns, columns, is_plain);
    const double *sums_before = random_sums(c, count);
    float *x = copy_of(c, before, (count + 1) * sizeof *x);
    double *sums = copy_of(c, sums_before, (count + 1) * sizeof *sums);
    if (!attn_check_goes_on(c))
        return;
    for (size_t r = 0; r < rows; r++)
        factors[r] = is_plain ? plain_factors[r] : random_factor(c);
    ATTN_SHAPE(c, "%zu rows, n=%zu", rows, columns);
    c->kernels->rescale(rows, columns, factors, given & 1 ? x : NULL, given & 2 ? sums : NULL);
    for (size_t n = 0; n <= count; n++) {
        const float factor = n < count ? factors[n / columns] : 1;
        const float expected = given & 1 ? plain_product(before[n], factor) : before[n];
        const double sum = given & 2 ? sums_before[n] * (double)factor : sums_before[n];
        attn_check_same(c, "the rescaling", (double)x[n], (double)expected);
        attn_check_same(c, "the rescaling of sums", sums[n], sum);
    }
}

/* Of sums, of what is not yet added to them, of both, and of neither. */
static void check_normalise(attn_checking *c, size_t count, bool is_plain) {
    static const char *const names[] = {"the share of nothing", "the share of numbers", "the share of sums",
                                        "the share of both"};
    for (size_t given = 0; given < sizeof names / sizeof names[0]; given++) {
        const double share =
            !is_plain && attn_check_below(c, 5) == 0 ? 0 : 1 / (1.5 + (double)attn_check_number(c));
        attn_check_free(c);
        const float *x = random_rows(c, 1, count, count, is_plain);
        const double *sums = random_sums(c, count);
        float *to = attn_check_array(c, count);
        if (!attn_check_goes_on(c))
            return;
        ATTN_SHAPE(c, "n=%zu, share %g", count, share);
        c->kernels->normalise(count, given & 1 ? x : NULL, given & 2 ? sums : NULL, share, to);
        for (size_t n = 0; n <= count; n++) {
            const double sum = (given & 2 ? sums[n] : 0) + (given & 1 ? (double)x[n] : 0);
            const float expected = n < count ? (float)(sum * share) : ATTN_UNTOUCHED;
            attn_check_same(c, names[given], (double)to[n], (double)expected);
        }
    }
}

/* ---- All of them ---- */

#define CHECK_COLUMNS(NAME)                                                                                  \
    void attn_check_##NAME(attn_checking *c) {                                                               \
        check_columns(c, check_##NAME);                                                                      \
    }

CHECK_COLUMNS(largest)
CHECK_COLUMNS(copy)
CHECK_COLUMNS(scale)
CHECK_COLUMNS(accumulate)
CHECK_COLUMNS(rescale)
CHECK_COLUMNS(normalise)
