/* The options of a request over real HTTP, on layers with all kinds of options of their own: what comes back
 * is what the double-precision reference says, and what is wrong gets one clear sentence. */
#include "core/model/load.h"
#include "tests/service/layers.h"

#include <math.h>

enum { B = 2, H = 4, HKV = 2, L = 7, S = 9, D = 6, E = 8, KEYS = S + 2, ROOM = 4096 };

static char *folder;
static server s;
static attn_registry registry; /* the same models as the service has */

static void set_up(void) {
    uint64_t seed = 7;
    char rotated[1200], sloped[1200];
    attn_error error;
    folder = new_folder();
    write_layer(folder, "rotated", ROTATED, &seed);
    write_layer(folder, "sloped", SLOPED, &seed);
    snprintf(rotated, sizeof rotated, "%s", in_folder(folder, "rotated"));
    snprintf(sloped, sizeof sloped, "%s", in_folder(folder, "sloped"));
    s = server_start("--model", rotated, "--model", sloped, NULL);
    registry = (attn_registry){0};
    cr_assert_eq(attn_registry_load(&registry, rotated, &error), ATTN_OK, "%s", error.text);
    cr_assert_eq(attn_registry_load(&registry, sloped, &error), ATTN_OK, "%s", error.text);
}

static void tear_down(void) {
    attn_registry_free(&registry);
    remove_folder(folder);
    cr_assert_eq(server_stop(&s), 0);
}

TestSuite(fields, .init = set_up, .fini = tear_down);

static const char *const paths[] = {"/attend/rotated", "/attend/sloped"};

/* ---- Against the reference ---- */

typedef struct {
    double output[ROOM], weights[ROOM], scores[ROOM], lse[ROOM], head_output[ROOM];
} expectation;

static json_t *new_object(void) {
    return keep(json_object());
}

/* query, key and value [B, .., E]; a mask now and then. */
static json_t *draw_request(uint64_t *seed) {
    json_t *request = new_object();
    json_object_set_new(request, "query", random_array((size_t[]){B, L, E}, 3, seed));
    json_object_set_new(request, "key", random_array((size_t[]){B, S, E}, 3, seed));
    json_object_set_new(request, "value", random_array((size_t[]){B, S, E}, 3, seed));
    json_t *mask = random_mask(L, S, seed);
    if (mask != NULL)
        json_object_set_new(request, "attn_mask", mask);
    return request;
}

/* The numbers of a member of the request as float32; a mask of booleans excludes where it is true. */
static const float *floats(const json_t *request, const char *name, float *room) {
    static double numbers[ROOM];
    const json_t *array = json_object_get(request, name);
    if (array == NULL)
        return NULL;
    if (strcmp(name, "attn_mask") != 0) {
        const size_t count = flatten(array, numbers);
        for (size_t i = 0; i < count; i++)
            room[i] = (float)numbers[i];
        return room;
    }
    for (size_t i = 0; i < L; i++)
        for (size_t j = 0; j < S; j++) {
            const json_t *cell = json_array_get(json_array_get(array, i), j);
            room[i * S + j] = json_is_true(cell) || json_is_string(cell) ? -INFINITY
                              : json_is_false(cell)                      ? 0
                                                                         : (float)json_number_value(cell);
        }
    return room;
}

static void expect(size_t model, const json_t *request, attn_input in, expectation *e) {
    static float query[ROOM], key[ROOM], value[ROOM], mask[ROOM];
    in.B = B;
    in.L = L;
    in.S = S;
    in.mask_B = in.mask_H = 1;
    in.query = floats(request, "query", query);
    in.key = floats(request, "key", key);
    in.value = floats(request, "value", value);
    in.attn_mask = floats(request, "attn_mask", mask);
    const attn_reference_output out = {e->output, e->weights, e->scores, e->lse, e->head_output};
    cr_assert_eq(attn_reference(&registry.models[model]->layer, &in, &out), ATTN_OK);
}

/* Holds a nested array against `count` numbers, of which the largest sets the scale of the error. */
static void hold(const json_t *found, const double *expected, size_t count, const char *name) {
    static double numbers[ROOM];
    double largest = 1e-3;
    cr_assert_not_null(found, "%s", name);
    cr_assert_eq(flatten(found, numbers), count, "%s", name);
    for (size_t i = 0; i < count; i++)
        if (isfinite(expected[i]))
            largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        if (isfinite(expected[i]))
            cr_assert_float_eq(numbers[i], expected[i], 5e-6 * largest, "%s %zu: %.9g, expected %.9g", name,
                               i, numbers[i], expected[i]);
        else
            cr_assert_eq(numbers[i], expected[i], "%s %zu", name, i);
}

