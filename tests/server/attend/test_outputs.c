/* The options of a request beside a model: which results it gets, what is charged for them, what is drawn,
 * warned of and refused. */
#include "server/attend/outputs.h"
#include "tests/server/requests.h"

#include <stdint.h>
#include <stdio.h>

/* All results as one text: "output[2,3,8] lse[2,4,3]"; int32 ones have a %, those that may be -inf a -. */
static const char *results_of(const attend_call *c) {
    static char text[2000];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < c->array_count; i++) {
        const attend_array *r = &c->arrays[i];
        cr_assert_not_null(r->data);
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s%s%s", i == 0 ? "" : " ", r->name,
                              r->is_int32 ? "%" : "", r->may_be_minus_infinity ? "-" : "",
                              shape_show(r->shape, r->rank).text);
    }
    return text;
}

/* What `return` names has its bit in the order of the table. */
Test(results, have_their_bits_in_order) {
    static const char *const names[RETURN_COUNT + 1] = {[RETURN_Q] = "q",
                                                        [RETURN_K] = "k",
                                                        [RETURN_V] = "v",
                                                        [RETURN_SCORES] = "scores",
                                                        [RETURN_LSE] = "lse",
                                                        [RETURN_ENTROPY] = "entropy",
                                                        [RETURN_HEAD_OUTPUT] = "head_output",
                                                        [RETURN_STATS] = "stats"};
    for (size_t n = 0; n < RETURN_COUNT; n++) {
        attend_request request = {.returned = 1U << n};
        cr_expect_str_eq(attend_outputs[OUTPUT_RETURNED + n].name, names[n]);
        cr_expect(output_asked(&request, OUTPUT_RETURNED + n) && !output_asked(&request, OUTPUT_WEIGHTS));
    }
    cr_expect_null(attend_outputs[OUTPUT_RETURNED + RETURN_COUNT].name);
}

#define ALL_RETURNS ((1U << RETURN_COUNT) - 1)

/* H 4, Hkv 2, D 3, two extra keys. */
static attn_model make_grouped_model(void) {
    attn_model model = make_model(8, 8);
    model.layer.config.num_heads = 4;
    model.layer.config.head_dim = 3;
    model.layer.config.add_bias_kv = model.layer.config.add_zero_attn = true;
    return model;
}

static attend_call call;
static problem p;

static void resolve(const attn_model *model, attend_request *request) {
    cr_assert_eq(resolve_request(model, request, NO_LIMIT, &call, &p), PROBLEM_NONE, "%s", p.text);
}

static const struct {
    const char *query, *key;
    bool need_weights, average, omit_extra, view;
    unsigned returned;
    uint64_t top_k;
    const char *results;
} answers[] = {
    {"2,5,8", "2,6,8", .results = "output[2,5,8]"},
    {"2,5,8", "2,6,8", .average = true, .results = "output[2,5,8]"},
    {"2,5,8", "2,6,8", .need_weights = true, .results = "output[2,5,8] attn_weights[2,4,5,8]"},
    {"5,8", "6,8", .need_weights = true, .results = "output[5,8] attn_weights[4,5,8]"},
    {"2,5,8", "2,6,8", .need_weights = true, .omit_extra = true,
     .results = "output[2,5,8] attn_weights[2,4,5,6]"},
    {"2,5,8", "2,6,8", .need_weights = true, .average = true, .results = "output[2,5,8] attn_weights[2,5,8]"},
    {"2,5,8", "2,6,8", .need_weights = true, .average = true, .view = true,
     .results = "output[2,5,8] attn_weights[2,1,5,8]"},
    {"5,8", "6,8", .need_weights = true, .average = true, .results = "output[5,8] attn_weights[5,8]"},
    {"5,8", "6,8", .need_weights = true, .average = true, .view = true,
     .results = "output[5,8] attn_weights[1,5,8]"},
    {"2,5,8", "2,6,8", .returned = ALL_RETURNS,
     .results = "output[2,5,8] q[2,4,5,3] k[2,2,8,3] v[2,2,8,3] scores[2,4,5,8] lse-[2,4,5] entropy[2,4,5] "
                "head_output[2,4,5,3] stats.max[2,4,5] stats.argmax%[2,4,5] stats.first[2,4,5] "
                "stats.self[2,4,5] stats.previous[2,4,5] stats.received[2,4,8]"},
    {"5,8", "6,8", .returned = ALL_RETURNS, .need_weights = true, .omit_extra = true,
     .results = "output[5,8] attn_weights[4,5,6] q[4,5,3] k[2,6,3] v[2,6,3] scores[4,5,6] lse-[4,5] "
                "entropy[4,5] head_output[4,5,3] stats.max[4,5] stats.argmax%[4,5] stats.first[4,5] "
                "stats.self[4,5] stats.previous[4,5] stats.received[4,6]"},
    {"2,5,8", "2,6,8", .need_weights = true, .returned = 1U << RETURN_SCORES, .average = true, .view = true,
     .top_k = 3,
     .results = "output[2,5,8] attn_weights.values[2,1,5,3] attn_weights.indices%[2,1,5,3] "
                "scores.values[2,4,5,3] scores.indices%[2,4,5,3]"},
    {"5,8", "6,8", .need_weights = true, .view = true, .top_k = 100,
     .results = "output[5,8] attn_weights.values[4,5,8] attn_weights.indices%[4,5,8]"},
    {"5,8", "0,...", .need_weights = true, .view = true, .top_k = 2, .omit_extra = true,
     .results = "output[5,8] attn_weights.values[4,5,0] attn_weights.indices%[4,5,0]"},
    {"0,...", "0,...", .need_weights = true, .returned = 1U << RETURN_Q | 1U << RETURN_K,
     .results = "output[0,0,8] attn_weights[0,4,0,2] q[0,4,0,3] k[0,2,2,3]"},
};

