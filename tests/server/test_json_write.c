/* The writer of JSON answers: the exact text of small ones, and jansson's view of random ones. */
#include "server/wire/json.h"
#include "tests/random.h"

#include <criterion/criterion.h>
#include <float.h>
#include <jansson.h>
#include <string.h>

static attn_arena *arena;
static wire_buffer out;

static void set_up(void) {
    arena = attn_arena_new(NULL);
    cr_assert(arena != NULL);
    out = (wire_buffer){.arena = arena};
}

static void tear_down(void) {
    attn_arena_free(arena);
}

TestSuite(json_write, .init = set_up, .fini = tear_down);

/* A model "m" with these dimensions, and a call on it. */
typedef struct {
    attn_model model;
    attend_call call;
    attend_request request;
} set_of_three;

static void fill(set_of_three *s, size_t B, size_t L, size_t S, size_t H, size_t E) {
    memset(s, 0, sizeof *s);
    strcpy(s->model.name, "m");
    s->model.layer.config.num_heads = H;
    s->model.layer.config.embed_dim = E;
    s->call.model = &s->model;
    s->call.input.B = B;
    s->call.input.L = L;
    s->call.input.S = S;
    s->call.batched = true;
}

static const char *answer(const set_of_three *s) {
    out.length = 0;
    cr_assert(json_write_answer(&s->request, &s->call, &out));
    cr_assert(wire_buffer_append(&out, "", 1));
    return out.bytes;
}

static void expect_answer(const set_of_three *s, const char *expected) {
    const char *text = answer(s);
    cr_expect_str_eq(text, expected, "%s, expected %s", text, expected);
}

Test(json_write, shapes) {
    float output[] = {1, -0.0F, 0.5F, 1e-7F}, weights[] = {0.25F, 0.75F, 1, 0, 0.5F, 0.125F, 1e5F, 3};
    set_of_three s;
    fill(&s, 2, 1, 2, 2, 2);
    s.call.output.output = output;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[[1,-0.0]],[[0.5,1e-7]]]}");
    s.call.output.weights = weights;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[[1,-0.0]],[[0.5,1e-7]]],"
                      "\"attn_weights\":[[[[0.25,0.75]],[[1,0]]],[[[0.5,0.125]],[[1e5,3]]]]}");
    s.call.output.average = true;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[[1,-0.0]],[[0.5,1e-7]]],"
                      "\"attn_weights\":[[[0.25,0.75]],[[1,0]]]}");
}

Test(json_write, without_a_batch) {
    float output[] = {1, 2, 3, 4}, weights[] = {0.25F, 0.75F, 1, 0};
    set_of_three s;
    fill(&s, 1, 2, 1, 2, 2);
    s.call.batched = false;
    s.call.output.output = output;
    s.call.output.weights = weights;
    expect_answer(&s,
                  "{\"model\":\"m\",\"output\":[[1,2],[3,4]],\"attn_weights\":[[[0.25],[0.75]],[[1],[0]]]}");
    s.call.output.average = true;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[1,2],[3,4]],\"attn_weights\":[[0.25],[0.75]]}");
}

Test(json_write, arrays_end_at_an_empty_dimension) {
    float nothing[1];
    set_of_three s;
    fill(&s, 0, 0, 0, 2, 4);
    s.call.output.output = s.call.output.weights = nothing;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[],\"attn_weights\":[]}");
    fill(&s, 2, 0, 3, 2, 4);
    s.call.output.output = s.call.output.weights = nothing;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[],[]],\"attn_weights\":[[[],[]],[[],[]]]}");
    s.call.output.average = true;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[],[]],\"attn_weights\":[[],[]]}");
    float zeros[4] = {0};
    fill(&s, 1, 1, 0, 1, 4);
    s.call.output.output = zeros;
    s.call.output.weights = nothing;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[[[0,0,0,0]]],\"attn_weights\":[[[[]]]]}");
    fill(&s, 1, 0, 0, 1, 4);
    s.call.batched = false;
    s.call.output.output = s.call.output.weights = nothing;
    expect_answer(&s, "{\"model\":\"m\",\"output\":[],\"attn_weights\":[[]]}");
}