/* stats and entropy from the expected weights. */
static void hold_statistics(const json_t *answered, const expectation *e, size_t query_offset,
                            size_t key_offset) {
    static double max[ROOM], first[ROOM], self[ROOM], previous[ROOM], received[ROOM], entropy[ROOM];
    const json_t *stats = json_object_get(answered, "stats");
    const json_t *argmax = json_object_get(stats, "argmax");
    memset(received, 0, sizeof received);
    for (size_t row = 0; row < B * H * L; row++) {
        const double *w = e->weights + row * KEYS;
        const size_t own = query_offset + row % L; /* plus key_offset, as the key itself has */
        max[row] = entropy[row] = 0;
        double next = 0; /* the second largest */
        size_t best = 0;
        for (size_t j = 0; j < KEYS; j++) {
            next = fmax(next, fmin(w[j], max[row]));
            best = w[j] > max[row] ? j : best;
            max[row] = fmax(max[row], w[j]);
            entropy[row] -= w[j] > 0 ? w[j] * log(w[j]) : 0;
            received[row / L * KEYS + j] += w[j];
        }
        first[row] = w[0];
        self[row] = own >= key_offset && own - key_offset < S ? w[own - key_offset] : 0;
        previous[row] = own >= key_offset + 1 && own - key_offset - 1 < S ? w[own - key_offset - 1] : 0;
        const json_t *found =
            json_array_get(json_array_get(json_array_get(argmax, row / L / H), row / L % H), row % L);
        if (max[row] - next > 1e-5 || max[row] == 0)
            cr_assert_eq(json_integer_value(found), max[row] == 0 ? -1 : (json_int_t)best, "%zu", row);
    }
    hold(json_object_get(stats, "max"), max, B * H * L, "max");
    hold(json_object_get(stats, "first"), first, B * H * L, "first");
    hold(json_object_get(stats, "self"), self, B * H * L, "self");
    hold(json_object_get(stats, "previous"), previous, B * H * L, "previous");
    hold(json_object_get(stats, "received"), received, B * H * KEYS, "received");
    hold(json_object_get(answered, "entropy"), entropy, B * H * L, "entropy");
}

Test(fields, results_are_the_reference_s_numbers) {
    static expectation e;
    uint64_t seed = test_seed("results_are_the_reference_s_numbers");
    for (int round = 0; round < 40; round++) {
        const size_t model = (size_t)round % 2;
        const size_t query_offset = random_below(&seed, 6), key_offset = random_below(&seed, 4);
        const bool causal_given = random_below(&seed, 2) == 0, causal = random_below(&seed, 2) == 0;
        json_t *request = draw_request(&seed);
        json_object_set_new(request, "query_offset", json_integer((json_int_t)query_offset));
        json_object_set_new(request, "key_offset", json_integer((json_int_t)key_offset));
        if (causal_given)
            json_object_set_new(request, "is_causal", json_boolean(causal));
        json_t *found =
            post_with(&s, paths[model], request, 200,
                      "'need_weights':true,'return':['scores','lse','head_output','stats','entropy']");
        expect(model, request,
               (attn_input){.is_causal = causal_given ? causal : model == 0,
                            .query_offset = query_offset,
                            .key_offset = key_offset},
               &e);
        hold(json_object_get(found, "output"), e.output, B * L * E, "output");
        hold(json_object_get(found, "attn_weights"), e.weights, B * H * L * KEYS, "attn_weights");
        hold(json_object_get(found, "scores"), e.scores, B * H * L * KEYS, "scores");
        hold(json_object_get(found, "lse"), e.lse, B * H * L, "lse");
        hold(json_object_get(found, "head_output"), e.head_output, B * H * L * D, "head_output");
        hold_statistics(found, &e, query_offset, key_offset);
    }
}

/* q and v enter the products: head_output is the weights times v, of the group's head. (k is seen in the
 * scores.) */
