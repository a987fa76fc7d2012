/* Numbers near the end of float32: a request is refused if what it asks for is beyond it, and never because a
 * part of a sum was. */
#include "core/attention/dropout.h"
#include "tests/core/layers.h"
#include "tests/looks.h"

#include <float.h>

/* Packs a weight with all numbers the same, or with those of `numbers` [width, depth]. */
static void pack_numbers(setup *s, attn_packed *packed, size_t width, size_t depth, const float *from,
                         float all) {
    float *numbers_of = numbers(width * depth, 0, &(uint64_t){1});
    for (size_t n = 0; n < width * depth; n++)
        numbers_of[n] = from == NULL ? all : from[n];
    pack(s, packed, width, depth, numbers_of);
}

/* A layer [E, E] whose projections are the identity, without biases. */
static setup make_plain(size_t E, size_t H, size_t L, size_t S, attn_precision precision) {
    uint64_t seed = 1;
    setup s = make_setup(E, H, 1, L, S, &seed);
    attn_layer *w = &s.layer;
    float *identity = numbers(E * E, 0, &seed);
    attn_packed *const weights[] = {&w->q_weight, &w->k_weight, &w->v_weight, &w->o_weight};
    w->config.kdim = w->config.vdim = E;
    w->config.precision = precision;
    w->q_bias = w->k_bias = w->v_bias = w->o_bias = NULL;
    for (size_t e = 0; e < E; e++)
        identity[e * E + e] = 1;
    for (size_t n = 0; n < 4; n++)
        pack_numbers(&s, weights[n], E, E, identity, 0);
    s.input.query = numbers(L * E, 0, &seed);
    s.input.key = numbers(S * E, 1, &seed);
    s.input.value = numbers(S * E, 1, &seed);
    return s;
}

static float *writable(const float *input) {
    return (float *)(uintptr_t)input;
}

static void fill(const float *input, size_t count, float number) {
    for (size_t n = 0; n < count; n++)
        writable(input)[n] = number;
}

static attn_status status_of(const setup *s) {
    attn_output out = {.output = nothing_yet(outputs_of(s))};
    return forward(s, &out);
}

/* The pass succeeds and is near the reference: how near, other tests ask. */
static void check_near(const char *what, const setup *s) {
    const size_t count = outputs_of(s);
    attn_output out = {.output = nothing_yet(count)};
    double *exact = keep(malloc((count + 1) * sizeof *exact)), largest = 0, worst = 0, value = 0;
    const attn_reference_output reference = {.output = exact};
    cr_assert_eq(forward(s, &out), ATTN_OK, "%s: refused (%s, %s)", what, s->layer.kernels->name,
                 attn_precision_name(s->layer.config.precision));
    cr_assert_eq(attn_reference(&s->layer, &s->input, &reference), ATTN_OK);
    for (size_t n = 0; n < count; n++) {
        largest = fmax(largest, fabs(exact[n]));
        worst = fmax(worst, isfinite(out.output[n]) ? fabs((double)out.output[n] - exact[n]) : INFINITY);
    }
    /* Weights below float32 count as zero, also those of large values. */
    for (size_t n = 0; n < s->input.B * s->input.S * s->layer.config.vdim; n++)
        value = fmax(value, fabs((double)s->input.value[n]));
    cr_assert(worst <= 1e-4 * largest + 1e-36 * value, "%s: off by %g of %g (%s, %s)", what, worst, largest,
              s->layer.kernels->name, attn_precision_name(s->layer.config.precision));
}

/* ---- Values ---- */

/* The mean of equal values is that value, however many there are, up to the largest number. */
TEST_OF_KERNELS(beyond, the_mean_of_large_values_is_no_larger) {
    static const size_t keys[] = {1, 3, 4, 100, 256, 1100, 3000};
    static const float values[] = {1e35f, 1e38f, -3e38f, FLT_MAX};
    for (attn_precision precision = 0; precision < ATTN_PRECISIONS; precision++)
        for (size_t n = 0; n < sizeof keys / sizeof *keys; n++)
            for (size_t v = 0; v < sizeof values / sizeof *values; v++)
                for (size_t L = 1; L <= 3; L += 2) {
                    setup s = make_plain(8, 2, L, keys[n], precision);
                    /* int8 stands for 1 by a little more. */
                    fill(s.input.value, keys[n] * 8, precision == ATTN_INT8 ? values[v] * 0.99f : values[v]);
                    check_near("equal values", &s);
                    free_round();
                }
}

