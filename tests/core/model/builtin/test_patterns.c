/* The layer of hand-set heads: what a client that follows its rule sees. Vectors are made from the
 * description alone, and the patterns are told by the tokens, not by the weights. */
#include "core/attention.h"
#include "core/model/builtin/patterns.h"
#include "core/model/weights.h"
#include "tests/core/layers.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { E = 128, H = 8, WORD = 16, POSITIONS = 2048 };
enum { PREVIOUS, SAME, FIRST, LOCAL, INDUCTION, UNIFORM, NEXT, CURRENT };

typedef struct {
    attn_model model;
    json_t *description;
} patterns;

static void set_up(patterns *p) {
    *p = (patterns){.description = attn_patterns_describe()};
    cr_assert_not_null(p->description);
    p->model.layer.kernels = kernels_under_test;
    cr_assert_eq(attn_patterns_make(&p->model, NULL), ATTN_OK);
}

static void tear_down(patterns *p) {
    json_decref(p->description);
    attn_model_clear(&p->model);
}

/* The rule, read from the description. */

static json_int_t whole(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    cr_assert(json_is_integer(value), "%s is not a whole number", key);
    return json_integer_value(value);
}

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    cr_assert_not_null(value, "%s is not a text", key);
    return value;
}

static json_int_t hash(const json_t *rule, const char *token) {
    const json_t *h = json_object_get(rule, "hash");
    json_int_t x = whole(h, "start");
    for (; *token != '\0'; token++)
        x = (x + (unsigned char)*token) * whole(h, "multiplier") % whole(h, "modulus");
    return x;
}

static void write_code(const json_t *rule, const char *token, float *vector, json_int_t length) {
    const json_t *code = json_object_get(rule, "code");
    json_int_t x = hash(rule, token);
    cr_assert_eq(length, whole(code, "length"));
    for (json_int_t n = 0; n < length; n++) {
        x = x * whole(code, "multiplier") % whole(code, "modulus");
        vector[n] = x < whole(code, "below") ? 1 : -1;
    }
}

/* Writes the numbers of one part of the vector of token i. */
static void write_part(const json_t *rule, const json_t *part, char (*tokens)[WORD], size_t i,
                       float *vector) {
    const json_int_t from = whole(part, "from"), to = whole(part, "to");
    const char *kind = text(part, "kind");
    cr_assert(0 <= from && from < to && to <= E);
    double value = 0;
    if (strcmp(kind, "code") == 0) {
        const bool own = strcmp(text(part, "of"), "token") == 0;
        if (own || i > 0) {
            write_code(rule, tokens[own ? i : i - 1], vector + from, to - from);
            return;
        }
    } else if (strcmp(kind, "position") == 0) {
        value = pow((double)i / (double)whole(part, "divisor"), (double)whole(part, "power"));
    } else if (strcmp(kind, "first") == 0) {
        value = i == 0;
    } else {
        cr_assert_str_eq(kind, "constant");
        value = (double)whole(part, "value");
    }
    for (json_int_t n = from; n < to; n++) {
        vector[n] = (float)value;
        cr_assert_eq((double)vector[n], value, "number %d of token %zu is not exact", (int)n, i);
    }
}

/* The vectors [count, E] of the tokens; the caller frees them. */
static float *embed(const patterns *p, char (*tokens)[WORD], size_t count) {
    const json_t *rule = json_object_get(p->description, "rule"), *part;
    float *vectors = malloc((count + 1) * E * sizeof *vectors);
    cr_assert_eq(whole(rule, "embed_dim"), E);
    for (size_t i = 0; i < count * E; i++)
        vectors[i] = NAN;
    size_t n;
    for (size_t i = 0; i < count; i++)
        json_array_foreach(json_object_get(rule, "vector"), n, part)
            write_part(rule, part, tokens, i, vectors + i * E);
    for (size_t i = 0; i < count * E; i++)
        cr_assert(isfinite(vectors[i]), "the rule has nothing for number %zu", i % E);
    return vectors;
}

/* What was promised. */

static bool is_promised(size_t head, char (*tokens)[WORD], size_t count, size_t p, size_t t) {
    switch (head) {
    case PREVIOUS:
        return t == (p == 0 ? 0 : p - 1);
    case SAME:
        return strcmp(tokens[p], tokens[t]) == 0;
    case FIRST:
        return t == 0;
    case LOCAL:
        return t <= p + 4 && p <= t + 4;
    case INDUCTION:
        return t > 0 && strcmp(tokens[p], tokens[t - 1]) == 0;
    case UNIFORM:
        return true;
    case NEXT:
        return t == (p + 1 < count ? p + 1 : p);
    default:
        return t == p;
    }
}

