/* What a request's tensors must look like beside a model: shapes, defaults, bounds. */
#include "tests/server/requests.h"

#include <stdint.h>

typedef struct {
    const char *query, *key, *value, *attn_mask, *key_padding_mask;
} shapes;

static attend_call call;
static problem p;

static problem_code resolve(const attn_model *model, shapes s, bool need_weights, size_t limit) {
    attend_request request = {.query = tensor(s.query),
                              .key = tensor(s.key),
                              .value = tensor(s.value),
                              .attn_mask = tensor(s.attn_mask),
                              .key_padding_mask = tensor(s.key_padding_mask),
                              .need_weights = need_weights};
    return resolve_request(model, &request, limit, &call, &p);
}

/* Requests that fit, and the B, L, S and batches of the mask that they mean. */
static const struct {
    shapes given;
    size_t B, L, S, mask_B, mask_H;
    bool batched;
} good[] = {
    {{"2,10,8", NULL, NULL, NULL, NULL}, 2, 10, 10, 0, 0, true},
    {{"2,5,8", "2,20,8", NULL, NULL, NULL}, 2, 5, 20, 0, 0, true},
    {{"2,5,8", "2,20,8", "2,20,8", "5,20", "2,20"}, 2, 5, 20, 1, 1, true},
    {{"3,5,8", NULL, NULL, "6,5,5", NULL}, 3, 5, 5, 3, 2, true},
    {{"3,5,8", NULL, NULL, "3,2,5,5", NULL}, 3, 5, 5, 3, 2, true},
    {{"3,5,8", NULL, NULL, "1,2,5,5", NULL}, 3, 5, 5, 1, 2, true},
    {{"3,5,8", NULL, NULL, "3,1,5,5", NULL}, 3, 5, 5, 3, 1, true},
    {{"3,5,8", NULL, NULL, "1,1,5,5", NULL}, 3, 5, 5, 1, 1, true},
    {{"10,8", NULL, NULL, NULL, "10"}, 1, 10, 10, 0, 0, false},
    {{"10,8", "4,8", "4,8", "2,10,4", "4"}, 1, 10, 4, 1, 2, false},
    {{"0,...", NULL, NULL, NULL, NULL}, 0, 0, 0, 0, 0, true},
    {{"2,0,...", NULL, NULL, NULL, NULL}, 2, 0, 0, 0, 0, true},
    {{"2,3,8", "2,0,...", NULL, NULL, NULL}, 2, 3, 0, 0, 0, true},
    {{"2,3,8", "2,0,...", "2,0,...", "3,0,...", "2,0,..."}, 2, 3, 0, 1, 1, true},
    {{"3,8", "0,...", NULL, NULL, "0"}, 1, 3, 0, 0, 0, false},
    {{"0,...", "0,...", NULL, "0,...", NULL}, 0, 0, 0, 1, 1, true},
};

Test(request, takes_what_fits) {
    const attn_model model = make_model(8, 8);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_assert_eq(resolve(&model, good[i].given, true, NO_LIMIT), PROBLEM_NONE, "%zu: %s", i, p.text);
        const attn_input *in = &call.input;
        cr_assert(in->B == good[i].B && in->L == good[i].L && in->S == good[i].S, "%zu: B %zu, L %zu, S %zu",
                  i, in->B, in->L, in->S);
        cr_assert_eq(call.batched, good[i].batched);
        cr_assert_eq(in->attn_mask != NULL, good[i].given.attn_mask != NULL);
        if (in->attn_mask != NULL)
            cr_assert(in->mask_B == good[i].mask_B && in->mask_H == good[i].mask_H, "%zu", i);
    }
}