/* Sinks, extra keys and masks beside values of any size, in a random layer. Output and values stay in
 * float32. */
TEST_OF_KERNELS(beyond, large_values_are_mixed_as_small_ones_are) {
    uint64_t seed = test_seed("large_values_are_mixed_as_small_ones_are");
    for (int n = 0; n < 150; n++) {
        const size_t D = 1 + random_below(&seed, 20);
        setup s = make_setup_of(D, 1 + random_below(&seed, 40), 1 + random_below(&seed, 500), 600, &seed);
        const float size = (float)pow(10, 34 + (double)random_below(&seed, 3));
        const size_t values = s.input.B * s.input.S * s.layer.config.vdim;
        for (size_t i = 0; i < values; i++)
            writable(s.input.value)[i] *= size;
        check_near("large values", &s);
        free_round();
    }
}

/* A sink takes its share of them too. */
TEST_OF_KERNELS(beyond, large_values_share_with_sinks) {
    for (size_t keys = 1; keys <= 600; keys += 149) {
        setup s = make_plain(8, 2, 3, keys, ATTN_FLOAT32);
        float *sinks = numbers(2, 0, &(uint64_t){1});
        sinks[0] = 1, sinks[1] = 6;
        s.layer.config.sinks = true;
        s.layer.sinks = sinks;
        fill(s.input.value, keys * 8, 3e38f);
        check_near("sinks", &s);
        free_round();
    }
}

/* Each of 40 weights is 1 / 40, times its factor. */
TEST_OF_KERNELS(beyond, large_values_are_dropped_as_small_ones_are) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        setup s = make_plain(4, 1, 1, 40, ATTN_FLOAT32);
        float output[4];
        attn_output out = {.output = output};
        double expected = 0;
        fill(s.input.value, 40 * 4, 1e38f);
        s.layer.config.dropout = 0.5;
        s.input.training = true;
        s.input.seed = seed;
        for (uint32_t j = 0; j < 40; j++)
            expected += (double)attn_dropout_factor(0.5, seed, 0, 0, 0, j) * 1e38 / 40;
        cr_assert_eq(forward(&s, &out), ATTN_OK);
        for (size_t e = 0; e < 4; e++)
            cr_assert(fabs((double)output[e] - expected) <= 1e-5 * expected, "seed %zu: %g, not %g",
                      (size_t)seed, (double)output[e], expected);
        free_round();
    }
}

/* ---- Projections ---- */

enum { E = 8 };

/* An input of which a part of the sum overflows, and the whole does not. */
static void cancel(const float *input, size_t rows) {
    for (size_t n = 0; n < rows * E; n++)
        writable(input)[n] = n % 4 < 2 ? 3e38f : -3e38f;
}

/* Each projection in its turn, with a weight of ones: 3e38 + 3e38 + .. - 3e38 - .. is the bias. */
TEST_OF_KERNELS(beyond, a_part_of_a_projection_may_be_too_large) {
    uint64_t seed = test_seed("a_part_of_a_projection_may_be_too_large");
    for (int n = 0; n < 400; n++) {
        const int which = n % 4;
        setup s = make_plain(E, 2, 1 + random_below(&seed, 4), 1 + random_below(&seed, 40),
                             (attn_precision)random_below(&seed, ATTN_PRECISIONS));
        attn_layer *w = &s.layer;
        attn_packed *const weights[] = {&w->q_weight, &w->k_weight, &w->v_weight, &w->o_weight};
        const float **const biases[] = {&w->q_bias, &w->k_bias, &w->v_bias, &w->o_bias};
        const float *const inputs[] = {s.input.query, s.input.key, s.input.value, s.input.value};
        if (random_below(&seed, 2) == 0 && which < 2) {
            w->config.qk_norm = true;
            w->config.qk_norm_eps = 1e-6;
            w->q_norm = numbers(E / 2, 1, &seed);
            w->k_norm = numbers(E / 2, 1, &seed);
        }
        if (random_below(&seed, 2) == 0)
            w->config.rope =
                (attn_rope){.style = random_below(&seed, 2) == 0 ? ATTN_ROPE_HALF : ATTN_ROPE_INTERLEAVED,
                            .dims = 2 + 2 * random_below(&seed, 2),
                            .theta = 100,
                            .magnitude = 1};
        fill(s.input.query, s.input.L * E, 0.5f);
        pack_numbers(&s, weights[which], E, E, NULL, 1);
        *biases[which] = numbers(E, 1, &seed);
        cancel(inputs[which], which == 0 ? s.input.L : s.input.S);
        check_near("a projection", &s);
        free_round();
    }
}

