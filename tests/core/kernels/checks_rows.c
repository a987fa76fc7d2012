#include "tests/core/kernels/checks.h"

#include "tests/core/kernels/arrays.h"

#include <math.h>

enum { SHAPES = 200, MOST_COLUMNS = 100, MOST_ROWS = 8 };

/* The first shape has none; most are no multiple of any vector. */
static size_t some(size_t shape, size_t most, uint64_t *seed) {
    return shape == 0 ? 0 : between(seed, 1, most);
}

/* Are they the same number, also where that is -0 or NaN? */
static bool same(double found, double expected) {
    return memcmp(&found, &expected, sizeof found) == 0 || (isnan(found) && isnan(expected));
}

/* Puts infinity, NaN, -NaN, the largest and the smallest numbers, -0 or one that is the largest only without
 * its sign into two of every three arrays. */
static void make_special(float *x, size_t count, uint64_t *seed) {
    static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000,
                                       0x7f800001, 0xffffffff, 0x7f7fffff, 0xff7fffff,
                                       0x00000001, 0x80000001, 0x80000000, 0xc0400000};
    for (size_t n = random_below(seed, 3); n > 0 && count > 0; n--)
        x[random_below(seed, count)] = of_bits(special[random_below(seed, sizeof special / sizeof *special)]);
}

/* [rows, columns] of random numbers; what is between the rows is UNTOUCHED. */
static float *random_rows(size_t rows, size_t columns, size_t row, uint64_t *seed) {
    float *x = array(rows * row);
    for (size_t r = 0; r < rows; r++) {
        for (size_t n = 0; n < columns; n++)
            x[r * row + n] = random_float(seed);
        make_special(x + r * row, columns, seed);
    }
    return x;
}

/* Sums that no float32 holds, and UNTOUCHED behind them. */
static double *random_sums(size_t count, uint64_t *seed) {
    double *sums = malloc((count + 1) * sizeof *sums);
    if (sums == NULL)
        abort();
    for (size_t n = 0; n < count; n++)
        sums[n] = (double)random_float(seed) + (double)random_float(seed) * 0x1p-28;
    sums[count] = (double)UNTOUCHED;
    return sums;
}

static void *copy_of(const void *numbers, size_t bytes) {
    void *copy = malloc(bytes);
    if (copy == NULL)
        abort();
    return memcpy(copy, numbers, bytes);
}

/* 1, 0, what leads beyond float32 on either side, or any number. */
static float some_factor(uint64_t *seed) {
    static const float factors[] = {1, 1, 0, -1, 0x1p127f, 0x1p-140f};
    const size_t kind = random_below(seed, 2 * sizeof factors / sizeof *factors);
    return kind < sizeof factors / sizeof *factors ? factors[kind] : random_float(seed);
}

/* ---- The largest
 * ---------------------------------------------------------------------------------------------- */

static uint32_t plain_largest(const float *x, size_t rows, size_t columns, size_t row) {
    double most = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t n = 0; n < columns; n++) {
            if (!isfinite(x[r * row + n]))
                return ATTN_INFINITE;
            most = fmax(most, fabs((double)x[r * row + n]));
        }
    return bits_of((float)most);
}

/* Any bits from those of infinity on say that a number is not finite. */
static bool same_largest(uint32_t found, uint32_t expected) {
    return expected < ATTN_INFINITE ? found == expected : found >= ATTN_INFINITE;
}

bool check_largest(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t count = some(shape, MOST_COLUMNS, &seed);
        float *x = random_rows(1, count, count, &seed);
        const uint32_t found = kernels->largest(x, count), expected = plain_largest(x, 1, count, count);
        if (!same_largest(found, expected))
            good = FAIL("of %zu: bits %#x, not %#x", count, found, expected);
        free(x);
    }
    return good;
}

bool check_copy(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t rows = shape == 1 ? 0 : between(&seed, 1, MOST_ROWS);
        const size_t columns = some(shape, MOST_COLUMNS, &seed);
        const size_t from_row = columns + between(&seed, 0, 5), to_row = columns + between(&seed, 0, 5);
        float *from = random_rows(rows, columns, from_row, &seed), *to = array(rows * to_row);
        const uint32_t found = kernels->copy(rows, columns, from, from_row, to, to_row);
        const uint32_t largest = plain_largest(from, rows, columns, from_row);
        if (!same_largest(found, largest))
            good = FAIL("%zu x %zu: bits %#x of the largest, not %#x", rows, columns, found, largest);
        for (size_t at = 0; at <= rows * to_row && good; at++) {
            const size_t r = to_row > 0 ? at / to_row : 0, n = to_row > 0 ? at % to_row : 0;
            const float expected = r < rows && n < columns ? from[r * from_row + n] : UNTOUCHED;
            if (bits_of(to[at]) != bits_of(expected))
                good = FAIL("%zu x %zu: [%zu][%zu] is %.9g, not %.9g", rows, columns, r, n, (double)to[at],
                            (double)expected);
        }
        free(from), free(to);
    }
    return good;
}

