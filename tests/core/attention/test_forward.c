/* The forward pass in float32, compared with the double-precision reference and against what must hold
 * exactly. */
#include "tests/core/layers.h"

#include <float.h>

/* Runs the pass into fresh arrays. */
static attn_status run(const setup *s, float **output, float **weights, bool average) {
    const size_t rows = s->input.B * s->input.L, H = average ? 1 : s->layer.config.num_heads;
    attn_output out = {.output = nothing_yet(rows * s->layer.config.embed_dim), .view.average = average};
    if (weights != NULL)
        *weights = out.weights.values = nothing_yet(rows * H * keys_of(s));
    *output = out.output;
    return forward(s, &out);
}

/* The largest difference, in units of the largest number, or of `least` if that is larger. */
static double error_of(const float *found, const double *expected, size_t count, double least) {
    double worst = 0, largest = least;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)found[i] - expected[i]));
        largest = fmax(largest, fabs(expected[i]));
    }
    return worst / largest;
}

/* What rounding may do. A score of size r is rounded to some r / 2^24, and exp makes of that a relative error
 * of the weight. A softcap hides how large the scores were, so a sum of D products is taken to be as large as
 * that. How exact the pass is beside torch, tests/peers asks; here a mistake is looked for. */
static double tolerance(const attn_config *config, const double *scores, size_t count) {
    double largest = config->softcap > 0 ? fmax(8, (double)config->head_dim) : 8;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(scores[i]));
    return 8 * largest * 0x1p-22;
}

/* What the pass gives, and what the reference does; sizes by name. */
typedef struct {
    attn_output found;
    attn_reference_output exact;
    size_t outputs, weights, rows, heads;
} both;

static double *no_doubles_yet(size_t count) {
    return keep(malloc((count + 1) * sizeof(double)));
}

static both make_both(const setup *s) {
    const attn_input *in = &s->input;
    both b = {.outputs = in->B * in->L * s->layer.config.embed_dim,
              .rows = in->B * s->layer.config.num_heads * in->L};
    b.weights = b.rows * keys_of(s);
    b.heads = b.rows * s->layer.config.head_dim;
    b.found = (attn_output){.output = nothing_yet(b.outputs),
                            .lse = nothing_yet(b.rows),
                            .head_output = nothing_yet(b.heads),
                            .weights.values = nothing_yet(b.weights),
                            .scores.values = nothing_yet(b.weights)};
    b.exact =
        (attn_reference_output){no_doubles_yet(b.outputs), no_doubles_yet(b.weights),
                                no_doubles_yet(b.weights), no_doubles_yet(b.rows), no_doubles_yet(b.heads)};
    return b;
}

/* As large as the errors of the scores may be. The log-sum-exp of a row without keys must be minus infinity
 * in both. */
static double lse_error(const both *b) {
    double worst = 0, largest = 1;
    for (size_t i = 0; i < b->weights; i++)
        largest = fmax(largest, fabs(b->exact.scores[i]));
    for (size_t i = 0; i < b->rows; i++) {
        const double found = (double)b->found.lse[i], exact = b->exact.lse[i];
        if (isinf(exact) || isinf(found))
            worst = found == exact ? worst : INFINITY;
        else
            worst = fmax(worst, fabs(found - exact) / largest);
    }
    return worst;
}

static void check_against_reference(const setup *s) {
    const attn_input *in = &s->input;
    both b = make_both(s);
    cr_assert_eq(forward(s, &b.found), ATTN_OK);
    cr_assert_eq(attn_reference(&s->layer, in, &b.exact), ATTN_OK);
    /* What goes in is of size 1, and so is the error of an output that happens to be near 0. */
    const double allowed = tolerance(&s->layer.config, b.exact.scores, b.weights);
    const double errors[] = {error_of(b.found.output, b.exact.output, b.outputs, 1),
                             error_of(b.found.weights.values, b.exact.weights, b.weights, 1e-30),
                             error_of(b.found.scores.values, b.exact.scores, b.weights, 1),
                             error_of(b.found.head_output, b.exact.head_output, b.heads, 1), lse_error(&b)};
    for (size_t i = 0; i < 5; i++)
        cr_assert(
            errors[i] <= allowed,
            "E=%zu H=%zu B=%zu L=%zu S=%zu: off by %g (output), %g (weights), %g (scores), %g (heads), %g "
            "(lse), allowed %g",
            s->layer.config.embed_dim, s->layer.config.num_heads, in->B, in->L, in->S, errors[0], errors[1],
            errors[2], errors[3], errors[4], allowed);
}