Test(fields, the_values_are_those_that_are_mixed) {
    static double weights[ROOM], v[ROOM], k[ROOM], q[ROOM], scores[ROOM], mixed[ROOM], products[ROOM];
    uint64_t seed = test_seed("the_values_are_those_that_are_mixed");
    json_t *request = draw_request(&seed);
    json_t *found = post_with(&s, paths[0], request, 200,
                              "'need_weights':true,'return':['q','k','v','scores','head_output']");
    flatten(json_object_get(found, "attn_weights"), weights);
    cr_assert_eq(flatten(json_object_get(found, "q"), q), B * H * L * D);
    cr_assert_eq(flatten(json_object_get(found, "k"), k), B * HKV * KEYS * D);
    cr_assert_eq(flatten(json_object_get(found, "v"), v), B * HKV * KEYS * D);
    flatten(json_object_get(found, "scores"), scores);
    memset(mixed, 0, sizeof mixed);
    for (size_t row = 0; row < B * H * L; row++) {
        const size_t b = row / L / H, h = row / L % H, kv = (b * HKV + h / (H / HKV)) * KEYS;
        const double scale = (double[]){0.5, 0.25, 0.5, 0.125}[h];
        for (size_t j = 0; j < KEYS; j++) {
            double product = 0;
            for (size_t d = 0; d < D; d++) {
                mixed[row * D + d] += weights[row * KEYS + j] * v[(kv + j) * D + d];
                product += q[row * D + d] * k[(kv + j) * D + d];
            }
            products[row * KEYS + j] = 30 * tanh(scale * product / 30);
        }
    }
    hold(json_object_get(found, "head_output"), mixed, B * H * L * D, "head_output");
    hold(json_object_get(found, "scores"), products, B * H * L * KEYS, "scores");
}

/* ---- Shards ---- */

/* The first `count` of the S keys of a [B, S, E] array, or those after the first `skipped`. */
static json_t *part(const json_t *array, size_t skipped, size_t count) {
    json_t *parts = json_array();
    for (size_t b = 0; b < B; b++) {
        json_t *rows = json_array();
        for (size_t j = skipped; j < skipped + count; j++)
            json_array_append(rows, json_array_get(json_array_get(array, b), j));
        json_array_append_new(parts, rows);
    }
    return parts;
}

/* [B,H,L,D] as a nested array. */
static json_t *nested(const double **data, const size_t *shape, size_t rank) {
    if (rank == 0)
        return json_real(*(*data)++);
    json_t *array = json_array();
    for (size_t i = 0; i < shape[0]; i++)
        json_array_append_new(array, nested(data, shape + 1, rank - 1));
    return array;
}

/* The keys are split over two requests, whose results are merged by their lse. */
Test(fields, shards_merge) {
    static double lse[2][ROOM], heads[2][ROOM], merged[ROOM], whole[ROOM], output[ROOM];
    uint64_t seed = test_seed("shards_merge");
    for (int round = 0; round < 10; round++) {
        const char *path = paths[round % 2];
        const size_t split = 1 + random_below(&seed, S - 1);
        json_t *request = draw_request(&seed), *both, *again;
        json_object_del(request, "attn_mask");
        json_object_set_new(request, "query_offset", json_integer(5));
        both = post_with(&s, path, request, 200, "'return':['head_output']");
        for (size_t n = 0; n < 2; n++) {
            json_t *half = keep(json_copy(request));
            const size_t skipped = n * split, count = n == 0 ? split : S - split;
            json_object_set_new(half, "key", part(json_object_get(request, "key"), skipped, count));
            json_object_set_new(half, "value", part(json_object_get(request, "value"), skipped, count));
            json_object_set_new(half, "key_offset", json_integer((json_int_t)skipped));
            json_object_set_new(half, "omit_extra", json_boolean(n == 0));
            json_t *found = post_with(&s, path, half, 200, "'return':['head_output','lse']");
            flatten(json_object_get(found, "lse"), lse[n]);
            flatten(json_object_get(found, "head_output"), heads[n]);
        }
        for (size_t i = 0; i < B * H * L * D; i++) {
            const double a = exp(lse[0][i / D] - lse[1][i / D]); /* the extra keys are always there */
            merged[i] = (a * heads[0][i] + heads[1][i]) / (a + 1);
        }
        flatten(json_object_get(both, "head_output"), whole);
        hold(json_object_get(both, "head_output"), merged, B * H * L * D, "the merged heads");
        const double *data = merged;
        json_t *back = new_object();
        json_object_set_new(back, "head_output", nested(&data, (size_t[]){B, H, L, D}, 4));
        again = post(&s, path, back, 200);
        cr_assert_eq(json_object_size(again), 2);
        flatten(json_object_get(both, "output"), output);
        hold(json_object_get(again, "output"), output, B * L * E, "the output of the merged heads");
    }
}

