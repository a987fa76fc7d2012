/* Good requests get the right numbers, bad ones get one clear sentence, over real HTTP. */
#include "core/model/load.h"
#include "tests/service/layers.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#define SMALL "small=init:embed_dim=8,num_heads=2,seed=5"

static json_t *parse(const answer *a) {
    json_error_t error;
    json_t *document = keep(json_loads(a->body, JSON_REJECT_DUPLICATES, &error));
    cr_assert_not_null(document, "%s: %.200s", error.text, a->body);
    return document;
}

Test(requests, small_documents) {
    server s = server_start("--model", SMALL, "--model", "builtin:demo", NULL);
    answer a = http_request(&s, "/healthz", NULL, "X-Request-Id: my-id.1");
    cr_assert_eq(a.status, 200);
    cr_assert_str_eq(a.body, "{\"status\":\"ok\"}");
    cr_assert_not_null(strcasestr(a.headers, "X-Request-Id: my-id.1\r\n"));
    cr_assert_not_null(strcasestr(a.headers, "Content-Type: application/json\r\n"));

    a = http_request(&s, "/readyz", NULL, "X-Request-Id: not allowed");
    cr_assert_eq(a.status, 200);
    const char *id = strcasestr(a.headers, "X-Request-Id: ");
    cr_assert(id != NULL && strspn(id + 14, "0123456789abcdef") == 32);

    a = http_method(&s, "HEAD", "/healthz", NULL, NULL);
    cr_assert(a.status == 200 && a.length == 0);

    a = http_request(&s, "/models", NULL, NULL);
    json_t *models = parse(&a), *second = json_array_get(json_object_get(models, "models"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(models, "default")), "small");
    cr_assert_str_eq(json_string_value(json_object_get(second, "name")), "demo");
    cr_assert_eq(json_integer_value(json_object_get(second, "embed_dim")), 512);
    cr_assert_eq(json_integer_value(json_object_get(second, "head_dim")), 64);
    cr_assert_eq(json_integer_value(json_object_get(second, "bytes")), (4 * 512 * 512 + 4 * 512) * 4);
    a = http_request(&s, "/models/demo", NULL, NULL);
    json_t *one = parse(&a);
    cr_assert(json_equal(one, second));
    cr_assert_eq(server_stop(&s), 0);
}

static void hold(const json_t *found, const double *expected, size_t count) {
    double *numbers = keep(malloc((count + 1) * sizeof *numbers)), largest = 0;
    cr_assert_eq(flatten(found, numbers), count);
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < count; i++)
        cr_assert_float_eq(numbers[i], expected[i], 2e-6 * largest);
}

/* What the service answers is what the double-precision reference computes from the same model. */
Test(requests, answers_are_the_reference_s_numbers) {
    uint64_t seed = test_seed("answers_are_the_reference_s_numbers");
    server s = server_start("--model", SMALL, NULL);
    attn_registry registry = {0};
    attn_error error;
    cr_assert_eq(attn_registry_load(&registry, SMALL, &error), ATTN_OK, "%s", error.text);
    for (int n = 0; n < 20; n++) {
        const size_t B = 1 + random_below(&seed, 3), L = 1 + random_below(&seed, 30);
        const bool causal = n % 2 == 1;
        char *body = make_request(
            B, L, 8, causal ? "\"is_causal\":true,\"need_weights\":true," : "\"need_weights\":true,",
            (unsigned)n);
        json_t *sent = keep(json_loads(body, 0, NULL));
        double query[3 * 30 * 8], output[3 * 30 * 8],
            *weights = keep(malloc(B * 2 * L * L * sizeof *weights));
        float numbers[3 * 30 * 8];
        const size_t count = flatten(json_object_get(sent, "query"), query);
        for (size_t i = 0; i < count; i++)
            numbers[i] = (float)query[i];
        const attn_input input = {
            .B = B, .L = L, .S = L, .query = numbers, .key = numbers, .value = numbers, .is_causal = causal};
        cr_assert_eq(attn_reference(&registry.models[0]->layer, &input,
                                    &(attn_reference_output){.output = output, .weights = weights}),
                     ATTN_OK);
        answer a = http_request(&s, n % 3 == 0 ? "/attend/small" : "/attend", body, NULL);
        cr_assert_eq(a.status, 200, "%s", a.body);
        cr_assert_not_null(strcasestr(a.headers, "Server-Timing: parse;dur="));
        json_t *answered = parse(&a);
        cr_assert_str_eq(json_string_value(json_object_get(answered, "model")), "small");
        hold(json_object_get(answered, "output"), output, B * L * 8);
        hold(json_object_get(answered, "attn_weights"), weights, B * 2 * L * L);
    }
    attn_registry_free(&registry);
    cr_assert_eq(server_stop(&s), 0);
}