TEST_OF_KERNELS(attention, agrees_with_the_reference_whatever_the_options) {
    uint64_t seed = test_seed("agrees_with_the_reference_whatever_the_options");
    for (int n = 0; n < 1000; n++) {
        setup s = make_any_setup(&seed);
        check_against_reference(&s);
        free_round();
    }
}

/* Several tiles of queries and blocks of keys, and heads wider than one block of a product. */
TEST_OF_KERNELS(attention, agrees_with_the_reference_in_large_shapes) {
    uint64_t seed = test_seed("agrees_with_the_reference_in_large_shapes");
    for (int n = 0; n < 40; n++) {
        setup s = make_setup_within(n % 4 == 0 ? 512 : 70, n % 2 == 0 ? 150 : 700, &seed);
        check_against_reference(&s);
        free_round();
    }
}

TEST_OF_KERNELS(attention, agrees_with_the_double_precision_reference) {
    uint64_t seed = test_seed("agrees_with_the_double_precision_reference");
    for (int n = 0; n < 400; n++) {
        const size_t H = 1 + random_below(&seed, 6), D = 1 + random_below(&seed, 20);
        setup s = make_setup(H * D, H, random_below(&seed, 4), random_below(&seed, 20),
                             random_below(&seed, 20), &seed);
        add_random_masks(&s, &seed);
        check_against_reference(&s);
        free_round();
    }
}

/* Values around 1 instead of around 0: the mean of very many numbers around 0 is so small that the error
 * which the rounding of the scores alone makes in it would be most of what is measured. */
TEST_OF_KERNELS(attention, agrees_over_several_blocks_of_rows_and_keys) {
    uint64_t seed = test_seed("agrees_over_several_blocks_of_rows_and_keys");
    const size_t shapes[][2] = {{300, 70}, {65, 5000}, {3, 300000}, {129, 64}};
    for (size_t n = 0; n < sizeof shapes / sizeof shapes[0]; n++) {
        setup s = make_setup(4, 2, 1, shapes[n][0], shapes[n][1], &seed);
        const size_t values = s.input.S * s.layer.config.vdim;
        float *value = numbers(values, 0.5f, &seed);
        for (size_t i = 0; i < values; i++)
            value[i] += 1;
        s.input.value = value;
        add_random_masks(&s, &seed);
        check_against_reference(&s);
        free_round();
    }
}

TEST_OF_KERNELS(attention, gives_the_same_bits_with_and_without_weights) {
    uint64_t seed = test_seed("gives_the_same_bits_with_and_without_weights");
    for (int n = 0; n < 100; n++) {
        setup s = make_setup(24, 3, 2, 1 + random_below(&seed, 100), 1 + random_below(&seed, 100), &seed);
        add_random_masks(&s, &seed);
        const size_t bytes = s.input.B * s.input.L * 24 * sizeof(float);
        float *with, *without, *averaged, *weights, *mean;
        cr_assert_eq(run(&s, &with, &weights, false), ATTN_OK);
        cr_assert_eq(run(&s, &without, NULL, false), ATTN_OK);
        cr_assert_eq(run(&s, &averaged, &mean, true), ATTN_OK);
        cr_assert_eq(memcmp(with, without, bytes), 0);
        cr_assert_eq(memcmp(with, averaged, bytes), 0);
        const size_t L = s.input.L, S = s.input.S;
        for (size_t b = 0; b < 2; b++)
            for (size_t i = 0; i < L * S; i++) {
                double sum = 0;
                for (size_t h = 0; h < 3; h++)
                    sum += (double)weights[(b * 3 + h) * L * S + i];
                cr_assert_float_eq((double)mean[b * L * S + i], sum / 3, 1e-7);
            }
        free_round();
    }
}