/* What was returned, sent back: the same bits. */
Test(fields, head_output_gives_the_output_it_belongs_to) {
    static double output[ROOM];
    uint64_t seed = test_seed("head_output_gives_the_output_it_belongs_to");
    json_t *request = draw_request(&seed), *back = new_object(), *again;
    json_t *found = post_with(&s, paths[1], request, 200, "'return':['head_output']");
    json_object_set(back, "head_output", json_object_get(found, "head_output"));
    again = post(&s, paths[1], back, 200);
    cr_assert(json_equal(json_object_get(again, "output"), json_object_get(found, "output")));
    json_object_set(back, "head_output", json_array_get(json_object_get(found, "head_output"), 1));
    again = post(&s, paths[1], back, 200);
    cr_assert_eq(flatten(json_object_get(found, "output"), output), B * L * E);
    hold(json_object_get(again, "output"), output + L * E, L * E, "the output of one batch entry");
}

/* ---- Without a batch, and training ---- */

Test(fields, no_result_of_an_unbatched_request_has_a_b) {
    static const char *const names[] = {"output", "attn_weights", "q",       "k",          "v",
                                        "scores", "lse",          "entropy", "head_output"};
    static const char *const members[] = {"max", "argmax", "first", "self", "previous", "received"};
    const char *all =
        "'need_weights':true,'return':['q','k','v','scores','lse','entropy','head_output','stats']";
    uint64_t seed = test_seed("no_result_of_an_unbatched_request_has_a_b");
    json_t *one = new_object(), *batched = new_object(), *query = random_array((size_t[]){1, L, E}, 3, &seed);
    json_object_set(one, "query", json_array_get(query, 0));
    json_object_set_new(batched, "query", query);
    json_t *a = post_with(&s, paths[0], one, 200, all), *b = post_with(&s, paths[0], batched, 200, all);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        cr_assert(json_equal(json_object_get(a, names[i]), json_array_get(json_object_get(b, names[i]), 0)),
                  "%s", names[i]);
    for (size_t i = 0; i < 6; i++)
        cr_assert(json_equal(json_object_get(json_object_get(a, "stats"), members[i]),
                             json_array_get(json_object_get(json_object_get(b, "stats"), members[i]), 0)),
                  "%s", members[i]);
    cr_assert(json_object_size(a) == 11 && json_object_size(json_object_get(a, "stats")) == 6);
}

Test(fields, a_seed_repeats_the_dropout) {
    uint64_t seed = test_seed("a_seed_repeats_the_dropout");
    json_t *request = draw_request(&seed), *answers[4];
    char members[100];
    const char *parts[] = {"output", "attn_weights"};
    answers[0] = post_with(&s, paths[0], request, 200, "'need_weights':true,'training':true");
    const json_t *drawn = json_object_get(answers[0], "seed");
    cr_assert(json_is_integer(drawn));
    snprintf(members, sizeof members, "'need_weights':true,'training':true,'seed':%lld",
             (long long)json_integer_value(drawn));
    answers[1] = post_with(&s, paths[0], request, 200, members);
    answers[2] = post_with(&s, paths[0], request, 200, "'need_weights':true,'training':true");
    answers[3] = post_with(&s, paths[0], request, 200, "'need_weights':true");
    cr_assert(json_equal(answers[0], answers[1]));
    for (size_t i = 0; i < 2; i++) {
        cr_assert(!json_equal(json_object_get(answers[0], parts[i]), json_object_get(answers[2], parts[i])));
        cr_assert(!json_equal(json_object_get(answers[0], parts[i]), json_object_get(answers[3], parts[i])));
    }
    cr_assert(!json_equal(drawn, json_object_get(answers[2], "seed")));
    cr_assert_null(json_object_get(answers[3], "seed"));
}

/* ---- What is wrong, and what is only odd ---- */

#define ROW   "[1,2,3,4,5,6,7,8]"
#define QUERY "'query':[" ROW "," ROW "]"

