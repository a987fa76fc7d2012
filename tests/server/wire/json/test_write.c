/* The writer of JSON answers: the exact text of small ones, and jansson's view of random ones. */
#include "server/wire/json/json.h"
#include "tests/arena.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <float.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

static attend_request request;
static attn_model model = {.name = "m"};
static attend_call call;
static wire_buffer out;

/* A call on the model without results, and a request that says nothing. */
static void begin(void) {
    request = (attend_request){0};
    call = (attend_call){.model = &model};
    out = (wire_buffer){.arena = arena};
}

static void set_up_and_begin(void) {
    set_up();
    begin();
}

TestSuite(json_write, .init = set_up_and_begin, .fini = tear_down);

/* Adds a result to the call; the shape ends with a negative number. */
static attend_array *add(const char *name, const void *data, const int *shape) {
    attend_array *result = &call.arrays[call.array_count++];
    *result = (attend_array){.name = name, .data = data};
    for (; shape[result->rank] >= 0; result->rank++)
        result->shape[result->rank] = (size_t)shape[result->rank];
    return result;
}

#define SHAPE(...)                                                                                           \
    (const int[]) {                                                                                          \
        __VA_ARGS__, -1                                                                                      \
    }

static const char *answer(void) {
    out.length = 0;
    cr_assert(json_write_answer(&request, &call, &out));
    cr_assert(wire_buffer_append(&out, "", 1));
    return out.bytes;
}

static void expect_answer(const char *expected) {
    const char *text = answer();
    cr_expect_str_eq(text, expected, "%s, expected %s", text, expected);
}

Test(json_write, shapes) {
    const float output[] = {1, -0.0F, 0.5F, 1e-7F}, weights[] = {0.25F, 0.75F, 1, 0, 0.5F, 0.125F, 1e5F, 3};
    expect_answer("{\"model\":\"m\"}");
    add("output", output, SHAPE(2, 1, 2));
    expect_answer("{\"model\":\"m\",\"output\":[[[1,-0.0]],[[0.5,1e-7]]]}");
    add("attn_weights", weights, SHAPE(2, 2, 1, 2));
    expect_answer("{\"model\":\"m\",\"output\":[[[1,-0.0]],[[0.5,1e-7]]],"
                  "\"attn_weights\":[[[[0.25,0.75]],[[1,0]]],[[[0.5,0.125]],[[1e5,3]]]]}");
    begin();
    add("lse", weights, SHAPE(8));
    expect_answer("{\"model\":\"m\",\"lse\":[0.25,0.75,1,0,0.5,0.125,1e5,3]}");
}