Test(results, lists_the_results) {
    const attn_model model = make_grouped_model();
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        attend_request request = {
            .query = tensor(answers[i].query),
            .key = tensor(answers[i].key),
            .need_weights = answers[i].need_weights,
            .average_attn_weights = answers[i].average,
            .omit_extra = answers[i].omit_extra,
            .returned = answers[i].returned,
            .view = {.present = answers[i].view, .top_k = {answers[i].top_k != 0, answers[i].top_k}}};
        resolve(&model, &request);
        cr_expect_str_eq(results_of(&call), answers[i].results, "%zu: %s", i, results_of(&call));
        cr_expect_eq(call.warning_count, 0);
    }
}

/* Each array is where the computation finds it, and none where it does not. */
Test(results, hands_the_arrays_to_the_computation) {
    const attn_model model = make_grouped_model();
    attend_request request = {.query = tensor("2,5,8"),
                              .returned = ALL_RETURNS,
                              .need_weights = true,
                              .view = {.present = true, .top_k = {true, 2}}};
    resolve(&model, &request);
    const attn_output *out = &call.output;
    const void *const places[] = {out->output,
                                  out->weights.values,
                                  out->weights.indices,
                                  out->q,
                                  out->k,
                                  out->v,
                                  out->scores.values,
                                  out->scores.indices,
                                  out->lse,
                                  out->entropy,
                                  out->head_output,
                                  out->stats.max,
                                  out->stats.argmax,
                                  out->stats.first,
                                  out->stats.self,
                                  out->stats.previous,
                                  out->stats.received};
    cr_assert_eq(call.array_count, sizeof places / sizeof places[0]);
    for (size_t i = 0; i < call.array_count; i++)
        cr_expect_eq(places[i], call.arrays[i].data, "%s", call.arrays[i].name);
    request = (attend_request){.query = tensor("2,5,8"), .returned = 1U << RETURN_LSE};
    resolve(&model, &request);
    cr_expect(out->output == call.arrays[0].data && out->lse == call.arrays[1].data);
    cr_expect(out->weights.values == NULL && out->weights.indices == NULL && out->scores.values == NULL);
    cr_expect(out->q == NULL && out->stats.max == NULL && out->head_output == NULL);
}

/* Every result counts. */
Test(results, bounds_all_results) {
    const attn_model model = make_grouped_model();
    attend_request request = {
        .query = tensor("2,5,8"), .key = tensor("2,6,8"), .returned = ALL_RETURNS, .need_weights = true};
    size_t sum = 0, elements;
    resolve(&model, &request);
    for (size_t i = 0; i < call.array_count; i++) {
        elements = 4;
        for (size_t axis = 0; axis < call.arrays[i].rank; axis++)
            elements *= call.arrays[i].shape[axis];
        sum += elements;
    }
    cr_expect_eq(resolve_request(&model, &request, sum, &call, &p), PROBLEM_NONE);
    cr_expect_eq(resolve_request(&model, &request, sum - 1, &call, &p), PROBLEM_TOO_LARGE);
    cr_expect_not_null(strstr(p.text, "--max-answer allows, counted up to stats.received [2,4,8]"), "%s",
                       p.text);
    request.returned = 0;
    cr_expect_eq(resolve_request(&model, &request, 1000, &call, &p), PROBLEM_TOO_LARGE);
    cr_expect_not_null(strstr(p.text, "attn_weights [2,4,5,8]"), "%s", p.text);
}