#define ROW "[1,2,3,4,5,6,7,8]"
#define Q   "\"query\":[" ROW "," ROW "]"

/* Kinds of bad request: what is sent, and what must come back. */
static const struct {
    const char *method, *path, *body, *header;
    long status;
    const char *code, *place; /* the place is its path, or part of the sentence */
} bad[] = {
    {"POST", "/attend", "", NULL, 400, "malformed_json", "empty"},
    {"POST", "/attend", "{\"query\":[[1,2", NULL, 400, "malformed_json", "offset"},
    {"POST", "/attend", "{" Q "} x", NULL, 400, "malformed_json", "offset"},
    {"POST", "/attend", "{" Q "," Q "}", NULL, 400, "malformed_json", "query"},
    {"POST", "/attend", "{\"query\":[[[[[[[[[[1]]]]]]]]]]}", NULL, 400, "malformed_json", "query"},
    {"POST", "/attend", "[1,2,3]", NULL, 400, "bad_value", "object"},
    {"POST", "/attend", "{}", NULL, 400, "missing_field", "query"},
    {"POST", "/attend", "{" Q ",\"heads\":3}", NULL, 400, "unknown_field", "heads"},
    {"POST", "/attend", "{\"query\":[" ROW ",[1,2]]}", NULL, 400, "malformed_tensor", "query[1]"},
    {"POST", "/attend", "{\"query\":[" ROW ",[1,2,3,\"4\",5,6,7,8]]}", NULL, 400, "malformed_tensor",
     "query[1][3]"},
    {"POST", "/attend", "{\"query\":[1,2,3]}", NULL, 400, "bad_shape", "query"},
    {"POST", "/attend", "{\"query\":[[1,2,3]]}", NULL, 400, "bad_shape", "query"},
    {"POST", "/attend", "{\"query\":[" ROW ",[1,2,NaN,4,5,6,7,8]]}", NULL, 400, "bad_value", "query[1][2]"},
    {"POST", "/attend", "{\"query\":[" ROW ",[1,2,1e39,4,5,6,7,8]]}", NULL, 400, "bad_value", "query[1][2]"},
    {"POST", "/attend", "{\"query\":[" ROW ",[1,2,-Infinity,4,5,6,7,8]]}", NULL, 400, "bad_value",
     "query[1][2]"},
    {"POST", "/attend", "{" Q ",\"key\":[[1,2]]}", NULL, 400, "bad_shape", "key"},
    {"POST", "/attend", "{" Q ",\"value\":[" ROW "]}", NULL, 400, "bad_shape", "value"},
    {"POST", "/attend", "{" Q ",\"attn_mask\":[[0,0]]}", NULL, 400, "bad_shape", "attn_mask"},
    {"POST", "/attend", "{" Q ",\"attn_mask\":[[0,true],[0,0]]}", NULL, 400, "malformed_tensor",
     "attn_mask[0][1]"},
    {"POST", "/attend", "{" Q ",\"key_padding_mask\":[true]}", NULL, 400, "bad_shape", "key_padding_mask"},
    {"POST", "/attend", "{" Q ",\"is_causal\":1}", NULL, 400, "bad_value", "is_causal"},
    {"POST", "/attend", "{" Q ",\"model\":7}", NULL, 400, "bad_value", "model"},
    {"POST", "/attend", "{" Q ",\"model\":\"nobody\"}", NULL, 404, "not_found", "model"},
    {"POST", "/attend/small", "{" Q ",\"model\":\"other\"}", NULL, 400, "bad_value", "model"},
    {"POST", "/attend/nobody", "{" Q "}", NULL, 404, "not_found", "nobody"},
    {"POST", "/attend?mode=1", "{" Q "}", NULL, 400, "unknown_field", "mode"},
    {"POST", "/nowhere", "{" Q "}", NULL, 404, "not_found", "/nowhere"},
    {"GET", "/models?%ff=1", NULL, NULL, 400, "unknown_field", "\"path\":\"?\""},
    {"GET", "/models%2fsmall", NULL, NULL, 400, "bad_request", "slash"},
    {"GET", "/models%00", NULL, NULL, 400, "bad_request", "NUL"},
    {"PUT", "/attend", "{" Q "}", NULL, 405, "method_not_allowed", "POST"},
    {"GET", "/models/nobody", NULL, NULL, 404, "not_found", "nobody"},
    {"POST", "/attend", "{" Q "}", "Accept: text/html", 406, "not_acceptable", "text/html"},
    {"POST", "/attend", "{" Q "}", "Content-Type: text/csv", 415, "unsupported_media_type", "text/csv"},
    {"POST", "/attend", "{" Q "}", "Content-Encoding: br", 415, "unsupported_media_type", "br"},
    {"POST", "/attend", "{" Q "}", "X-Request-Timeout: soon", 400, "bad_value", "soon"},
    {"POST", "/attend", "{\"query\":[[3e38,3e38,3e38,3e38,3e38,3e38,3e38,3e38]]}", NULL, 400, "bad_value",
     "float32"},
};