Test(json_write, arrays_end_at_an_empty_dimension) {
    static const struct {
        int shape[5];
        const char *text;
    } cases[] = {
        {{0, -1}, "[]"},
        {{0, 0, 4, -1}, "[]"},
        {{2, 0, 4, -1}, "[[],[]]"},
        {{2, 2, 0, 3, -1}, "[[[],[]],[[],[]]]"},
        {{1, 1, 1, 0, -1}, "[[[[]]]]"},
        {{1, 0, 0, -1}, "[[]]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[64];
        begin();
        add("output", "", cases[i].shape);
        snprintf(expected, sizeof expected, "{\"model\":\"m\",\"output\":%s}", cases[i].text);
        expect_answer(expected);
    }
}

Test(json_write, objects_of_results) {
    const float numbers[] = {1, 2};
    const int32_t keys[] = {-1, 7};
    add("output", numbers, SHAPE(2));
    add("attn_weights.values", numbers, SHAPE(1, 2));
    add("attn_weights.indices", keys, SHAPE(1, 2))->is_int32 = true;
    add("attn.x", numbers, SHAPE(1)); /* a name that the one before begins with */
    add("attn", numbers, SHAPE(1));
    add("stats.argmax", keys, SHAPE(2, 1))->is_int32 = true;
    expect_answer(
        "{\"model\":\"m\",\"output\":[1,2],\"attn_weights\":{\"values\":[[1,2]],\"indices\":[[-1,7]]},"
        "\"attn\":{\"x\":[1]},\"attn\":[1],\"stats\":{\"argmax\":[[-1],[7]]}}");
    add("other.x", numbers, SHAPE(1)); /* as long as the one before */
    add("lse", numbers, SHAPE(1));
    cr_expect(strstr(answer(), "\"stats\":{\"argmax\":[[-1],[7]]},\"other\":{\"x\":[1]},\"lse\":[1]}") !=
                  NULL,
              "%s", out.bytes);
}

Test(json_write, whole_numbers) {
    const int32_t numbers[] = {0, 1, -1, 9, 10, -10, 1000000007, INT32_MAX, INT32_MIN};
    add("i", numbers, SHAPE(9))->is_int32 = true;
    expect_answer("{\"model\":\"m\",\"i\":[0,1,-1,9,10,-10,1000000007,2147483647,-2147483648]}");
}

Test(json_write, minus_infinity_is_null) {
    const float numbers[] = {-INFINITY, 1.5F, -FLT_MAX, -INFINITY};
    add("lse", numbers, SHAPE(2, 2))->may_be_minus_infinity = true;
    expect_answer("{\"model\":\"m\",\"lse\":[[null,1.5],[-3.4028235e38,null]]}");
}

Test(json_write, the_seed_of_a_training_step) {
    call.input.seed = 9007199254740991;
    expect_answer("{\"model\":\"m\"}");
    call.input.training = true;
    call.warnings[call.warning_count++] = "w";
    add("output", "", SHAPE(0));
    expect_answer("{\"model\":\"m\",\"output\":[],\"seed\":9007199254740991,\"warnings\":[\"w\"]}");
    call.input.seed = 0;
    expect_answer("{\"model\":\"m\",\"output\":[],\"seed\":0,\"warnings\":[\"w\"]}");
}

Test(json_write, texts) {
    const float output[] = {1};
    add("output", output, SHAPE(1, 1, 1));
    request.id = "a \"b\" \\ / \b\f\n\r\t \x01\x1f\x7f \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    call.warnings[0] = "first \"one\"";
    call.warnings[1] = "second";
    call.warning_count = 1;
    const char *text = answer();
    cr_expect_str_eq(text,
                     "{\"model\":\"m\",\"id\":\"a \\\"b\\\" \\\\ / \\b\\f\\n\\r\\t \\u0001\\u001f\x7f "
                     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"output\":[[[1]]],\"warnings\":[\"first "
                     "\\\"one\\\"\"]}",
                     "%s", text);
    request.id = "";
    call.warning_count = 2;
    expect_answer("{\"model\":\"m\",\"id\":\"\",\"output\":[[[1]]],"
                  "\"warnings\":[\"first \\\"one\\\"\",\"second\"]}");
}

/* ---- Random answers, as jansson sees them ---- */

/* Walks through a nested array with these dimensions and holds its numbers against *data. */
static void check_array(const json_t *array, const size_t *shape, size_t rank, const float **data) {
    if (rank == 0) {
        const float value = (float)json_number_value(array);
        cr_assert(json_is_number(array));
        cr_assert(memcmp(&value, *data, sizeof value) == 0, "%a, expected %a", (double)value, (double)**data);
        ++*data;
        return;
    }
    cr_assert(json_is_array(array));
    cr_assert_eq(json_array_size(array), shape[0]);
    for (size_t i = 0; i < shape[0]; i++)
        check_array(json_array_get(array, i), shape + 1, rank - 1, data);
}

static float *random_floats(uint64_t *state, size_t count) {
    float *data = attn_arena_array(arena, count, sizeof *data);
    cr_assert(data != NULL);
    for (size_t i = 0; i < count; i++)
        do {
            const uint32_t bits = (uint32_t)random_bits(state);
            memcpy(&data[i], &bits, sizeof bits);
        } while (!(data[i] >= -FLT_MAX && data[i] <= FLT_MAX));
    return data;
}

Test(json_write, random_answers_read_back) {
    uint64_t state = test_seed("random_answers_read_back");
    for (int round = 0; round < 200; round++) {
        static const char *const names[] = {"output", "attn_weights", "lse", "stats.max", "stats.received"};
        begin();
        for (size_t i = 0; i < 5; i++) {
            int shape[5] = {-1, -1, -1, -1, -1};
            size_t count = 1;
            for (size_t axis = 0, rank = 1 + random_below(&state, 4); axis < rank; axis++) {
                shape[axis] = (int)random_below(&state, axis + 1 == rank ? 100 : 7);
                count *= (size_t)shape[axis];
            }
            add(names[i], random_floats(&state, count), shape);
        }
        const char *text = answer();
        cr_assert_eq(strpbrk(text, " \t\r\n"), NULL, "%s", text);
        json_error_t error;
        json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, &error), *stats;
        cr_assert(tree != NULL, "%s: %s", error.text, text);
        stats = json_object_get(tree, "stats");
        for (size_t i = 0; i < 5; i++) {
            const char *dot = strchr(names[i], '.');
            const float *data = call.arrays[i].data;
            check_array(dot == NULL ? json_object_get(tree, names[i]) : json_object_get(stats, dot + 1),
                        call.arrays[i].shape, call.arrays[i].rank, &data);
        }
        cr_assert(json_object_size(tree) == 5 && json_object_size(stats) == 2);
        json_decref(tree);
    }
}

