/* Does the self-check notice a kernel that computes wrongly? Each function of each set is replaced by one
 * that is wrong in a single number, and for some shapes only. */
#include "core/self_check.h"
#include "tests/core/layers.h"

static const bool all[ATTN_PRECISIONS] = {true, true, true};

/* The set under test, as it is. */
static const attn_kernels *right;

static void spoil(attn_precision precision, const attn_product *p) {
    right->product[precision](p);
    if (p->rows == 3)
        p->y[2 * p->y_row] += 0.001f;
}

static void wrong_float32(const attn_product *p) {
    spoil(ATTN_FLOAT32, p);
}

static void wrong_bfloat16(const attn_product *p) {
    spoil(ATTN_BFLOAT16, p);
}

static void wrong_int8(const attn_product *p) {
    spoil(ATTN_INT8, p);
}

static void wrong_weight_product(const attn_product *p) {
    right->weight_product(p);
    if (p->rows == 3)
        p->y[2 * p->y_row] += 0.001f;
}

static void wrong_widening_of_bfloat16(size_t count, const void *from, float *to) {
    right->widen[ATTN_BFLOAT16](count, from, to);
    to[count - 1] += 0.1f;
}

static void wrong_widening_of_int8(size_t count, const void *from, float *to) {
    right->widen[ATTN_INT8](count, from, to);
    to[count - 1] += 10;
}

static void wrong_exponentials(const attn_soft_tile *t) {
    right->softmax_step(t);
    if (t->keys == 5)
        t->tile[4 * t->width] *= 1.00001f;
}

static void wrong_maximum(const attn_soft_tile *t) {
    right->softmax_step(t);
    t->max[t->width - 1] += t->keys == 5 ? 1e-5f : 0;
}

static void wrong_sum(const attn_soft_tile *t) {
    right->softmax_step(t);
    t->sum[0] *= t->keys == 5 ? 1.00001 : 1;
}

/* Right to the last bit but one where rows come together; in long sums, from which rounding may lead as far.
 */
static void spoil_company(const attn_product *p) {
    for (size_t n = 0; p->rows > 1 && p->depth > 100 && n < p->columns; n++)
        p->y[p->y_row + n] *= 1 + 0x1p-22f;
}

static void choosy_weight_product(const attn_product *p) {
    right->weight_product(p);
    spoil_company(p);
}

static void choosy_product(const attn_product *p) {
    right->product[ATTN_FLOAT32](p);
    spoil_company(p);
}

static void leaking_softmax(const attn_soft_tile *t) {
    right->softmax_step(t);
    for (size_t i = 0; i < t->keys * t->width; i++)
        if (t->tile[i] == 0)
            t->tile[i] = 1e-30f;
}

static void wrong_weights(const attn_soft_tile *t) {
    right->softmax_weights(t);
    if (t->keys == 7)
        t->tile[0] *= 1.00001f;
}

static void wrong_dots(size_t keys, size_t depth, const float *q, const float *k, size_t k_row, float *y) {
    right->dots(keys, depth, q, k, k_row, y);
    y[keys - 1] += depth == 9 ? 0.001f : 0;
}

static void wrong_exponential(float *x, size_t count) {
    right->exponential(x, count);
    x[count - 1] *= count == 9 ? 1.00001f : 1;
}

static void wrong_cap(float *x, size_t count, float cap) {
    right->soft_cap(x, count, cap);
    x[count - 1] *= count == 9 ? 1.00001f : 1;
}

/* Misses the last number. */
static uint32_t wrong_largest(const float *x, size_t count) {
    return right->largest(x, count == 9 ? 8 : count);
}

/* Compares numbers with their signs. */
static uint32_t largest_with_signs(const float *x, size_t count) {
    float most = 0;
    uint32_t bits;
    for (size_t n = 0; n < count; n++)
        most = x[n] > most ? x[n] : most;
    memcpy(&bits, &most, sizeof bits);
    return bits;
}

static uint32_t largest_finite(const float *x, size_t count) {
    const uint32_t bits = right->largest(x, count);
    return bits < ATTN_INFINITE ? bits : ATTN_INFINITE - 1;
}

static uint32_t wrong_copy(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                           size_t to_row) {
    const uint32_t bits = right->copy(rows, columns, from, from_row, to, to_row);
    to[(rows - 1) * to_row + columns - 1] *= columns == 9 ? 1 + 0x1p-22f : 1;
    return bits;
}

static uint32_t wrong_size_of_copy(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                                   size_t to_row) {
    return right->copy(rows, columns, from, from_row, to, to_row) - (columns == 9);
}

static uint32_t wrong_scale(float *x, size_t count, float factor) {
    const uint32_t bits = right->scale(x, count, factor);
    x[count - 1] *= count == 9 ? 1 + 0x1p-22f : 1;
    return bits;
}

static uint32_t wrong_size_of_scale(float *x, size_t count, float factor) {
    return right->scale(x, count, factor) + (count == 9);
}

static void wrong_first_sum(const float *x, size_t count, double *sums, bool add) {
    right->accumulate(x, count, sums, add);
    sums[count - 1] *= count == 9 && !add ? 1 + 0x1p-40 : 1;
}

static void wrong_later_sum(const float *x, size_t count, double *sums, bool add) {
    right->accumulate(x, count, sums, add);
    sums[count - 1] *= count == 9 && add ? 1 + 0x1p-40 : 1;
}

static void wrong_rescale(size_t rows, size_t columns, const float *factors, float *x, double *sums) {
    right->rescale(rows, columns, factors, x, sums);
    x[columns - 1] *= columns == 9 ? 1 + 0x1p-22f : 1;
}

