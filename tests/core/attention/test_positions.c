/* Positions, rotation and dropout, held against published vectors and plain formulas. */
#include "core/attention/block.h"
#include "core/attention/dropout.h"
#include "core/attention/rope.h"
#include "tests/core/layers.h"

/* Random123 1.14, kat_vectors, philox4x32 with 10 rounds. */
Test(dropout, philox_gives_the_published_numbers) {
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t n = 0; n < sizeof known / sizeof known[0]; n++) {
        uint32_t words[4];
        attn_philox(known[n].counter, known[n].key, words);
        cr_assert_eq(memcmp(words, known[n].words, sizeof words), 0, "vector %zu: %08x ...", n, words[0]);
    }
}

/* In training, a pass's weights are those of the same pass without, each times its factor; and so are the
 * heads that they mix. */
TEST_OF_KERNELS(dropout, multiplies_the_weights_by_its_factors) {
    uint64_t seed = test_seed("multiplies_the_weights_by_its_factors");
    size_t dropped = 0, all = 0;
    for (int n = 0; n < 50; n++) {
        setup s = make_setup(8, 2, 2, 20, 30, &seed);
        s.layer.config.dropout = 0.25;
        s.layer.config.add_bias_kv = s.layer.config.add_zero_attn = true; /* 32 keys */
        s.layer.bias_k = numbers(8, 1, &seed);
        s.layer.bias_v = numbers(8, 1, &seed);
        s.input.seed = random_bits(&seed) >> 11;
        const size_t weights = 2 * 2 * 20 * 32;
        attn_output plain = {
            .output = nothing_yet(320), .weights.values = nothing_yet(weights), .lse = nothing_yet(80)};
        attn_output trained = {
            .output = nothing_yet(320), .weights.values = nothing_yet(weights), .lse = nothing_yet(80)};
        cr_assert_eq(forward(&s, &plain), ATTN_OK);
        s.input.training = true;
        cr_assert_eq(forward(&s, &trained), ATTN_OK);
        for (uint32_t w = 0; w < weights; w++) {
            const float factor =
                attn_dropout_factor(0.25, s.input.seed, w / 1280, w / 640 % 2, w / 32 % 20, w % 32);
            cr_assert_eq(trained.weights.values[w], plain.weights.values[w] * factor);
            cr_assert(factor == 0 || factor == (float)(1 / 0.75));
            dropped += factor == 0;
            all++;
        }
        cr_assert_eq(memcmp(plain.lse, trained.lse, 80 * sizeof(float)), 0);
        cr_assert_neq(memcmp(plain.output, trained.output, 320 * sizeof(float)), 0);
        free_round();
    }
    /* 128,000 draws: the share is off by more than 6 standard deviations once in 10^9 runs. */
    cr_assert_float_eq((double)dropped / (double)all, 0.25, 6 * sqrt(0.25 * 0.75 / (double)all));
}

/* The range is the keys for which the plain conditions hold. */
Test(positions, visible_keys_are_those_that_causality_and_window_leave) {
    uint64_t seed = test_seed("visible_keys_are_those_that_causality_and_window_leave");
    for (int n = 0; n < 20000; n++) {
        const attn_config c = {.causal = random_below(&seed, 2) == 0,
                               .sliding_window = random_below(&seed, 8)};
        const attn_input in = {.L = 10,
                               .S = random_below(&seed, 12),
                               .is_causal = random_below(&seed, 2) == 0,
                               .query_offset = random_below(&seed, 20),
                               .key_offset = random_below(&seed, 20)};
        const size_t i = random_below(&seed, 10);
        const attn_range range = attn_visible_keys(&c, &in, i);
        const int64_t p = (int64_t)(in.query_offset + i), W = (int64_t)c.sliding_window;
        cr_assert(range.from <= range.to && range.to <= in.S);
        for (size_t j = 0; j < in.S; j++) {
            const int64_t t = (int64_t)(in.key_offset + j);
            bool visible = !in.is_causal || t <= p;
            if (W != 0)
                visible = visible && (c.causal ? p - t < W : llabs(p - t) < W);
            cr_assert_eq(visible, j >= range.from && j < range.to);
        }
    }
}

