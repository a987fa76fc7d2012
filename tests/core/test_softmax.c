#include "core/kernels/softmax.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <math.h>

#define INF INFINITY

Test(softmax, masks_add_and_exclude) {
    float scores[] = {1, 2, NAN, 4, -INF, -3e38f};
    const float mask[] = {0.5f, -INF, -INF, 0, 0, -3e38f}, padding[] = {0, 0, 0, 1, -INF, 0};
    cr_assert(attn_mask_row(scores, 6, mask, padding));
    const float expected[] = {1.5f, -INF, -INF, 5, -INF, -INF};
    for (size_t j = 0; j < 6; j++)
        cr_assert_eq(scores[j], expected[j], "key %zu: %g", j, (double)scores[j]);
}

Test(softmax, an_overflow_does_not_pass_for_an_exclusion) {
    float max, low[] = {1, -INF}, nan[] = {1, NAN}, high[] = {1, INF}, sum[] = {3e38f, 1};
    double total;
    const float mask[] = {3e38f, 0};
    cr_assert_not(attn_mask_row(low, 2, NULL, NULL));
    cr_assert_not(attn_mask_row(nan, 2, NULL, NULL));
    cr_assert(attn_mask_row(high, 2, NULL, NULL));
    cr_assert_not(attn_softmax_row(high, 2, NULL, &max, &total));
    cr_assert(attn_mask_row(sum, 2, mask, NULL));
    cr_assert_not(attn_softmax_row(sum, 2, NULL, &max, &total));
}

Test(softmax, agrees_with_double_precision) {
    uint64_t seed = test_seed("agrees_with_double_precision");
    static float scores[5000];
    static double exact[5000];
    for (int round = 0; round < 50; round++) {
        const size_t n = 1 + random_below(&seed, 5000);
        double sum = 0, max = -INF;
        for (size_t j = 0; j < n; j++) {
            scores[j] = 30 * random_float(&seed);
            max = fmax(max, (double)scores[j]);
        }
        for (size_t j = 0; j < n; j++)
            sum += exact[j] = exp((double)scores[j] - max);
        float found_max;
        double found_sum;
        const float sink = 30 * random_float(&seed);
        const bool has_sink = random_below(&seed, 2) == 0;
        if (has_sink) {
            const double higher = fmax(max, (double)sink);
            for (size_t j = 0; j < n; j++)
                exact[j] *= exp(max - higher);
            sum = sum * exp(max - higher) + exp((double)sink - higher);
            max = higher;
        }
        cr_assert(attn_softmax_row(scores, n, has_sink ? &sink : NULL, &found_max, &found_sum));
        cr_assert_eq((double)found_max, max);
        cr_assert_float_eq(found_sum, sum, 4e-6 * sum);
        for (size_t j = 0; j < n; j++)
            /* s - max is rounded to float32: up to 2e-6 in the exponent */
            cr_assert_float_eq((double)scores[j], exact[j] / sum, 4e-6 * exact[j] / sum + 1e-37);
    }
}

Test(softmax, a_row_without_keys_has_weights_of_zero) {
    float scores[] = {-INF, -INF}, max;
    const float sink = -3;
    double sum;
    cr_assert(attn_softmax_row(scores, 2, NULL, &max, &sum));
    cr_assert(scores[0] == 0 && scores[1] == 0 && sum == 0);
    cr_assert(attn_softmax_row(scores, 0, NULL, &max, &sum) && sum == 0);
    cr_assert(attn_softmax_row(scores, 0, &sink, &max, &sum) && sum == 1 && max == sink);
}

Test(softmax, finds_what_is_not_finite) {
    float numbers[67] = {0};
    cr_assert(attn_all_finite(numbers, 67));
    for (size_t i = 0; i < 67; i++)
        for (int kind = 0; kind < 3; kind++) {
            numbers[i] = kind == 0 ? INF : kind == 1 ? -INF : NAN;
            cr_assert_not(attn_all_finite(numbers, 67));
            numbers[i] = 3e38f;
        }
    cr_assert(attn_all_finite(numbers, 67));
}