/* What we write we read: an answer's output makes a query. */
Test(json_write, the_reader_reads_what_the_writer_wrote) {
    uint64_t state = test_seed("the_reader_reads_what_the_writer_wrote");
    const float *data = random_floats(&state, 3 * 5 * 257);
    add("output", data, SHAPE(3, 5, 257));
    answer();
    char *text = strstr(out.bytes, "\"output\"");
    cr_assert(text != NULL);
    text -= 1;
    memcpy(text, "{\"query\" ", 9);
    problem p;
    cr_assert_eq(json_read_request(text, strlen(text), arena, NULL, &request, &p), PROBLEM_NONE);
    cr_expect(request.query.shape[0] == 3 && request.query.shape[1] == 5 && request.query.shape[2] == 257);
    cr_expect(memcmp(request.query.data, data, 3 * 5 * 257 * sizeof(float)) == 0);
}

/* ---- Problems ---- */

static void expect_problem(const problem *p, const char *expected) {
    out.length = 0;
    cr_assert(json_write_problem(p, &out) && wire_buffer_append(&out, "", 1));
    cr_expect_str_eq(out.bytes, expected, "%s, expected %s", out.bytes, expected);
}

Test(json_write, problems) {
    problem p;
    problem_set(&p, PROBLEM_NOT_FOUND, "there is no model called \"%s\"", "x");
    expect_problem(&p, "{\"error\":\"there is no model called \\\"x\\\"\",\"code\":\"not_found\"}");
    strcpy(p.path, "query[0][3]");
    expect_problem(&p, "{\"error\":\"there is no model called \\\"x\\\"\",\"code\":\"not_found\","
                       "\"path\":\"query[0][3]\"}");
    p.has_offset = true;
    expect_problem(&p, "{\"error\":\"there is no model called \\\"x\\\"\",\"code\":\"not_found\","
                       "\"path\":\"query[0][3]\",\"offset\":0}");
    problem_set(&p, PROBLEM_MALFORMED_JSON, "no");
    p.has_offset = true;
    p.offset = 67108864;
    expect_problem(&p, "{\"error\":\"no\",\"code\":\"malformed_json\",\"offset\":67108864}");
}

Test(json_write, memory_that_runs_out_is_told) {
    const float output[64] = {0};
    add("output", output, SHAPE(1, 8, 8));
    add("stats.max", output, SHAPE(1, 8));
    call.input.training = true;
    request.id = "an id";
    bool ran_out = false, ran_through = false;
    for (size_t limit = 0; limit < 8192; limit += 64) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        wire_buffer buffer = {.arena = small};
        if (json_write_answer(&request, &call, &buffer)) {
            ran_through = true;
        } else {
            cr_assert(!ran_through);
            cr_assert_eq(attn_arena_failure(small), ATTN_OVER_BUDGET);
            ran_out = true;
        }
        attn_arena_free(small);
        cr_assert_eq(budget.used, 0);
    }
    cr_assert(ran_out && ran_through);
}