static const struct {
    shapes given;
    problem_code code;
    const char *path;
} bad[] = {
    {{NULL, NULL, NULL, NULL, NULL}, PROBLEM_MISSING_FIELD, "query"},
    {{"2,10,7", NULL, NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "query"},
    {{"8", NULL, NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "query"},
    {{"1,2,3,8", NULL, NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "query"},
    {{"1,2,0,...", NULL, NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "query"},
    {{"2,10,8", "3,10,8", NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "key"},
    {{"2,10,8", "2,10,9", NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "key"},
    {{"2,10,8", "10,8", NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "key"},
    {{"10,8", "1,10,8", NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "key"},
    {{"2,10,8", "0,...", NULL, NULL, NULL}, PROBLEM_BAD_SHAPE, "key"},
    {{"2,10,8", "2,9,8", "2,10,8", NULL, NULL}, PROBLEM_BAD_SHAPE, "value"},
    {{"2,10,8", NULL, "2,9,8", NULL, NULL}, PROBLEM_BAD_SHAPE, "value"},
    {{"2,10,8", NULL, NULL, "10,9", NULL}, PROBLEM_BAD_SHAPE, "attn_mask"},
    {{"2,10,8", NULL, NULL, "2,10,10", NULL}, PROBLEM_BAD_SHAPE, "attn_mask"},
    {{"2,10,8", NULL, NULL, "3,2,10,10", NULL}, PROBLEM_BAD_SHAPE, "attn_mask"},
    {{"2,10,8", NULL, NULL, "10", NULL}, PROBLEM_BAD_SHAPE, "attn_mask"},
    {{"10,8", NULL, NULL, "1,2,10,10", NULL}, PROBLEM_BAD_SHAPE, "attn_mask"},
    {{"2,10,8", NULL, NULL, NULL, "10"}, PROBLEM_BAD_SHAPE, "key_padding_mask"},
    {{"2,10,8", NULL, NULL, NULL, "2,9"}, PROBLEM_BAD_SHAPE, "key_padding_mask"},
    {{"10,8", NULL, NULL, NULL, "1,10"}, PROBLEM_BAD_SHAPE, "key_padding_mask"},
};

Test(request, says_what_does_not_fit) {
    const attn_model model = make_model(8, 8);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_eq(resolve(&model, bad[i].given, false, NO_LIMIT), bad[i].code, "%zu: %s", i, p.text);
        cr_assert_str_eq(p.path, bad[i].path, "%zu: %s", i, p.text);
        cr_assert_not_null(strstr(p.text, bad[i].path), "%zu: %s", i, p.text);
    }
}

Test(request, does_not_stand_in_for_a_key_or_value_of_another_width) {
    const attn_model other_key = make_model(5, 8), other_value = make_model(8, 5), same = make_model(5, 5);
    cr_assert_eq(resolve(&other_key, (shapes){.query = "2,3,8"}, false, NO_LIMIT), PROBLEM_MISSING_FIELD);
    cr_assert_str_eq(p.path, "key");
    cr_assert_eq(resolve(&other_value, (shapes){.query = "2,3,8"}, false, NO_LIMIT), PROBLEM_MISSING_FIELD);
    cr_assert_str_eq(p.path, "value");
    cr_assert_eq(resolve(&same, (shapes){.query = "2,3,8", .key = "2,4,5"}, false, NO_LIMIT), PROBLEM_NONE);
    cr_assert_eq(call.input.key, call.input.value);
}

Test(request, bounds_the_answer) {
    const attn_model model = make_model(8, 8);
    const shapes s = {.query = "2,10,8"};
    const size_t output = 2 * 10 * 8 * 4, weights = 2 * 2 * 10 * 10 * 4;
    cr_assert_eq(resolve(&model, s, false, output), PROBLEM_NONE);
    cr_assert_eq(resolve(&model, s, false, output - 1), PROBLEM_TOO_LARGE);
    cr_assert_not_null(strstr(p.text, "--max-answer"));
    cr_assert_eq(resolve(&model, s, true, output + weights), PROBLEM_NONE);
    cr_assert_eq(resolve(&model, s, true, output + weights - 1), PROBLEM_TOO_LARGE);
    /* Empty arrays are text too: a zero counts as one. */
    const shapes empty = {.query = "1000000,0,..."};
    cr_assert_eq(resolve(&model, empty, false, 1000000 * 8 * 4 - 1), PROBLEM_TOO_LARGE);
    cr_assert_eq(resolve(&model, empty, false, 1000000 * 8 * 4), PROBLEM_NONE);
    const shapes huge = {.query = "16777216,16777216,8", .key = "16777216,16777216,8"};
    cr_assert_eq(resolve(&model, huge, true, SIZE_MAX), PROBLEM_TOO_LARGE);
}