Test(requests, each_bad_one_gets_its_code_and_a_sentence) {
    server s = server_start("--model", SMALL, NULL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        answer a = http_method(&s, bad[i].method, bad[i].path, bad[i].body, bad[i].header);
        cr_assert_eq(a.status, bad[i].status, "%zu: %ld %s", i, a.status, a.body);
        json_t *problem = parse(&a);
        cr_assert_str_eq(json_string_value(json_object_get(problem, "code")), bad[i].code, "%zu: %s", i,
                         a.body);
        const char *sentence = json_string_value(json_object_get(problem, "error"));
        cr_assert(sentence != NULL && strlen(sentence) > 20, "%zu: %s", i, a.body);
        cr_assert_not_null(strstr(a.body, bad[i].place), "%zu: %s", i, a.body);
        a = http_request(&s, "/attend", "{" Q "}", NULL);
        cr_assert_eq(a.status, 200, "after %zu: %s", i, a.body);
    }
    cr_assert_eq(server_stop(&s), 0);
}

Test(requests, a_mask_of_zeros_and_ones_is_added_with_a_warning) {
    server s = server_start("--model", SMALL, NULL);
    answer a = http_request(&s, "/attend", "{" Q ",\"attn_mask\":[[0,1],[0,0]]}", NULL);
    json_t *answered = parse(&a), *warnings = json_object_get(answered, "warnings");
    cr_assert_eq(json_array_size(warnings), 1);
    cr_assert_not_null(strstr(json_string_value(json_array_get(warnings, 0)), "attn_mask"));
    cr_assert_eq(server_stop(&s), 0);
}

/* One byte at a time, in small pieces, chunked, and in one piece: the same answer. */
Test(requests, pieces_do_not_matter) {
    server s = server_start("--model", SMALL, NULL);
    char *body = make_request(1, 3, 8, "\"id\":\"pieces\",", 3), head[200];
    answer whole = http_request(&s, "/attend", body, NULL);
    snprintf(head, sizeof head,
             "POST /attend HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
             strlen(body));
    for (size_t size = 1; size < 300; size = size * 3 + 1) {
        const int fd = raw_connect(&s);
        for (size_t i = 0; i < strlen(head); i += size)
            raw_send(fd, head + i, strlen(head) - i < size ? strlen(head) - i : size);
        for (size_t i = 0; i < strlen(body); i += size)
            raw_send(fd, body + i, strlen(body) - i < size ? strlen(body) - i : size);
        char *got = raw_read(fd, NULL);
        cr_assert_not_null(strstr(got, whole.body), "%zu: %s", size, got);
        close(fd);
    }
    answer chunked = http_request(&s, "/attend", body, "Transfer-Encoding: chunked");
    cr_assert_str_eq(chunked.body, whole.body);
    cr_assert_eq(server_stop(&s), 0);
}