Test(json_write, texts) {
    float output[] = {1};
    set_of_three s;
    fill(&s, 1, 1, 1, 1, 1);
    s.call.output.output = output;
    s.request.id = "a \"b\" \\ / \b\f\n\r\t \x01\x1f\x7f \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    s.call.warnings[0] = "first \"one\"";
    s.call.warnings[1] = "second";
    s.call.warning_count = 1;
    const char *text = answer(&s);
    cr_expect_str_eq(text,
                     "{\"model\":\"m\",\"id\":\"a \\\"b\\\" \\\\ / \\b\\f\\n\\r\\t \\u0001\\u001f\x7f "
                     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\",\"output\":[[[1]]],\"warnings\":[\"first "
                     "\\\"one\\\"\"]}",
                     "%s", text);
    s.request.id = "";
    s.call.warning_count = 2;
    expect_answer(&s, "{\"model\":\"m\",\"id\":\"\",\"output\":[[[1]]],"
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
        set_of_three s;
        const size_t B = random_below(&state, 4), L = random_below(&state, 6), S = random_below(&state, 6);
        const size_t H = 1 + random_below(&state, 3), E = H * (1 + random_below(&state, 40));
        const size_t unbatched = random_below(&state, 2);
        const size_t batches = unbatched ? 1 : B;
        fill(&s, batches, L, S, H, E);
        s.call.batched = !unbatched;
        s.call.output.average = random_below(&state, 2) == 0;
        s.call.output.output = random_floats(&state, batches * L * E);
        s.call.output.weights = random_floats(&state, batches * H * L * S);
        const char *text = answer(&s);
        cr_assert_eq(strpbrk(text, " \t\r\n"), NULL, "%s", text);
        json_error_t error;
        json_t *tree = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        cr_assert(tree != NULL, "%s: %s", error.text, text);
        const size_t output_shape[] = {batches, L, E}, all[] = {batches, H, L, S}, mean[] = {batches, L, S};
        const float *data = s.call.output.output;
        check_array(json_object_get(tree, "output"), output_shape + unbatched, 3 - unbatched, &data);
        data = s.call.output.weights;
        if (s.call.output.average)
            check_array(json_object_get(tree, "attn_weights"), mean + unbatched, 3 - unbatched, &data);
        else
            check_array(json_object_get(tree, "attn_weights"), all + unbatched, 4 - unbatched, &data);
        cr_assert_eq(json_object_size(tree), 3);
        json_decref(tree);
    }
}

/* What we write we read: an answer's output makes a query. */
Test(json_write, the_reader_reads_what_the_writer_wrote) {
    uint64_t state = test_seed("the_reader_reads_what_the_writer_wrote");
    set_of_three s;
    fill(&s, 3, 5, 1, 1, 257);
    s.call.output.output = random_floats(&state, 3 * 5 * 257);
    answer(&s);
    char *text = strstr(out.bytes, "\"output\"");
    cr_assert(text != NULL);
    text -= 1;
    memcpy(text, "{\"query\" ", 9);
    attend_request request;
    problem p;
    cr_assert_eq(json_read_request(text, strlen(text), arena, &request, &p), PROBLEM_NONE);
    cr_expect(request.query.shape[0] == 3 && request.query.shape[1] == 5 && request.query.shape[2] == 257);
    cr_expect(memcmp(request.query.data, s.call.output.output, 3 * 5 * 257 * sizeof(float)) == 0);
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
    float output[64] = {0};
    set_of_three s;
    fill(&s, 1, 8, 1, 1, 8);
    s.call.output.output = output;
    s.request.id = "an id";
    bool ran_out = false, ran_through = false;
    for (size_t limit = 0; limit < 8192; limit += 64) {
        attn_budget budget = {.limit = limit};
        attn_arena *small = attn_arena_new(&budget);
        wire_buffer buffer = {.arena = small};
        if (json_write_answer(&s.request, &s.call, &buffer)) {
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