/* A view makes what is charged smaller: two rows of a map that would not fit. */
Test(results, charges_the_part_that_is_viewed) {
    const attn_model model = make_model(8, 8);
    attend_request request = {.query = tensor("1,16384,8"), .need_weights = true};
    const size_t output = 16384 * 8 * 4, rows = 2 * 2 * 16384 * 4;
    cr_expect_eq(resolve_request(&model, &request, output + rows, &call, &p), PROBLEM_TOO_LARGE);
    request.view = (request_view){.present = true, .rows = {true, 2, (size_t[]){100, 102}}};
    cr_expect_eq(resolve_request(&model, &request, output + rows, &call, &p), PROBLEM_NONE, "%s", p.text);
    cr_expect_eq(resolve_request(&model, &request, output + rows - 1, &call, &p), PROBLEM_TOO_LARGE);
}

/* ---- Options ---- */

Test(results, options_reach_the_computation) {
    attn_model model = make_model(8, 8);
    attend_request request = {.query = tensor("3,8"),
                              .query_offset = {true, 7},
                              .key_offset = {true, 2147483647},
                              .omit_extra = true,
                              .training = true,
                              .seed = {true, 9007199254740991}};
    resolve(&model, &request);
    const attn_input *in = &call.input;
    cr_expect(in->query_offset == 7 && in->key_offset == 2147483647 && in->omit_extra && in->training);
    cr_expect_eq(in->seed, 9007199254740991);
    cr_expect(call.warning_count == 0 && !in->is_causal);
    request = (attend_request){.query = tensor("3,8")};
    resolve(&model, &request);
    cr_expect(in->query_offset == 0 && in->key_offset == 0 && !in->omit_extra && !in->training);
}

Test(results, is_causal_is_the_model_s_unless_the_request_says) {
    for (int causal = 0; causal < 2; causal++) {
        attn_model model = make_model(8, 8);
        model.layer.config.causal = causal == 1;
        for (request_switch given = SWITCH_ABSENT; given <= SWITCH_ON; given++) {
            attend_request request = {.query = tensor("3,8"), .is_causal = given};
            resolve(&model, &request);
            cr_expect_eq(call.input.is_causal, given == SWITCH_ABSENT ? causal == 1 : given == SWITCH_ON,
                         "%d %d", causal, given);
        }
    }
}

Test(results, draws_a_seed_for_training) {
    const attn_model model = make_model(8, 8);
    uint64_t seeds[64], all = 0;
    for (size_t i = 0; i < 64; i++) {
        attend_request request = {.query = tensor("3,8"), .training = true};
        resolve(&model, &request);
        seeds[i] = call.input.seed;
        all |= seeds[i];
        cr_assert_lt(seeds[i], (uint64_t)1 << 53);
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(seeds[i], seeds[j]);
    }
    cr_expect_eq(all, ((uint64_t)1 << 53) - 1); /* misses a bit once in 2^58 runs */
}

Test(results, warns_of_what_had_no_effect) {
    const attn_model model = make_model(8, 8);
    attend_request request = {.query = tensor("3,8"), .seed = {true, 7}};
    resolve(&model, &request);
    cr_assert_eq(call.warning_count, 1);
    cr_expect_not_null(strstr(call.warnings[0], "seed"));
    request = (attend_request){.query = tensor("3,8"), .view.present = true};
    resolve(&model, &request);
    cr_assert_eq(call.warning_count, 1);
    cr_expect_not_null(strstr(call.warnings[0], "view"));
    request.returned = 1U << RETURN_SCORES;
    resolve(&model, &request);
    cr_assert_eq(call.warning_count, 0);
    /* All at once have room. */
    request = (attend_request){.query = tensor("3,8"),
                               .view.present = true,
                               .seed = {true, 7},
                               .attn_mask = tensor("3,3"),
                               .key_padding_mask = tensor("3")};
    request.attn_mask.is_zero_one = request.key_padding_mask.is_zero_one = true;
    resolve(&model, &request);
    cr_assert_eq(call.warning_count, 4);
}

/* ---- head_output ---- */

/* H 4, D 3. */
static const struct {
    const char *shape, *results;
    size_t B, L;
} merged[] = {
    {"2,4,5,3", "output[2,5,8]", 2, 5},   {"4,5,3", "output[5,8]", 1, 5},
    {"0,...", "output[0,0,8]", 0, 0},     {"4,0,...", "output[0,8]", 1, 0},
    {"2,4,0,...", "output[2,0,8]", 2, 0},
};