TEST_OF_KERNELS(attention, gives_the_bias_for_a_query_that_may_attend_to_nothing) {
    uint64_t seed = test_seed("gives_the_bias_for_a_query_that_may_attend_to_nothing");
    setup s = make_setup(8, 2, 1, 3, 4, &seed);
    float *mask = numbers(12, 1, &seed), *bias = numbers(8, 1, &seed), *output, *weights;
    for (size_t j = 0; j < 4; j++)
        mask[4 + j] = -INFINITY;
    s.input.attn_mask = mask;
    s.layer.o_bias = bias;
    cr_assert_eq(run(&s, &output, &weights, false), ATTN_OK);
    for (size_t e = 0; e < 8; e++)
        cr_assert_eq(output[8 + e], bias[e]);
    for (size_t h = 0; h < 2; h++)
        for (size_t j = 0; j < 4; j++) {
            cr_assert_eq(weights[(h * 3 + 1) * 4 + j], 0);
            cr_assert_gt(weights[h * 12 + j], 0);
        }
}

/* Excludes some keys from all queries, single ones and long runs, by one of the ways to do so; excluded [B,
 * S]. */
static void exclude_keys(setup *s, bool *excluded, uint64_t *seed) {
    attn_input *in = &s->input;
    const size_t way = random_below(seed, 3), B = in->B, L = in->L, S = in->S;
    float *padding = numbers(B * S, 0, seed), *mask = mask_numbers(B * L * S, seed);
    for (size_t n = 0; n < B * S; n++) {
        const size_t b = n / S, j = n % S;
        excluded[n] = way == 2 ? j > S / 2 + L - 1 : j / 40 % 3 == b || random_below(seed, 5) == 0;
        padding[n] = excluded[n] ? -INFINITY : 0;
        for (size_t i = 0; excluded[n] && i < L; i++)
            mask[(b * L + i) * S + j] = -INFINITY;
    }
    in->mask_B = B;
    in->attn_mask = way == 0 ? mask : NULL;
    in->key_padding_mask = way == 1 ? padding : NULL;
    in->is_causal = way == 2;
    in->query_offset = S / 2;
}

/* Excluded keys and values hold numbers whose projections overflow: 0 * infinity must not come through. */
TEST_OF_KERNELS(attention, does_not_leak_what_is_masked_out) {
    uint64_t seed = test_seed("does_not_leak_what_is_masked_out");
    for (int n = 0; n < 60; n++) {
        const size_t L = n % 3 == 0 ? 1 : 1 + random_below(&seed, 70), S = 1 + random_below(&seed, 600);
        setup s = make_setup(16, 2, 2, L, S, &seed);
        s.layer.config.kdim = s.layer.config.vdim = 16;
        s.layer.config.softcap = random_below(&seed, 2) == 0 ? 0 : 2;
        pack_random(&s, &s.layer.k_weight, 16, 16, 1, &seed);
        pack_random(&s, &s.layer.v_weight, 16, 16, 1, &seed);
        float *key = numbers(2 * S * 16, 1, &seed), *value = numbers(2 * S * 16, 1, &seed);
        float *tame, *wild, *weights;
        bool *excluded = keep(malloc(2 * S));
        s.input.key = key;
        s.input.value = value;
        exclude_keys(&s, excluded, &seed);
        cr_assert_eq(run(&s, &tame, NULL, false), ATTN_OK);
        for (size_t j = 0; j < 2 * S * 16; j++)
            if (excluded[j / 16])
                key[j] = value[j] = j % 2 ? 3e38f : -3e38f;
        cr_assert_eq(run(&s, &wild, &weights, false), ATTN_OK);
        cr_assert_eq(memcmp(wild, tame, 2 * L * 16 * sizeof *wild), 0);
        for (size_t w = 0; w < 4 * L * S; w++)
            cr_assert(!excluded[w / (2 * L * S) * S + w % S] || weights[w] == 0);
        free_round();
    }
}