/* A product of two float32 is exact in double precision: rounded, it is the product in float32. */
static float plain_product(float x, float factor) {
    return (float)((double)x * (double)factor);
}

bool check_scale(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t count = some(shape, MOST_COLUMNS, &seed);
        const float factor = some_factor(&seed);
        float *before = random_rows(1, count, count, &seed), *x = copy_of(before, (count + 1) * sizeof *x);
        const uint32_t found = kernels->scale(x, count, factor), largest = plain_largest(x, 1, count, count);
        if (!same_largest(found, largest))
            good =
                FAIL("%zu times %g: bits %#x of the largest, not %#x", count, (double)factor, found, largest);
        for (size_t n = 0; n <= count && good; n++) {
            const float expected = n < count ? plain_product(before[n], factor) : UNTOUCHED;
            if (!same((double)x[n], (double)expected))
                good = FAIL("%zu times %g: [%zu] is %.9g, not %.9g", count, (double)factor, n, (double)x[n],
                            (double)expected);
        }
        free(before), free(x);
    }
    return good;
}

/* ---- With sums in double precision
 * ---------------------------------------------------------------------------- */

bool check_add_up(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t count = some(shape, MOST_COLUMNS, &seed);
        const bool add = random_below(&seed, 2);
        float *x = random_rows(1, count, count, &seed);
        double *before = random_sums(count, &seed), *sums = copy_of(before, (count + 1) * sizeof *sums);
        kernels->add_up(x, count, sums, add);
        for (size_t n = 0; n <= count && good; n++) {
            double expected = (double)UNTOUCHED;
            if (n < count)
                expected = add ? before[n] + (double)x[n] : (double)x[n];
            if (!same(sums[n], expected))
                good = FAIL("%zu, add %d: [%zu] is %.17g, not %.17g", count, add, n, sums[n], expected);
        }
        free(x), free(before), free(sums);
    }
    return good;
}

bool check_rescale(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t rows = shape == 1 ? 0 : between(&seed, 1, MOST_ROWS);
        const size_t columns = some(shape, MOST_COLUMNS, &seed), count = rows * columns;
        const size_t given = random_below(&seed, 4); /* neither, one of them, or both */
        float *factors = array(rows);
        for (size_t r = 0; r < rows; r++)
            factors[r] = some_factor(&seed);
        float *before = random_rows(rows, columns, columns, &seed);
        float *x = copy_of(before, (count + 1) * sizeof *x);
        double *sums_before = random_sums(count, &seed);
        double *sums = copy_of(sums_before, (count + 1) * sizeof *sums);
        kernels->rescale(rows, columns, factors, given & 1 ? x : NULL, given & 2 ? sums : NULL);
        for (size_t n = 0; n <= count && good; n++) {
            const float factor = n < count ? factors[n / columns] : 1;
            const float expected = given & 1 ? plain_product(before[n], factor) : before[n];
            const double sum = given & 2 ? sums_before[n] * (double)factor : sums_before[n];
            if (!same((double)x[n], (double)expected) || !same(sums[n], sum))
                good = FAIL("%zu x %zu times %g: [%zu] is %.9g and %.17g, not %.9g and %.17g", rows, columns,
                            (double)factor, n, (double)x[n], sums[n], (double)expected, sum);
        }
        free(factors), free(before), free(x), free(sums_before), free(sums);
    }
    return good;
}

bool check_share_out(const attn_kernels *kernels, uint64_t seed) {
    bool good = true;
    for (size_t shape = 0; shape < SHAPES && good; shape++) {
        const size_t count = some(shape, MOST_COLUMNS, &seed), given = random_below(&seed, 4);
        const double share = shape % 5 == 2 ? 0 : 1 / (1.5 + (double)random_float(&seed));
        float *x = random_rows(1, count, count, &seed), *to = array(count);
        double *sums = random_sums(count, &seed);
        kernels->share_out(count, given & 1 ? x : NULL, given & 2 ? sums : NULL, share, to);
        for (size_t n = 0; n <= count && good; n++) {
            const double sum = (given & 2 ? sums[n] : 0) + (given & 1 ? (double)x[n] : 0);
            const float expected = n < count ? (float)(sum * share) : UNTOUCHED;
            if (!same((double)to[n], (double)expected))
                good = FAIL("%zu times %g, x %d, sums %d: [%zu] is %.9g, not %.9g", count, share,
                            (given & 1) != 0, (given & 2) != 0, n, (double)to[n], (double)expected);
        }
        free(x), free(to), free(sums);
    }
    return good;
}