Test(results, takes_head_output_instead_of_query_key_and_value) {
    const attn_model model = make_grouped_model();
    for (size_t i = 0; i < sizeof merged / sizeof merged[0]; i++) {
        attend_request request = {.head_output = tensor(merged[i].shape)};
        resolve(&model, &request);
        cr_expect_str_eq(results_of(&call), merged[i].results, "%zu: %s", i, results_of(&call));
        cr_expect(call.input.B == merged[i].B && call.input.L == merged[i].L, "%zu", i);
        cr_expect(call.input.head_output == request.head_output.data && call.warning_count == 0);
        cr_expect(request.head_output.rank == (call.batched ? 4 : 3) && !request.head_output.open);
    }
}

Test(results, says_what_is_wrong_with_head_output) {
    static const char *const shapes_[] = {"2,3,5,3", "2,4,5,4",   "5,3",         "4,5,4", "3,5,3",
                                          "3,0,...", "2,3,0,...", "2,4,5,0,...", "3"};
    const attn_model model = make_grouped_model();
    for (size_t i = 0; i < sizeof shapes_ / sizeof shapes_[0]; i++) {
        attend_request request = {.head_output = tensor(shapes_[i])};
        cr_assert_eq(resolve_request(&model, &request, NO_LIMIT, &call, &p), PROBLEM_BAD_SHAPE, "%s",
                     shapes_[i]);
        cr_expect_str_eq(p.path, "head_output");
        cr_expect_not_null(strstr(p.text, "[B,4,L,3] or [4,L,3]"), "%s", p.text);
    }
}

static attend_request with_head_output(void) {
    return (attend_request){.head_output = tensor("2,4,5,3")};
}

Test(results, refuses_what_would_be_computed_beside_head_output) {
    const attn_model model = make_grouped_model();
    attend_request cases[9];
    static const char *const paths[] = {"query",        "key",    "value", "attn_mask", "key_padding_mask",
                                        "need_weights", "return", "view"};
    for (size_t i = 0; i < 9; i++)
        cases[i] = with_head_output();
    cases[0].query = tensor("2,5,8");
    cases[1].key = tensor("2,5,8");
    cases[2].value = tensor("2,5,8");
    cases[3].attn_mask = tensor("5,5");
    cases[4].key_padding_mask = tensor("2,5");
    cases[5].need_weights = true;
    cases[6].returned = 1U << RETURN_LSE;
    cases[7].view.present = true;
    for (size_t i = 0; i < 9; i++) {
        const problem_code code = resolve_request(&model, &cases[i], NO_LIMIT, &call, &p);
        cr_assert_eq(code, i < 8 ? PROBLEM_BAD_VALUE : PROBLEM_NONE, "%zu: %s", i, p.text);
        if (i == 8)
            continue;
        cr_expect_str_eq(p.path, paths[i], "%zu: %s", i, p.path);
        cr_expect(strstr(p.text, "head_output") != NULL && strstr(p.text, paths[i]) != NULL, "%s", p.text);
    }
}

Test(results, warns_of_options_beside_head_output) {
    const attn_model model = make_grouped_model();
    attend_request cases[9];
    for (size_t i = 0; i < 9; i++)
        cases[i] = with_head_output();
    cases[0].is_causal = SWITCH_ON;
    cases[1].query_offset = (request_whole){true, 1};
    cases[2].key_offset = (request_whole){true, 1};
    cases[3].average_attn_weights = true;
    cases[4].omit_extra = true;
    cases[5].training = true;
    cases[6].seed = (request_whole){true, 1};
    cases[7].is_causal = SWITCH_OFF; /* this and the next ask for nothing */
    for (size_t i = 0; i < 9; i++) {
        resolve(&model, &cases[i]);
        cr_expect_eq(call.warning_count, i < 7 ? 1 : 0, "%zu", i);
        cr_expect(!call.input.training); /* so that no seed is shown */
    }
}

Test(results, memory_that_runs_out_is_told) {
    const attn_model model = make_grouped_model();
    bool ran_out = false, ran_through = false;
    for (size_t limit = 0; limit < 40000; limit += 256) {
        attn_budget budget = {.limit = limit};
        attn_arena *arena = attn_arena_new(&budget);
        attend_request request = {.query = tensor("2,5,8"),
                                  .returned = ALL_RETURNS,
                                  .need_weights = true,
                                  .view = {.present = true, .heads = {true, 1, (size_t[]){3}}}};
        p = (problem){0};
        switch (request_resolve(&request, &model, NO_LIMIT, arena, &call, &p)) {
        case PROBLEM_NONE:
            ran_through = true;
            break;
        case PROBLEM_QUEUE_FULL:
            cr_assert(!ran_through);
            ran_out = true;
            break;
        default:
            cr_assert_fail("%s", p.text);
        }
        attn_arena_free(arena);
        cr_assert_eq(budget.used, 0);
    }
    cr_assert(ran_out && ran_through);
}