static void wrong_rescale_of_sums(size_t rows, size_t columns, const float *factors, float *x, double *sums) {
    right->rescale(rows, columns, factors, x, sums);
    sums[columns - 1] *= columns == 9 ? 1 + 0x1p-40 : 1;
}

/* Is wrong where both x and sums are given, or only the one. */
static void wrong_share(bool x_given, bool sums_given, size_t count, const float *x, const double *sums,
                        double share, float *to) {
    right->normalise(count, x, sums, share, to);
    if (count == 9 && (x != NULL) == x_given && (sums != NULL) == sums_given)
        to[count - 1] *= 1 + 0x1p-22f;
}

static void wrong_share_of_x(size_t count, const float *x, const double *sums, double share, float *to) {
    wrong_share(true, false, count, x, sums, share, to);
}

static void wrong_share_of_sums(size_t count, const float *x, const double *sums, double share, float *to) {
    wrong_share(false, true, count, x, sums, share, to);
}

static void wrong_share_of_both(size_t count, const float *x, const double *sums, double share, float *to) {
    wrong_share(true, true, count, x, sums, share, to);
}

/* Expects a complaint that says so, and names the set. */
static void noticed(const attn_kernels *wrong, const char *says) {
    attn_error error = {""};
    cr_expect_eq(attn_self_check(wrong, all, &error), ATTN_BAD_VALUE, "not noticed: %s", says);
    cr_expect(strstr(error.text, says) != NULL && strstr(error.text, wrong->name) != NULL, "'%s' lacks '%s'",
              error.text, says);
}

/* `wrong` with one function replaced. */
#define NOTICED(function, replacement, says)                                                                 \
    do {                                                                                                     \
        attn_kernels wrong = *right;                                                                         \
        wrong.function = (replacement);                                                                      \
        noticed(&wrong, says);                                                                               \
    } while (0)

TEST_OF_KERNELS(self_check, notices_a_kernel_that_computes_wrongly) {
    right = kernels_under_test;
    NOTICED(product[ATTN_FLOAT32], wrong_float32, "the product ");
    NOTICED(product[ATTN_FLOAT32], wrong_float32, "m=3");
    if (right->weight_product != NULL) {
        NOTICED(weight_product, wrong_weight_product, "the product with float32 weights");
        NOTICED(weight_product, choosy_weight_product, "the projection by itself");
    } else {
        NOTICED(product[ATTN_BFLOAT16], wrong_bfloat16, "the product with bfloat16 weights");
        NOTICED(product[ATTN_INT8], wrong_int8, "the product with int8 weights");
        NOTICED(product[ATTN_FLOAT32], choosy_product, "the projection by itself");
    }
    NOTICED(widen[ATTN_BFLOAT16], wrong_widening_of_bfloat16, "the projection");
    NOTICED(widen[ATTN_INT8], wrong_widening_of_int8, "the projection");
    NOTICED(softmax_step, wrong_exponentials, "the softmax");
    NOTICED(softmax_step, wrong_maximum, "the softmax");
    NOTICED(softmax_step, wrong_sum, "the softmax's sum");
    NOTICED(softmax_step, leaking_softmax, "the softmax");
    NOTICED(softmax_weights, wrong_weights, "the softmax's weights");
    NOTICED(dots, wrong_dots, "the product of a query with keys");
    NOTICED(exponential, wrong_exponential, "the exponential");
    NOTICED(soft_cap, wrong_cap, "the soft cap");
}

TEST_OF_KERNELS(self_check, notices_a_kernel_that_spoils_what_the_products_give) {
    right = kernels_under_test;
    NOTICED(largest, wrong_largest, "the largest number");
    NOTICED(largest, largest_with_signs, "the largest number");
    NOTICED(largest, largest_finite, "the largest number");
    NOTICED(copy, wrong_copy, "the copy of rows");
    NOTICED(copy, wrong_size_of_copy, "the largest copied number");
    NOTICED(scale, wrong_scale, "the scaling");
    NOTICED(scale, wrong_size_of_scale, "the largest scaled number");
    NOTICED(accumulate, wrong_first_sum, "the sum in double precision");
    NOTICED(accumulate, wrong_later_sum, "2 summands");
    NOTICED(rescale, wrong_rescale, "the rescaling ");
    NOTICED(rescale, wrong_rescale_of_sums, "the rescaling of sums");
    NOTICED(normalise, wrong_share_of_x, "the share of numbers");
    NOTICED(normalise, wrong_share_of_sums, "the share of sums");
    NOTICED(normalise, wrong_share_of_both, "the share of both");
}

TEST_OF_KERNELS(self_check, passes_what_computes_rightly) {
    attn_error error = {""};
    cr_expect_eq(attn_self_check(kernels_under_test, all, &error), ATTN_OK, "%s", error.text);
}

/* What no model needs is not looked at: a service of float32 starts on a CPU that has only its int8 wrong. */
TEST_OF_KERNELS(self_check, looks_at_the_precisions_in_use) {
    bool in_use[ATTN_PRECISIONS] = {[ATTN_BFLOAT16] = true};
    attn_error error = {""};
    right = kernels_under_test;
    attn_kernels wrong = *right;
    wrong.widen[ATTN_INT8] = wrong_widening_of_int8;
    cr_expect_eq(attn_self_check(&wrong, in_use, &error), ATTN_OK, "%s", error.text);
    in_use[ATTN_INT8] = true;
    cr_expect_eq(attn_self_check(&wrong, in_use, &error), ATTN_BAD_VALUE);
}
