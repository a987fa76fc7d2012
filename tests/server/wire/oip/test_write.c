/* The writer of the Open Inference Protocol: the exact bytes of answers. */
#include "server/http/exchange.h"
#include "server/wire/oip/oip.h"
#include "tests/arena.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static attend_request request;
static oip_options asked;
static attn_model model;
static attend_call call;
static wire_buffer out;

TestSuite(oip_write, .init = set_up, .fini = tear_down);

static void begin_answer(void) {
    memset(&call, 0, sizeof call);
    memset(&request, 0, sizeof request);
    memset(&asked, 0, sizeof asked);
    strcpy(model.name, "bert.3");
    call.model = &model;
    out = (wire_buffer){.arena = arena};
}

static attend_array *add_result(const char *name, const void *data, size_t rows, size_t columns) {
    attend_array *result = &call.arrays[call.array_count++];
    *result = (attend_array){.name = name, .data = data, .rank = 2, .shape = {rows, columns}};
    return result;
}

static void ask(const char *name, request_switch binary) {
    oip_asked *const next = &asked.asked[asked.asked_count++];
    for (size_t n = 0; (next->output = output_at(n, &next->whole)) != NULL; n++)
        if (strcmp(next->output->name, name) == 0)
            break;
    next->binary = binary;
}

/* The answer is this JSON, and behind it these bytes. */
static void expect_answer(const char *json, const void *binary, size_t binary_length) {
    size_t json_length;
    cr_assert(oip_write_answer(&request, &call, &asked, &out, &json_length));
    cr_assert_eq(json_length, binary == NULL ? 0 : strlen(json), "%zu: %.*s", json_length, (int)out.length,
                 out.bytes);
    cr_assert_eq(out.length, strlen(json) + binary_length, "%.*s", (int)out.length, out.bytes);
    cr_assert_arr_eq(out.bytes, json, strlen(json), "%.*s\n%s", (int)out.length, out.bytes, json);
    if (binary != NULL)
        cr_assert_arr_eq(out.bytes + strlen(json), binary, binary_length);
}

static const float two_by_two[] = {1, -0.5F, 1e-7F, -INFINITY};
static const int32_t places[] = {0, -1, 2147483647, INT32_MIN};
static char identity[] = "a\"\\\n\x1f/\xc3\xa9";

#define HEAD "{\"model_name\":\"bert.3\",\"model_version\":\"1\""

Test(oip_write, answers_in_json) {
    begin_answer();
    request.id = identity;
    add_result("output", two_by_two, 1, 3);
    add_result("lse", two_by_two, 2, 2)->may_be_minus_infinity = true;
    add_result("stats.argmax", places, 4, 1)->is_int32 = true;
    add_result("q", two_by_two, 0, 2);
    expect_answer(HEAD ",\"id\":\"a\\\"\\\\\\n\\u001f/\xc3\xa9\",\"outputs\":["
                       "{\"name\":\"output\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[1,-0.5,1e-7]},"
                       "{\"name\":\"lse\",\"datatype\":\"FP32\",\"shape\":[2,2],\"data\":[1,-0.5,1e-7,null]},"
                       "{\"name\":\"stats.argmax\",\"datatype\":\"INT32\",\"shape\":[4,1],\"data\":"
                       "[0,-1,2147483647,-2147483648]},"
                       "{\"name\":\"q\",\"datatype\":\"FP32\",\"shape\":[0,2],\"data\":[]}]}",
                  NULL, 0);
}

Test(oip_write, answers_in_binary) {
    char expected[32];
    begin_answer();
    asked.binary_output = true;
    call.input.training = true;
    call.input.seed = 9007199254740991;
    call.warnings[call.warning_count++] = "one \"thing\"";
    call.warnings[call.warning_count++] = "another";
    add_result("lse", two_by_two, 2, 2)->may_be_minus_infinity = true;
    add_result("stats.argmax", places, 2, 2)->is_int32 = true;
    memcpy(expected, two_by_two, 16);
    memcpy(expected + 16, places, 16);
    expect_answer(HEAD ",\"parameters\":{\"seed\":9007199254740991,\"warnings\":\"one \\\"thing\\\"\\n"
                       "another\"},\"outputs\":["
                       "{\"name\":\"lse\",\"datatype\":\"FP32\",\"shape\":[2,2],\"parameters\":"
                       "{\"binary_data_size\":16}},"
                       "{\"name\":\"stats.argmax\",\"datatype\":\"INT32\",\"shape\":[2,2],\"parameters\":"
                       "{\"binary_data_size\":16}}]}",
                  expected, 32);
}