/* Holds a row of weights, of the first `count` keys that token p may look at, against the promise. */
static void check_row(size_t head, char (*tokens)[WORD], size_t count, size_t p, const double *weights) {
    double mass = 0, least = 1, most = 0;
    for (size_t t = 0; t < count; t++)
        if (is_promised(head, tokens, count, p, t)) {
            mass += weights[t];
            least = fmin(least, weights[t]);
            most = fmax(most, weights[t]);
        }
    if (most == 0 && head == INDUCTION) /* nothing to go by: it rests on the first token */
        mass = least = most = weights[0];
    cr_assert_gt(mass, head == LOCAL ? 0.97 : 0.99, "head %zu, %zu tokens, token %zu \"%s\": only %g", head,
                 count, p, tokens[p], mass);
    if (head != LOCAL)
        cr_assert_leq(most - least, 1e-6, "head %zu, token %zu: from %g to %g", head, p, least, most);
}

/* Computes the weights of L tokens from `begin` on over all `count`, in float32 and in double precision, and
 * checks both. */
static void check(const patterns *p, char (*tokens)[WORD], size_t count, size_t begin, size_t L,
                  bool is_causal) {
    const size_t size = H * L * count;
    float *vectors = embed(p, tokens, count);
    const attn_input input = {.B = 1,
                              .L = L,
                              .S = count,
                              .query = vectors + begin * E,
                              .key = vectors,
                              .value = vectors,
                              .mask_B = 1,
                              .mask_H = 1,
                              .is_causal = is_causal,
                              .query_offset = begin};
    double *weights = malloc(size * sizeof *weights);
    float *output = malloc(L * E * sizeof *output), *found = malloc(size * sizeof *found);
    attn_output out = {.output = output, .view = attn_view_all(&p->model.layer.config, &input)};
    out.weights.values = found;
    attn_arena *work = attn_arena_new(NULL);
    cr_assert_eq(attn_forward(&p->model.layer, &input, &out, work, NULL, NULL), ATTN_OK);
    cr_assert_eq(attn_reference(&p->model.layer, &input, &(attn_reference_output){.weights = weights}),
                 ATTN_OK);
    for (size_t i = 0; i < size; i++)
        cr_assert_float_eq((double)found[i], weights[i], 1e-6);
    for (size_t row = 0; row < H * L; row++)
        check_row(row / L, tokens, is_causal ? begin + row % L + 1 : count, begin + row % L,
                  weights + row * count);
    attn_arena_free(work);
    free(output);
    free(found);
    free(weights);
    free(vectors);
}

/* Tokens out of `words` different ones. */
static void draw_tokens(char (*tokens)[WORD], size_t count, size_t words, uint64_t *seed) {
    static const char *const kinds[] = {"%zu", "word%zu", "%zu\xc3\xa9", "\xe6\x9d\xb1%zu."};
    const size_t salt = random_below(seed, 1000000);
    for (size_t i = 0; i < count; i++) {
        const size_t word = random_below(seed, words);
        snprintf(tokens[i], WORD, kinds[word % 4], salt + word);
    }
}

TEST_OF_KERNELS(patterns, heads_show_what_is_promised) {
    uint64_t seed = test_seed("heads_show_what_is_promised");
    patterns p;
    set_up(&p);
    for (int n = 0; n < 20; n++) {
        char tokens[100][WORD];
        const size_t count = 1 + random_below(&seed, 100);
        draw_tokens(tokens, count, 1 + random_below(&seed, 40), &seed);
        check(&p, tokens, count, 0, count, n % 2 == 0);
    }
    tear_down(&p);
}

TEST_OF_KERNELS(patterns, heads_stay_sharp_up_to_the_longest_text) {
    uint64_t seed = test_seed("heads_stay_sharp_up_to_the_longest_text");
    static char tokens[POSITIONS][WORD];
    patterns p;
    set_up(&p);
    cr_assert_eq(whole(json_object_get(p.description, "rule"), "positions"), POSITIONS);
    for (int n = 0; n < 2; n++) {
        draw_tokens(tokens, POSITIONS, n == 0 ? 30 : 1500, &seed);
        check(&p, tokens, POSITIONS, POSITIONS - 30, 30, n % 2 == 0);
        check(&p, tokens, POSITIONS, random_below(&seed, POSITIONS - 30), 30, n % 2 != 0);
    }
    tear_down(&p);
}

/* The score that the description states, from the numbers that stand beside each head. The code of a token is
 * found at the beginning of its own vector. */
static double stated_score(const json_t *head, const float *vectors, size_t p, size_t t) {
    const json_t *score = json_object_get(head, "score");
    const bool by_predecessor = strcmp(text(score, "key"), "predecessor") == 0;
    const double distance = (double)t - (double)p - json_number_value(json_object_get(score, "shift"));
    double agreement = 0;
    for (size_t n = 0; n < 60 && (t > 0 || !by_predecessor); n++)
        agreement += (double)(vectors[p * E + n] * vectors[(by_predecessor ? t - 1 : t) * E + n]);
    return json_number_value(json_object_get(score, "code")) * agreement -
           json_number_value(json_object_get(score, "curve")) * distance * distance +
           (t == 0 ? json_number_value(json_object_get(score, "first")) : 0);
}