/* Weights of one and inputs of 3e38: each in its turn, the query, the key and the value overflow. */
TEST_OF_KERNELS(attention, refuses_a_result_beyond_float32) {
    uint64_t seed = test_seed("refuses_a_result_beyond_float32");
    setup s = make_setup(4, 2, 1, 2, 2, &seed);
    float ones[16], large[8], small[8], *output;
    for (size_t i = 0; i < 16; i++)
        ones[i] = 1;
    for (size_t i = 0; i < 8; i++) {
        large[i] = 3e38f;
        small[i] = 0.5f;
    }
    s.layer.config.kdim = s.layer.config.vdim = 4;
    attn_packed *const weights[] = {&s.layer.q_weight, &s.layer.k_weight, &s.layer.v_weight,
                                    &s.layer.o_weight};
    for (size_t i = 0; i < 4; i++)
        pack(&s, weights[i], 4, 4, ones);
    for (int which = 0; which < 4; which++) {
        s.input.query = which == 1 ? large : small;
        s.input.key = which == 2 ? large : small;
        s.input.value = which == 3 ? large : small;
        cr_assert_eq(run(&s, &output, NULL, false), which == 0 ? ATTN_OK : ATTN_BAD_VALUE);
    }
}

static bool stop_later(void *context) {
    return (*(int *)context)-- <= 0;
}

/* Stopped at its first, second, third ... look, the pass ends cleanly and gives its memory back. */
TEST_OF_KERNELS(attention, stops_when_it_is_told_to) {
    uint64_t seed = test_seed("stops_when_it_is_told_to");
    setup s = make_setup(16, 2, 2, 100, 10, &seed);
    attn_budget budget = {.limit = SIZE_MAX};
    attn_arena *work = attn_arena_new(&budget);
    float *output = nothing_yet(2 * 100 * 16);
    const attn_output out = {.output = output};
    attn_status status = ATTN_CANCELLED;
    int looks = 0;
    for (; status == ATTN_CANCELLED; looks++) {
        int left = looks;
        const attn_control control = {stop_later, &left};
        attn_error error;
        status = attn_forward(&s.layer, &s.input, &out, work, &control, &error);
        cr_assert_eq(budget.used, 0);
    }
    cr_assert_eq(status, ATTN_OK);
    cr_assert_gt(looks, 8); /* four projections, and four heads in two blocks each */
    attn_arena_free(work);
}

/* ALiBi where queries are before or behind all keys, by up to 2^31 positions: what it adds to all scores
 * alike must not cost their accuracy. The scores and the logarithm of the sum have all of it. */
TEST_OF_KERNELS(attention, is_as_exact_far_from_the_keys) {
    uint64_t seed = test_seed("is_as_exact_far_from_the_keys");
    static const uint64_t most = ((uint64_t)1 << 31) - 1, places[] = {0, 5, 60, 300, 70000, 30000000, most};
    for (size_t n = 0; n < 7 * 7 * 6; n++) {
        setup s = make_setup(16, 2, 1, 1 + random_below(&seed, 40), 1 + random_below(&seed, 300), &seed);
        attn_config *c = &s.layer.config;
        c->alibi = true;
        c->causal = s.input.is_causal = random_below(&seed, 2) == 0;
        c->sinks = random_below(&seed, 4) == 0;
        if (random_below(&seed, 3) == 0)
            c->relative_bias = (attn_relative_bias){.buckets = 8, .max_distance = 20, .bidirectional = true};
        if (random_below(&seed, 3) == 0)
            c->sliding_window = 1 + random_below(&seed, 100);
        fill_setup(&s, &seed);
        for (size_t h = 0; h < 2 && c->sinks; h++) /* as slopes are: sinks outweigh what is far */
            ((float *)(uintptr_t)s.layer.alibi_slopes)[h] = fabsf(s.layer.alibi_slopes[h]);
        s.input.query_offset = places[n % 7];
        s.input.key_offset = places[n / 7 % 7];
        both b = make_both(&s);
        cr_assert_eq(forward(&s, &b.found), ATTN_OK);
        cr_assert_eq(attn_reference(&s.layer, &s.input, &b.exact), ATTN_OK);
        const double errors[] = {error_of(b.found.output, b.exact.output, b.outputs, 1),
                                 error_of(b.found.weights.values, b.exact.weights, b.weights, 1e-30),
                                 error_of(b.found.scores.values, b.exact.scores, b.weights, 1),
                                 lse_error(&b)};
        for (size_t i = 0; i < 4; i++)
            cr_assert(
                errors[i] <= 1e-5,
                "queries from %zu, keys from %zu: off by %g (output), %g (weights), %g (scores), %g (lse)",
                (size_t)s.input.query_offset, (size_t)s.input.key_offset, errors[0], errors[1], errors[2],
                errors[3]);
        free_round();
    }
}