/* Only what is asked for, in that order, each as it is asked for. */
Test(oip_write, answers_what_is_asked_for) {
    char expected[12];
    begin_answer();
    asked.binary_output = true;
    add_result("output", two_by_two, 1, 1);
    add_result("attn_weights", two_by_two, 1, 1);
    add_result("stats.max", two_by_two + 1, 1, 1);
    add_result("stats.argmax", places + 1, 1, 1)->is_int32 = true;
    add_result("v", two_by_two, 1, 1);
    ask("stats", SWITCH_ABSENT);
    ask("v", SWITCH_OFF);
    ask("output", SWITCH_ON);
    memcpy(expected, two_by_two + 1, 4);
    memcpy(expected + 4, places + 1, 4);
    memcpy(expected + 8, two_by_two, 4);
    expect_answer(HEAD ",\"outputs\":["
                       "{\"name\":\"stats.max\",\"datatype\":\"FP32\",\"shape\":[1,1],\"parameters\":"
                       "{\"binary_data_size\":4}},"
                       "{\"name\":\"stats.argmax\",\"datatype\":\"INT32\",\"shape\":[1,1],\"parameters\":"
                       "{\"binary_data_size\":4}},"
                       "{\"name\":\"v\",\"datatype\":\"FP32\",\"shape\":[1,1],\"data\":[1]},"
                       "{\"name\":\"output\",\"datatype\":\"FP32\",\"shape\":[1,1],\"parameters\":"
                       "{\"binary_data_size\":4}}]}",
                  expected, 12);
}

/* An empty output that is binary makes the whole answer so. */
Test(oip_write, answers_with_nothing_in_binary) {
    begin_answer();
    add_result("output", two_by_two, 0, 4);
    ask("output", SWITCH_ON);
    expect_answer(HEAD
                  ",\"outputs\":[{\"name\":\"output\",\"datatype\":\"FP32\",\"shape\":[0,4],\"parameters\":"
                  "{\"binary_data_size\":0}}]}",
                  "", 0);
}

/* More elements than room is made for at once. */
Test(oip_write, answers_with_many_numbers) {
    enum { COUNT = 10001 };
    static float values[COUNT];
    size_t json_length;
    begin_answer();
    for (size_t i = 0; i < COUNT; i++)
        values[i] = (float)i;
    add_result("output", values, 1, COUNT);
    cr_assert(oip_write_answer(&request, &call, &asked, &out, &json_length));
    cr_assert(wire_buffer_append(&out, "", 1));
    const char *at = strstr(out.bytes, "\"data\":[");
    cr_assert_not_null(at);
    at += strlen("\"data\":[");
    for (size_t i = 0; i < COUNT; i++) {
        char *end;
        cr_assert_eq(strtof(at, &end), values[i]); /* 10000 is 1e4 */
        cr_assert_eq(*end, i + 1 < COUNT ? ',' : ']');
        at = end + 1;
    }
    cr_assert_str_eq(at, "}]}");
}

Test(oip_write, answers_while_memory_runs_out) {
    static float values[300];
    size_t json_length, whole, limit = 0;
    bool written = false;
    begin_answer();
    request.id = identity;
    call.warnings[call.warning_count++] = "one";
    add_result("output", values, 1, 3);
    add_result("q", values, 1, 300);
    ask("output", SWITCH_OFF);
    ask("q", SWITCH_ON);
    cr_assert(oip_write_answer(&request, &call, &asked, &out, &json_length));
    whole = out.length;
    for (; !written; limit += 16) {
        attn_budget budget = {.limit = limit};
        out = (wire_buffer){.arena = attn_arena_new(&budget)};
        cr_assert_not_null(out.arena);
        written = oip_write_answer(&request, &call, &asked, &out, &json_length);
        cr_assert(written ? out.length == whole : attn_arena_failure(out.arena) == ATTN_OVER_BUDGET);
        cr_assert(written || json_length == 0);
        attn_arena_free(out.arena);
    }
    cr_assert_gt(limit, whole);
}

/* A problem that comes up when the answer is there already leaves nothing of it. */
Test(oip_write, a_problem_takes_the_place_of_an_answer) {
    problem p;
    http_exchange x = {
        .small = arena, .media_type = "application/octet-stream", .answer_encoding = ENCODING_GZIP};
    http_copy_header(&x, "Inference-Header-Content-Length", "77");
    cr_assert_eq(x.header_count, 1);
    problem_set(&p, PROBLEM_BAD_VALUE, "no");
    http_answer_problem(&x, &p);
    cr_assert_eq(x.status, 400);
    cr_assert_eq(x.header_count, 0);
    cr_assert(x.media_type == NULL && x.answer_encoding == ENCODING_IDENTITY);
}