TEST_OF_KERNELS(patterns, scores_are_the_stated_ones_exactly) {
    uint64_t seed = test_seed("scores_are_the_stated_ones_exactly");
    static char tokens[POSITIONS][WORD];
    static float output[20 * E], scores[H * 20 * POSITIONS];
    patterns p;
    set_up(&p);
    for (int n = 0; n < 2; n++) {
        const size_t begin = n == 0 ? POSITIONS - 20 : random_below(&seed, POSITIONS - 20);
        draw_tokens(tokens, POSITIONS, 300, &seed);
        float *vectors = embed(&p, tokens, POSITIONS);
        const attn_input input = {.B = 1,
                                  .L = 20,
                                  .S = POSITIONS,
                                  .query = vectors + begin * E,
                                  .key = vectors,
                                  .value = vectors,
                                  .mask_B = 1,
                                  .mask_H = 1};
        attn_output out = {.output = output, .view = attn_view_all(&p.model.layer.config, &input)};
        out.scores.values = scores;
        attn_arena *work = attn_arena_new(NULL);
        cr_assert_eq(attn_forward(&p.model.layer, &input, &out, work, NULL, NULL), ATTN_OK);
        for (size_t i = 0; i < H * 20 * POSITIONS; i++) {
            const size_t h = i / POSITIONS / 20, row = begin + i / POSITIONS % 20, t = i % POSITIONS;
            const json_t *head = json_array_get(json_object_get(p.description, "heads"), h);
            const double stated = stated_score(head, vectors, row, t);
            cr_assert_eq((double)scores[i], stated, "head %zu, token %zu, key %zu: %.9g, stated %.9g", h, row,
                         t, (double)scores[i], stated);
        }
        attn_arena_free(work);
        free(vectors);
    }
    tear_down(&p);
}

TEST_OF_KERNELS(patterns, output_has_the_codes_and_positions_that_were_looked_at) {
    static char tokens[][WORD] = {"the", "cat", "sat", "on", "the", "cat", "sat"};
    enum { L = sizeof tokens / sizeof tokens[0] };
    static const size_t guesses[L] = {0, 0, 0, 0, 1, 2, 3}; /* whose code the induction head brings */
    patterns p;
    set_up(&p);
    float *vectors = embed(&p, tokens, L);
    const attn_input input = {.B = 1,
                              .L = L,
                              .S = L,
                              .query = vectors,
                              .key = vectors,
                              .value = vectors,
                              .mask_B = 1,
                              .mask_H = 1,
                              .is_causal = true};
    double output[L * E];
    cr_assert_eq(attn_reference(&p.model.layer, &input, &(attn_reference_output){.output = output}), ATTN_OK);
    for (size_t i = 0; i < L; i++) {
        const size_t previous = i == 0 ? 0 : i - 1;
        for (size_t n = 0; n < 60; n++) {
            cr_assert_float_eq(output[i * E + n], (double)vectors[guesses[i] * E + n], 1e-3);
            cr_assert_float_eq(output[i * E + 60 + n], (double)vectors[previous * E + n], 1e-2);
        }
        const double *positions = output + i * E + 120;
        const double sames[L] = {0, 1, 2, 3, 2, 3, 4}; /* the mean of its occurrences so far */
        cr_assert_float_eq(positions[PREVIOUS] * POSITIONS, (double)previous, 1e-2);
        cr_assert_float_eq(positions[SAME] * POSITIONS, sames[i], 1e-2);
        cr_assert_float_eq(positions[FIRST] * POSITIONS, 0, 1e-2);
        cr_assert_float_eq(positions[UNIFORM] * POSITIONS, (double)i / 2, 1e-9);
        cr_assert_float_eq(positions[INDUCTION] * POSITIONS, (double)guesses[i], 1e-2);
        cr_assert_float_eq(positions[NEXT] * POSITIONS, (double)i, 1e-2);
        cr_assert_float_eq(positions[CURRENT] * POSITIONS, (double)i, 1e-2);
    }
    free(vectors);
    tear_down(&p);
}

Test(patterns, description_names_the_heads_and_has_a_true_example) {
    static const char *const names[H] = {"previous_token", "same_token", "first_token", "local_window",
                                         "induction",      "uniform",    "next_token",  "current_token"};
    json_t *description = attn_patterns_describe();
    const json_t *rule = json_object_get(description, "rule"), *head, *sign;
    const json_t *example = json_object_get(rule, "example");
    size_t n;
    cr_assert(json_is_object(json_object_get(description, "vocabulary")));
    cr_assert_eq(json_array_size(json_object_get(description, "heads")), H);
    json_array_foreach(json_object_get(description, "heads"), n, head) {
        cr_assert_eq(whole(head, "index"), (json_int_t)n);
        cr_assert_str_eq(text(head, "name"), names[n]);
        cr_assert_gt(strlen(text(head, "description")), 20);
    }
    float code[60];
    cr_assert_eq(hash(rule, text(example, "token")), whole(example, "hash"));
    cr_assert_eq(whole(example, "hash"), 828962058); /* computed apart, with whole numbers of any length */
    write_code(rule, text(example, "token"), code, 60);
    json_array_foreach(json_object_get(example, "code"), n, sign)
        cr_assert_eq((json_int_t)code[n], json_integer_value(sign));
    cr_assert_eq(n, 60);
    json_decref(description);
}