static bool count_looks(void *context) {
    ++*(size_t *)context;
    return false;
}

/* Within the single tile of queries there is a look every 2^22 multiplications; of what is hidden there are
 * none. */
TEST_OF_KERNELS(attention, looks_within_a_tile_whether_to_stop) {
    uint64_t seed = test_seed("looks_within_a_tile_whether_to_stop");
    setup s = make_setup(16, 1, 1, 32, (size_t)1 << 16, &seed);
    const attn_output out = {.output = nothing_yet(32 * 16)};
    size_t looks[2] = {0};
    for (size_t n = 0; n < 2; n++) {
        attn_arena *work = attn_arena_new(NULL);
        const attn_control control = {count_looks, &looks[n]};
        s.input.is_causal = n == 0; /* 32 of the keys are seen, all are projected */
        cr_assert_eq(attn_forward(&s.layer, &s.input, &out, work, &control, NULL), ATTN_OK);
        attn_arena_free(work);
    }
    cr_assert_geq(looks[1], looks[0] + 7, "%zu looks, and %zu where little is seen", looks[1], looks[0]);
}

/* The largest negative number is a number, and excludes only where both masks have it: also all of a row. */
TEST_OF_KERNELS(attention, two_masks_exclude_together_as_in_the_reference) {
    uint64_t seed = test_seed("two_masks_exclude_together_as_in_the_reference");
    for (size_t n = 0; n < 60; n++) {
        setup s = make_setup(8, 2, 1, 1 + n % 4, 1 + random_below(&seed, 40), &seed);
        const size_t L = s.input.L, S = s.input.S;
        float *mask = numbers(L * S, 0, &seed), *padding = numbers(S, 0, &seed);
        for (size_t i = 0; i < L * S; i++)
            mask[i] = i < S || random_below(&seed, 2) == 0 ? -FLT_MAX : 0;
        for (size_t j = 0; j < S; j++)
            padding[j] = n % 2 == 0 || random_below(&seed, 2) == 0 ? -FLT_MAX : 0;
        s.input.attn_mask = mask;
        s.input.key_padding_mask = padding;
        check_against_reference(&s);
        free_round();
    }
}

/* A single query takes a way of its own. Each mask is a number, and their sum excludes the key. */
TEST_OF_KERNELS(attention, gives_a_single_query_without_keys_no_weights) {
    uint64_t seed = 11;
    for (size_t S = 1; S < 600; S += 149) {
        setup s = make_setup(8, 2, 1, 1, S, &seed);
        float *mask = numbers(S, 0, &seed), *output, *weights;
        for (size_t j = 0; j < S; j++)
            mask[j] = -FLT_MAX;
        s.input.attn_mask = s.input.key_padding_mask = mask;
        cr_assert_eq(run(&s, &output, &weights, false), ATTN_OK);
        for (size_t n = 0; n < 2 * S; n++)
            cr_assert_eq(weights[n], 0);
        for (size_t e = 0; e < 8; e++)
            cr_assert_eq(output[e], s.layer.o_bias == NULL ? 0 : s.layer.o_bias[e]);
        free_round();
    }
}

/* With every budget too small by one block, the pass says so and gives back what it had. */
TEST_OF_KERNELS(attention, ends_cleanly_without_memory) {
    uint64_t seed = test_seed("ends_cleanly_without_memory");
    setup s = make_setup(16, 2, 1, 10, 10, &seed);
    float output[10 * 16];
    const attn_output out = {.output = output};
    attn_status status = ATTN_OVER_BUDGET;
    size_t failures = 0;
    for (size_t limit = 0; status == ATTN_OVER_BUDGET; limit += 64, failures++) {
        attn_budget budget = {.limit = limit};
        attn_arena *work = attn_arena_new(&budget);
        attn_error error;
        status = attn_forward(&s.layer, &s.input, &out, work, NULL, &error);
        cr_assert_eq(budget.used, 0);
        attn_arena_free(work);
    }
    cr_assert_eq(status, ATTN_OK);
    cr_assert_geq(failures * 64, 4 * 10 * 16 * sizeof(float));
}