/* A pass may be told to stop at any time, also with many rows still to be computed again. */
TEST_OF_KERNELS(beyond, stops_between_rows_that_are_computed_again) {
    setup s = make_plain(E, 2, 90, 90, ATTN_FLOAT32);
    attn_output out = {.output = nothing_yet(90 * E)};
    attn_status status = ATTN_CANCELLED;
    pack_numbers(&s, &s.layer.q_weight, E, E, NULL, 1);
    pack_numbers(&s, &s.layer.k_weight, E, E, NULL, 1);
    cancel(s.input.query, 90);
    cancel(s.input.key, 90);
    for (size_t n = 1; status == ATTN_CANCELLED; n++) {
        looks asked = {.stops_at = n};
        const attn_control control = {looks_ask, &asked};
        attn_arena *work = attn_arena_new(NULL);
        status = attn_forward(&s.layer, &s.input, &out, work, &control, NULL);
        cr_assert(status != ATTN_CANCELLED || asked.looks < n + 10);
        attn_arena_free(work);
    }
    cr_assert_eq(status, ATTN_OK);
}

/* A head of 1.2e39 is beyond float32, and its norm is not. */
TEST_OF_KERNELS(beyond, what_is_normed_may_be_too_large_before) {
    for (attn_precision precision = 0; precision < ATTN_PRECISIONS; precision++)
        for (size_t which = 0; which < 2; which++) {
            uint64_t seed = 5;
            setup s = make_plain(E, 2, 3, 20, precision);
            attn_packed *const weight = which == 0 ? &s.layer.q_weight : &s.layer.k_weight;
            s.layer.config.qk_norm = true;
            s.layer.config.qk_norm_eps = 1e-6;
            s.layer.q_norm = numbers(E / 2, 1, &seed);
            s.layer.k_norm = numbers(E / 2, 1, &seed);
            fill(s.input.query, 3 * E, 0.5f);
            for (float size = 1e37f; size < INFINITY;
                 size *= 6) { /* the last is beyond, those before are not */
                pack_numbers(&s, weight, E, E, NULL, 1);
                fill(which == 0 ? s.input.query : s.input.key, (which == 0 ? 3 : 20) * E, size);
                check_near("a norm", &s);
            }
            free_round();
        }
}

/* ---- Scores ---- */

/* A query (a, b) and keys (c, d) of one head; `scores` that those are. */
static void check_score(const char *what, float a, float b, float c, float d, float scale, double cap) {
    for (size_t L = 1; L <= 2; L++) {
        setup s = make_plain(2, 1, L, 5, ATTN_FLOAT32);
        s.layer.config.softcap = cap;
        float *scales = numbers(1, 0, &(uint64_t){1});
        scales[0] = scale;
        s.layer.scale = scales;
        for (size_t n = 0; n < 2 * L; n++)
            writable(s.input.query)[n] = n % 2 == 0 ? a : b;
        for (size_t j = 0; j < 5; j++) {
            writable(s.input.key)[2 * j] = c;
            writable(s.input.key)[2 * j + 1] = j % 2 == 0 ? d : d * 0.9f;
        }
        check_near(what, &s);
        free_round();
    }
}

TEST_OF_KERNELS(beyond, a_part_of_a_score_may_be_too_large) {
    check_score("parts of either sign", 1e20f, 1e20f, 4e18f, -4e18f, 1e-37f, 0);
    check_score("parts of either sign, unscaled", 1e20f, 1e20f, 4e18f, -4e18f, 0x1p-120f, 0);
    check_score("a query that overflows by the scale", 1e20f, -1e20f, 1e-37f, 2e-37f, 1e19f, 0);
    check_score("a capped score of 1e39", 1e20f, 1e19f, 1e19f, 1e19f, 1, 30);
    check_score("a capped score of -1e39", -1e20f, 1e19f, 1e19f, 1e19f, 1, 30);
    check_score("a capped sum of which a part has another sign", 1e20f, 1e20f, 4e18f, -1e19f, 1, 30);
}