static const struct {
    const char *members, *code, *path;
} bad[] = {
    {QUERY ",'query_offset':2147483648", "bad_value", "query_offset"},
    {QUERY ",'key_offset':-1", "bad_value", "key_offset"},
    {QUERY ",'seed':9007199254740992,'training':true", "bad_value", "seed"},
    {QUERY ",'seed':1.5", "bad_value", "seed"},
    {QUERY ",'training':1", "bad_value", "training"},
    {QUERY ",'omit_extra':'yes'", "bad_value", "omit_extra"},
    {QUERY ",'return':'lse'", "bad_value", "return"},
    {QUERY ",'return':['lse','weights']", "bad_value", "return[1]"},
    {QUERY ",'return':['lse','lse']", "bad_value", "return[1]"},
    {QUERY ",'view':[]", "bad_value", "view"},
    {QUERY ",'view':{'head':[0]}", "unknown_field", "view.head"},
    {QUERY ",'view':{'heads':[]}", "bad_value", "view.heads"},
    {QUERY ",'view':{'heads':[0,4]}", "bad_value", "view.heads[1]"},
    {QUERY ",'view':{'heads':[1,1]}", "bad_value", "view.heads[1]"},
    {QUERY ",'view':{'batch':[1]}", "bad_value", "view.batch[0]"},
    {QUERY ",'view':{'rows':[1,3]}", "bad_value", "view.rows"},
    {QUERY ",'view':{'rows':[1,1]}", "bad_value", "view.rows"},
    {QUERY ",'view':{'cols':[0,5]}", "bad_value", "view.cols"},
    {QUERY ",'view':{'cols':[0]}", "bad_value", "view.cols"},
    {QUERY ",'view':{'size':[0,1]}", "bad_value", "view.size"},
    {QUERY ",'view':{'pool':'max'}", "bad_value", "view.pool"},
    {QUERY ",'view':{'size':[1,1],'pool':'min'}", "bad_value", "view.pool"},
    {QUERY ",'view':{'top_k':0}", "bad_value", "view.top_k"},
    {QUERY ",'view':{'top_k':1,'size':[1,1]}", "bad_value", "view.top_k"},
    {"'head_output':[[[1]]]", "bad_shape", "head_output"},
    {QUERY ",'head_output':[[[1,2,3,4,5,6]],[[1,2,3,4,5,6]],[[1,2,3,4,5,6]],[[1,2,3,4,5,6]]]", "bad_value",
     "query"},
};

Test(fields, each_bad_one_gets_its_code_path_and_sentence) {
    json_t *nothing = new_object();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *problem = post_with(&s, "/attend", nothing, 400, bad[i].members);
        cr_assert_str_eq(json_string_value(json_object_get(problem, "code")), bad[i].code, "%s",
                         bad[i].members);
        cr_assert_str_eq(json_string_value(json_object_get(problem, "path")), bad[i].path, "%s",
                         bad[i].members);
        const char *sentence = json_string_value(json_object_get(problem, "error"));
        cr_assert(sentence != NULL && strlen(sentence) > 20, "%s", bad[i].members);
        post_with(&s, "/attend", nothing, 200, QUERY);
    }
}

Test(fields, odd_requests_are_answered_with_a_warning) {
    static const struct {
        const char *members, *word;
    } odd[] = {
        {QUERY ",'seed':7", "seed"},
        {QUERY ",'view':{'rows':[0,1]}", "view"},
        {"'head_output':[[[1,2,3,4,5,6]],[[1,2,3,4,5,6]],[[1,2,3,4,5,6]],[[1,2,3,4,5,6]]],'training':true",
         "head_output"},
    };
    json_t *nothing = new_object();
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        json_t *answered = post_with(&s, "/attend", nothing, 200, odd[i].members);
        const json_t *warnings = json_object_get(answered, "warnings");
        cr_assert_eq(json_array_size(warnings), 1);
        cr_assert_not_null(strstr(json_string_value(json_array_get(warnings, 0)), odd[i].word));
        cr_assert(json_object_size(answered) == 3, "%s", odd[i].members);
    }
}

/* A row that may attend to nothing. */
Test(fields, minus_infinity_in_an_answer_is_null) {
    json_t *nothing = new_object();
    json_t *answered =
        post_with(&s, "/attend", nothing, 200,
                  QUERY ",'attn_mask':[[true,true],[true,false]],'omit_extra':true,'is_causal':false,"
                        "'return':['lse','stats','entropy']");
    const json_t *stats = json_object_get(answered, "stats");
    for (size_t h = 0; h < H; h++) {
        const json_t *lse = json_array_get(json_object_get(answered, "lse"), h);
        cr_assert(json_is_null(json_array_get(lse, 0)) && json_is_real(json_array_get(lse, 1)));
        const json_t *argmax = json_array_get(json_object_get(stats, "argmax"), h);
        cr_assert_eq(json_integer_value(json_array_get(argmax, 0)), -1);
        cr_assert_eq(json_integer_value(json_array_get(argmax, 1)), 1);
    }
}