/* Frequencies of theta 10,000 and 8 dimensions: 1, 0.1, 0.01, 0.001; rotation keeps the length of each pair
 * and turns it by the angle. */
Test(rope, turns_each_pair_by_its_angle) {
    for (int style = ATTN_ROPE_HALF; style <= ATTN_ROPE_INTERLEAVED; style++) {
        attn_layer layer = {
            .config.rope = {.style = (attn_rope_style)style, .dims = 8, .theta = 10000, .magnitude = 1}};
        float frequencies[4], cosines[4], sines[4], x[10] = {1, 0, 2, 0, 3, 1, 0, 5, 7, 9}, y[10];
        attn_rope_frequencies(&layer, 1000, frequencies);
        attn_rope_angles(&layer.config.rope, frequencies, 777, cosines, sines);
        memcpy(y, x, sizeof x);
        attn_rope_rotate(&layer.config.rope, cosines, sines, y);
        for (size_t n = 0; n < 4; n++) {
            const size_t one = style == ATTN_ROPE_HALF ? n : 2 * n,
                         two = style == ATTN_ROPE_HALF ? n + 4 : 2 * n + 1;
            const double angle = 777 * pow(10, -(double)n);
            cr_assert_float_eq((double)frequencies[n], pow(10, -(double)n), 1e-7);
            cr_assert_float_eq((double)y[one], (double)x[one] * cos(angle) - (double)x[two] * sin(angle),
                               5e-4);
            cr_assert_float_eq((double)y[two], (double)x[two] * cos(angle) + (double)x[one] * sin(angle),
                               5e-4);
        }
        cr_assert(y[8] == 7 && y[9] == 9);
    }
}

/* Up to the original length the short divisors, from the next position on the long ones: the pairs turn by 1
 * and 0.1 a position, divided by them. */
Test(rope, takes_the_long_divisors_beyond_the_original_length) {
    const float short_ones[] = {1, 2}, long_ones[] = {4, 5};
    const attn_layer layer = {.config.rope = {.style = ATTN_ROPE_HALF,
                                              .scaling = ATTN_ROPE_LONGROPE,
                                              .dims = 4,
                                              .theta = 100,
                                              .original_length = 4096,
                                              .magnitude = 1},
                              .rope_short = short_ones,
                              .rope_long = long_ones};
    static const struct {
        uint64_t length;
        double frequencies[2];
    } known[] = {
        {1, {1, 0.05}}, {4095, {1, 0.05}}, {4096, {1, 0.05}}, {4097, {0.25, 0.02}}, {8192, {0.25, 0.02}}};
    for (size_t n = 0; n < sizeof known / sizeof *known; n++) {
        float found[2];
        attn_rope_frequencies(&layer, known[n].length, found);
        for (size_t i = 0; i < 2; i++)
            cr_assert_float_eq((double)found[i], known[n].frequencies[i], 1e-8, "length %zu, pair %zu: %g",
                               (size_t)known[n].length, i, (double)found[i]);
    }
}

/* At the first position beyond 2 * 16 with the factor 2, NTK makes of theta theta * (2 * 33 / 16 - 1)^(dims /
 * (dims - 2)); up to the original length it stays. */
Test(rope, stretches_theta_beyond_the_original_length) {
    const attn_layer layer = {.config.rope = {.style = ATTN_ROPE_HALF,
                                              .scaling = ATTN_ROPE_DYNAMIC,
                                              .dims = 4,
                                              .theta = 100,
                                              .factor = 2,
                                              .original_length = 16,
                                              .magnitude = 1}};
    static const uint64_t lengths[] = {1, 16, 17, 33};
    for (size_t n = 0; n < 4; n++) {
        const double stretch = lengths[n] <= 16 ? 1 : 2 * (double)lengths[n] / 16 - 1;
        float found[2];
        attn_rope_frequencies(&layer, lengths[n], found);
        cr_assert_eq(found[0], 1);
        cr_assert_float_eq((double)found[1], 1 / sqrt(100 * stretch * stretch), 1e-7, "length %zu: %g",
                           (size_t)lengths[n], (double)found[1]);
    }
}