/* Scores are small until their distances are added: beyond float32 they are refused, unless no query sees
 * them.
 */
TEST_OF_KERNELS(beyond, a_bias_may_be_too_large) {
    for (size_t L = 1; L <= 2; L++) {
        setup s = make_plain(4, 2, L, 6, ATTN_FLOAT32);
        float *slopes = numbers(2, 0, &(uint64_t){1});
        s.layer.config.alibi = true;
        s.layer.alibi_slopes = slopes;
        s.input.query_offset = 1;
        slopes[1] = 1e37f;
        check_near("a large bias", &s);
        slopes[1] = 1e38f; /* four keys on it is beyond */
        cr_assert_eq(status_of(&s), ATTN_BAD_VALUE);
        s.input.is_causal = true;
        check_near("a bias of keys that are not seen", &s);
        free_round();
    }
}

/* What masks make of a score is their sum, wherever a part of it would be. */
TEST_OF_KERNELS(beyond, a_part_of_a_sum_with_masks_may_be_too_large) {
    static const struct {
        float mask, padding;
        attn_status status;
        bool excluded;
    } sums[] = {
        {3e38f, -3e38f, ATTN_OK, false},
        {-3e38f, 3e38f, ATTN_OK, false},
        {FLT_MAX, FLT_MAX, ATTN_BAD_VALUE, true},
        {0.9e38f, 3e38f, ATTN_BAD_VALUE, true},
        {3e38f, 0.9e38f, ATTN_BAD_VALUE, true},
        {-FLT_MAX, -FLT_MAX, ATTN_OK, true},
        {-FLT_MAX, 0, ATTN_OK, true},
        {-INFINITY, FLT_MAX, ATTN_OK, true},
    };
    for (size_t n = 0; n < sizeof sums / sizeof *sums; n++)
        for (size_t L = 1; L <= 2; L++) {
            setup s = make_plain(4, 2, L, 3, ATTN_FLOAT32);
            float *mask = numbers(L * 3, 0, &(uint64_t){1}), *padding = numbers(3, 0, &(uint64_t){1});
            for (size_t i = 0; i < L; i++)
                mask[i * 3 + 1] = sums[n].mask;
            padding[1] = sums[n].padding;
            s.input.attn_mask = mask;
            s.input.key_padding_mask = padding;
            if (sums[n].status == ATTN_OK)
                check_near("masks", &s);
            cr_assert_eq(status_of(&s), sums[n].status, "%g and %g", (double)sums[n].mask,
                         (double)sums[n].padding);
            free_round();
        }
}

/* Two masks of the largest negative number exclude a key, also the last one; one of them is a number. The
 * logarithm of the sum says which. */
TEST_OF_KERNELS(beyond, two_masks_may_exclude_what_one_does_not) {
    uint64_t seed = test_seed("two_masks_may_exclude_what_one_does_not");
    setup s = make_plain(4, 2, 2, 3, ATTN_FLOAT32);
    float *mask = numbers(2 * 3, 0, &seed), *padding = numbers(3, 0, &seed);
    float *lse = nothing_yet(4), *output = nothing_yet(8);
    attn_output out = {.output = output, .lse = lse};
    s.input.attn_mask = mask;
    s.input.key_padding_mask = padding;
    for (size_t j = 0; j < 3; j++) {
        padding[j] = -FLT_MAX;
        mask[j] = -FLT_MAX; /* of the first query only */
    }
    check_near("all keys are excluded from one query", &s);
    cr_assert_eq(forward(&s, &out), ATTN_OK);
    cr_assert(lse[0] == -INFINITY && lse[1] == -FLT_MAX);
    cr_assert(output[0] == 0 && output[4] != 0);
}

/* ---- What is beyond float32 ---- */

/* A score beyond float32 is refused, also a negative one and one of an extra key: it would count as excluded.
 */
TEST_OF_KERNELS(beyond, an_extra_key_of_any_head_is_refused) {
    for (size_t head = 0; head < 2; head++) {
        setup s = make_plain(4, 2, 3, 5, ATTN_FLOAT32);
        float *bias_k = numbers(4, 0, &(uint64_t){1}), *q_bias = numbers(4, 0, &(uint64_t){1});
        fill(q_bias, 4, -100);
        s.layer.config.add_bias_kv = true;
        s.layer.bias_k = bias_k;
        s.layer.bias_v = numbers(4, 1, &(uint64_t){1});
        s.layer.q_bias = q_bias;
        cr_assert_eq(status_of(&s), ATTN_OK);
        fill(bias_k + head * 2, 2, 3e38f);
        cr_assert_eq(status_of(&s), ATTN_BAD_VALUE, "head %zu", head);
        free_round();
    }
}

/* Four heads share two heads of values, of which the second overflows at key 1: only heads 2 and 3 notice. */
TEST_OF_KERNELS(beyond, a_value_matters_to_the_heads_that_it_serves) {
    uint64_t seed = 3;
    for (size_t kv = 0; kv < 2; kv++) {
        setup s = make_plain(4, 4, 2, 6, ATTN_FLOAT32);
        float *v_weight = numbers(2 * 4, 0, &seed), *mask = numbers(4 * 2 * 6, 0, &seed);
        s.layer.config.num_kv_heads = 2;
        pack_numbers(&s, &s.layer.k_weight, 2, 4, NULL, 0.5f);
        v_weight[kv * 4] = v_weight[kv * 4 + 1] = 1;
        v_weight[(1 - kv) * 4 + 2] = 1;
        pack_numbers(&s, &s.layer.v_weight, 2, 4, v_weight, 0);
        writable(s.input.value)[4] = writable(s.input.value)[5] = 3e38f;
        cr_assert_eq(status_of(&s), ATTN_BAD_VALUE);
        s.input.attn_mask = mask;
        s.input.mask_H = 4;
        for (size_t h = 2 * kv; h < 2 * kv + 2; h++)
            for (size_t i = 0; i < 2; i++)
                mask[(h * 2 + i) * 6 + 1] = -INFINITY;
        cr_assert_eq(status_of(&s), ATTN_OK, "key 1 is masked for the heads of kv head %zu", kv);
        mask[((2 * kv + 1) * 2 + 1) * 6 + 1] = 0;
        cr_assert_eq(status_of(&s), ATTN_BAD_VALUE, "one query of one of its heads sees it");
        free_round();
    }
}

/* A value beyond float32 whose weight is dropped is not mixed. */
TEST_OF_KERNELS(beyond, a_value_that_is_dropped_does_not_matter) {
    size_t dropped = 0, kept = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        setup s = make_plain(4, 1, 1, 6, ATTN_FLOAT32);
        pack_numbers(&s, &s.layer.v_weight, 4, 4, NULL, 1);
        fill(s.input.value + 2 * 4, 4, 3e38f);
        s.layer.config.dropout = 0.5;
        s.input.training = true;
        s.input.seed = seed;
        const bool drops = attn_dropout_factor(0.5, seed, 0, 0, 0, 2) == 0;
        cr_assert_eq(status_of(&s), drops ? ATTN_OK : ATTN_BAD_VALUE, "seed %zu", (size_t)seed);
        dropped += drops;
        kept += !drops;
        free_round();
    }
    cr_assert(dropped > 0 && kept > 0);
}

/* Sums of pooled scores are results too. */
TEST_OF_KERNELS(beyond, a_pooled_sum_beyond_float32_is_refused) {
    setup s = make_plain(2, 1, 2, 2, ATTN_FLOAT32);
    float *scale = numbers(1, 0, &(uint64_t){1}), sums[4], output[4];
    scale[0] = 1;
    s.layer.scale = scale;
    fill(s.input.query, 4, 1e19f);
    fill(s.input.key, 4, 1e19f);
    for (attn_pool pool = ATTN_POOL_MAX; pool <= ATTN_POOL_SUM; pool++) {
        attn_output out = {
            .output = output, .scores.values = sums, .view = attn_view_all(&s.layer.config, &s.input)};
        out.view.pooled_rows = out.view.pooled_cols = 1;
        out.view.pool = pool;
        cr_assert_eq(forward(&s, &out), pool == ATTN_POOL_SUM ? ATTN_BAD_VALUE : ATTN_OK);
        cr_assert(pool == ATTN_POOL_SUM || fabs((double)sums[0] - 2e38) < 1e32);
    }
}
