/* The reader of JSON requests: a corpus with code, path and offset; values against strtof and jansson; texts
 * cut at every byte, mutated at random, and read while memory runs out. */
#include "server/attend/fields.h"
#include "server/wire/json/json.h"
#include "tests/random.h"
#include "tests/server/requests.h"
#include "tests/server/wire/json/corpus.h"
#include "tests/server/wire/reading.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

TestSuite(json_read, .init = set_up, .fini = tear_down);

static problem_code read_bytes(const char *text, size_t length) {
    return read_exactly(json_read_request, text, length);
}

static problem_code read_text(const char *text) {
    return read_bytes(text, strlen(text));
}

Test(json_read, corpus) {
    cr_assert_geq(CORPUS_COUNT, 150);
    for (size_t i = 0; i < CORPUS_COUNT; i++) {
        char text[512];
        const corpus_case *c = &corpus[i];
        const size_t before = take_out_dollar(c->text, text);
        const problem_code code = read_text(text);
        cr_expect_eq(code, c->code, "%s: %s: %s", c->text, problem_name(code), trouble.text);
        cr_assert_eq(c->code == PROBLEM_NONE, strchr(c->text, '$') == NULL, "%s", c->text);
        if (code == PROBLEM_NONE)
            continue;
        check_refusal(text, strlen(text));
        cr_assert(trouble.has_offset, "%s", trouble.text);
        cr_expect_str_eq(trouble.path, c->path, "%s: path %s", c->text, trouble.path);
        cr_expect_eq(trouble.offset, before, "%s: offset %zu, expected %zu", c->text, trouble.offset, before);
    }
}

Test(json_read, sentences) {
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "the body is empty, expected a JSON object"},
        {"\xef\xbb\xbf{}", "the body begins with a byte order mark, which JSON may not have"},
        {"{\"query\":[[[1,2],[3]]]}", "query[0][1] has 1 number, expected 2 as in query[0][0]"},
        {"{\"query\":[[[1,2],[3,4,5]]]}",
         "query[0][1] has more than 2 numbers, expected 2 as in query[0][0]"},
        {"{\"query\":[[[1],[2]],[[3]]]}", "query[1] has 1 array, expected 2 as in query[0]"},
        {"{\"attn_mask\":[[true,true],[true]]}", "attn_mask[1] has 1 boolean, expected 2 as in attn_mask[0]"},
        {"{\"query\":[[1],2]}", "query[1] is a number, expected an array as query[0] is"},
        {"{\"query\":[1,[2]]}", "query[1] is an array, expected a number"},
        {"{\"query\":\"x\"}", "query is a string, expected a nested array of numbers"},
        {"{\"query\":[NaN]}", "query[0] must be finite, found NaN"},
        {"{\"attn_mask\":[\"inf\"]}", "attn_mask[0] must be finite, -Infinity or \"-inf\", found \"inf\""},
        {"{\"attn_mask\":[0,true]}",
         "attn_mask[1] is a boolean where attn_mask[0] is a number, expected all numbers or all booleans"},
        {"{\"query\":[1e39]}",
         "query[0] is beyond float32, expected a number of at most 3.4028235e38 in size"},
        {"{\"query\":[[[[[1]]]]]}", "query has 5 dimensions, expected at most 4"},
        {"{\"id\":7}", "id is a number, expected a string"},
        {"{\"id\":\"\\u0000\"}", "id holds the character \\u0000, expected a string without it"},
        {"{\"model\":"
         "\"12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345+"
         "\"}",
         "model is 96 bytes long, expected at most 95"},
        {"{\"id\":null,\"id\":null}", "the key \"id\" is there twice"},
        {"{\"a\":1}",
         "there is no field \"a\"; the fields are model, id, query, key, value, attn_mask, "
         "key_padding_mask, is_causal, query_offset, key_offset, need_weights, average_attn_weights, return, "
         "view, head_output, omit_extra, training, seed, keep, query_labels, key_labels, encoding"},
        {"{\"view\":{\"a\":1}}", "there is no part of view \"a\"; the parts of view are batch, heads, rows, "
                                 "cols, size, pool, top_k"},
        {"{\"seed\":\"x\"}", "seed is a string, expected a whole number from 0 to 9007199254740991"},
        {"{\"query_offset\":-1}", "query_offset is -1, expected a whole number from 0 to 2147483647"},
        {"{\"key_offset\":1.5e0}", "key_offset is 1.5e0, expected a whole number from 0 to 2147483647"},
        {"{\"return\":\"q\"}", "return is a string, expected a list of names"},
        {"{\"return\":[\"lse\",\"x\"]}",
         "return[1] is \"x\", expected q, k, v, scores, lse, entropy, head_output or stats"},
        {"{\"return\":[7]}", "return[0] is a number, expected q, k, v, scores, lse, entropy, head_output or "
                             "stats"},
        {"{\"return\":[\"q\",\"q\"]}",
         "return[1] is \"q\", which the list has already; expected each name once"},
        {"{\"view\":[]}", "view is an array, expected an object"},
        {"{\"view\":{\"pool\":\"min\"}}", "view.pool is \"min\", expected max, mean or sum"},
        {"{\"view\":{\"rows\":[1]}}", "view.rows has 1 number, expected two"},
        {"{\"view\":{\"rows\":3}}", "view.rows is a number, expected a list of two whole numbers"},
        {"{\"view\":{\"heads\":3}}", "view.heads is a number, expected a list of whole numbers"},
        {"{\"view\":{\"heads\":[true]}}",
         "view.heads[0] is true, expected a whole number from 0 to 9007199254740991"},
        {"{\"query\":[1", "the body ends where a comma or ] was expected"},
        {"{\"query\":[nul]}", "found 'nul' where a number was expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_neq(read_text(cases[i].text), PROBLEM_NONE);
        cr_expect_str_eq(trouble.text, cases[i].sentence, "%s: %s", cases[i].text, trouble.text);
    }
}

Test(json_read, an_empty_body_needs_no_pointer) {
    cr_assert_eq(json_read_request(NULL, 0, arena, NULL, &request, &trouble), PROBLEM_MALFORMED_JSON);
    cr_expect_eq(trouble.offset, 0);
}

/* ---- What is read ---- */

/* `shape` and the `count` elements that follow. */
static void check_tensor(const request_tensor *t, size_t rank, const size_t *shape, const float *data) {
    size_t count = 1;
    cr_assert(t->present);
    cr_assert_eq(t->rank, rank);
    for (size_t i = 0; i < rank; i++) {
        cr_assert_eq(t->shape[i], shape[i]);
        count *= shape[i];
    }
    cr_assert(t->data != NULL);
    for (size_t i = 0; i < count; i++)
        cr_assert(memcmp(&t->data[i], &data[i], sizeof(float)) == 0, "[%zu] is %a", i, (double)t->data[i]);
}

static void check_whole(const request_whole *whole, uint64_t value) {
    cr_assert(whole->present);
    cr_assert_eq(whole->value, value, "%llu", (unsigned long long)whole->value);
}

static void check_wholes(const request_wholes *list, size_t count, const size_t *items) {
    cr_assert(list->present);
    cr_assert_eq(list->count, count);
    cr_assert(memcmp(list->items, items, count * sizeof *items) == 0);
}

Test(json_read, every_field) {
    const char *text =
        "{\"id\":\"\\u00e9\\ud83d\\ude00\\n\", \"model\":\"demo\", \"query\":[[[1,-0.0,3e-5],[4,5,6]]],\n"
        "\"key\":[[1],[2]], \"value\":[[[[7]]]], \"attn_mask\":[[0,\"-inf\",null],[null,-Infinity,1]],"
        "\"key_padding_mask\":[true,false], \"is_causal\":true, \"need_weights\":true,"
        "\"average_attn_weights\":true, \"query_offset\":7, \"key_offset\":2147483647, \"return\":[\"stats\","
        "\"q\",\"lse\"], \"head_output\":[[8]], \"omit_extra\":true, \"training\":true, "
        "\"seed\":9007199254740991, \"view\":{\"batch\":[1],\"heads\":[2,0,1],\"rows\":[0,3],"
        "\"cols\":[4,5],\"size\":[6,7],\"pool\":\"mean\",\"top_k\":8},"
        "\"encoding\":\"base64\", \"keep\":true, \"query_labels\":[\"a\",\"b\"], \"key_labels\":[]}";
    cr_assert_eq(read_text(text), PROBLEM_NONE, "%s", trouble.text);
    cr_expect_str_eq(request.id, "\xc3\xa9\xf0\x9f\x98\x80\n");
    cr_expect_str_eq(request.model, "demo");
    check_tensor(&request.query, 3, (size_t[]){1, 2, 3}, (float[]){1, -0.0F, 3e-5F, 4, 5, 6});
    check_tensor(&request.key, 2, (size_t[]){2, 1}, (float[]){1, 2});
    check_tensor(&request.value, 4, (size_t[]){1, 1, 1, 1}, (float[]){7});
    check_tensor(&request.attn_mask, 2, (size_t[]){2, 3},
                 (float[]){0, -INFINITY, -INFINITY, -INFINITY, -INFINITY, 1});
    check_tensor(&request.key_padding_mask, 1, (size_t[]){2}, (float[]){-INFINITY, 0});
    cr_expect(!request.attn_mask.boolean && request.key_padding_mask.boolean && !request.query.boolean);
    cr_expect(request.need_weights && request.average_attn_weights);
    cr_expect(request.omit_extra && request.training && request.is_causal == SWITCH_ON && request.keep);
    cr_expect(request.query_labels.count == 2 && memcmp(request.query_labels.text, "a\0b", 4) == 0);
    cr_expect_eq(request.key_labels.count, 0);
    check_whole(&request.query_offset, 7);
    check_whole(&request.key_offset, 2147483647);
    check_whole(&request.seed, 9007199254740991);
    cr_expect_eq(request.returned, 1U << RETURN_STATS | 1U << RETURN_Q | 1U << RETURN_LSE);
    check_tensor(&request.head_output, 2, (size_t[]){1, 1}, (float[]){8});
    cr_expect_eq(request.encoding, 1 + TENSORS_AS_BASE64);
    cr_assert(request.view.present);
    check_wholes(&request.view.batch, 1, (size_t[]){1});
    check_wholes(&request.view.heads, 3, (size_t[]){2, 0, 1});
    check_wholes(&request.view.rows, 2, (size_t[]){0, 3});
    check_wholes(&request.view.cols, 2, (size_t[]){4, 5});
    check_wholes(&request.view.size, 2, (size_t[]){6, 7});
    cr_expect_eq(request.view.pool, 1 + ATTN_POOL_MEAN);
    check_whole(&request.view.top_k, 8);
    for (size_t i = 0; i < request_fields.count; i++)
        cr_expect(field_asked(&request_fields.fields[i], &request), "%s", request_fields.fields[i].name);
    for (size_t i = 0; i < view_fields.count; i++)
        cr_expect(field_asked(&view_fields.fields[i], &request.view), "%s", view_fields.fields[i].name);
}

/* Appends "name":null for each field of the table. */
static void add_nulls(char *text, const field_table *table) {
    for (size_t i = 0; i < table->count; i++)
        sprintf(text + strlen(text), "%s\"%s\":null", i == 0 ? "" : ",", table->fields[i].name);
}

static bool is_zero(const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (((const char *)bytes)[i] != 0)
            return false;
    return true;
}

Test(json_read, nothing_is_absent_or_null) {
    char nulls[2048] = "{", view[1024] = "{\"view\":{";
    add_nulls(nulls, &request_fields);
    strcat(nulls, "}");
    add_nulls(view, &view_fields);
    strcat(view, "}}");
    const char *const texts[] = {"{}", nulls, view};
    for (size_t i = 0; i < 3; i++) {
        memset(&request, 0x55, sizeof request);
        cr_assert_eq(read_text(texts[i]), PROBLEM_NONE, "%s", trouble.text);
        cr_assert_eq(request.view.present, i == 2);
        request.view.present = false;
        cr_expect(is_zero(&request, sizeof request), "%s", texts[i]);
    }
    cr_assert_eq(read_text("{\"is_causal\":false,\"training\":false,\"return\":[],\"seed\":0}"),
                 PROBLEM_NONE);
    cr_expect(request.is_causal == SWITCH_OFF && !request.training && request.returned == 0);
    cr_expect(request.seed.present && request.seed.value == 0);
}

Test(json_read, empty_arrays_are_open) {
    static const struct {
        const char *text;
        size_t rank, shape[REQUEST_MAX_RANK];
        bool open;
    } cases[] = {
        {"{\"query\":[]}", 1, {0}, true},
        {"{\"query\":[[],[]]}", 2, {2, 0}, true},
        {"{\"query\":[ [ [ ] ] , [ [ ] ] ]}", 3, {2, 1, 0}, true},
        {"{\"query\":[[[[],[],[]]]]}", 4, {1, 1, 3, 0}, true},
        {"{\"query\":[[1]]}", 2, {1, 1}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(read_text(cases[i].text), PROBLEM_NONE, "%s", trouble.text);
        check_tensor(&request.query, cases[i].rank, cases[i].shape, (float[]){1});
        cr_expect_eq(request.query.open, cases[i].open, "%s", cases[i].text);
    }
}

Test(json_read, masks_of_zeros_and_ones_are_noticed) {
    static const struct {
        const char *mask;
        bool is_zero_one;
    } cases[] = {
        {"[0,1,0]", true},  {"[1]", true},     {"[[0,-0.0],[1.0,1e0]]", true}, {"[0,0]", false},
        {"[]", false},      {"[1,2]", false},  {"[0,1,-Infinity]", false},     {"[true,false]", false},
        {"[1,0.5]", false}, {"[-1,0]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"attn_mask\":%s}", cases[i].mask);
        cr_assert_eq(read_text(text), PROBLEM_NONE, "%s", trouble.text);
        cr_expect_eq(request.attn_mask.is_zero_one, cases[i].is_zero_one, "%s", cases[i].mask);
    }
}

/* Every character of the first plane, and every 17th of the others, as an escape and as UTF-8, is what
 * jansson makes of it. */
Test(json_read, characters_of_unicode) {
    for (unsigned c = 1; c <= 0x10ffff; c += c < 0x10000 ? 1 : 17) {
        char text[64], utf8[64];
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        if (c < 0x10000)
            sprintf(text, "{\"id\":\"<\\u%04x>\"}", c);
        else
            sprintf(text, "{\"id\":\"<\\u%04x\\u%04X>\"}", 0xd800 + ((c - 0x10000) >> 10),
                    0xdc00 + (c & 0x3ff));
        cr_assert_eq(read_text(text), PROBLEM_NONE, "%s: %s", text, trouble.text);
        json_t *tree = json_loads(text, 0, NULL);
        const char *id = json_string_value(json_object_get(tree, "id"));
        cr_assert(id != NULL);
        cr_assert_str_eq(request.id, id, "%s", text);
        if (c >= 0x20 && c != '"' && c != '\\') {
            snprintf(utf8, sizeof utf8, "{\"id\":\"%s\"}", id);
            cr_assert_eq(read_text(utf8), PROBLEM_NONE, "%s: %s", text, trouble.text);
            cr_assert_str_eq(request.id, id, "%s", text);
        }
        json_decref(tree);
        attn_arena_free(arena); /* else a million strings pile up */
        set_up();
    }
}

/* ---- Random tensors ---- */

typedef struct {
    char *bytes;
    size_t length, room;
} text_builder;

static void __attribute__((format(printf, 2, 3))) add(text_builder *b, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    b->length += (size_t)vsnprintf(b->bytes + b->length, b->room - b->length, format, arguments);
    va_end(arguments);
    cr_assert_lt(b->length, b->room);
}

static void add_space(text_builder *b, uint64_t *state) {
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t\r\n  "};
    add(b, "%s", spaces[random_below(state, 7)]);
}

/* Adds a random nested array, and appends what it must be read as to *expected. */
static void add_array(text_builder *b, uint64_t *state, const size_t *shape, size_t rank, float **expected) {
    if (rank == 0) {
        char number[64];
        uint32_t bits =
            (uint32_t)(random_bits(state) % 0x7f7fffff) | (uint32_t)(random_bits(state) & 0x80000000);
        float value;
        memcpy(&value, &bits, sizeof value);
        snprintf(number, sizeof number, "%.*g", (int)random_below(state, 20) + 7, (double)value);
        add(b, "%s", number);
        *(*expected)++ = strtof(number, NULL);
        return;
    }
    add(b, "[");
    add_space(b, state);
    for (size_t i = 0; i < shape[0]; i++) {
        if (i > 0)
            add(b, ",");
        add_space(b, state);
        add_array(b, state, shape + 1, rank - 1, expected);
        add_space(b, state);
    }
    add(b, "]");
}

static const size_t rooms = 1 << 22;

Test(json_read, random_tensors_are_read_as_strtof_reads_their_numbers) {
    uint64_t state = test_seed("random_tensors");
    text_builder b = {malloc(rooms), 0, rooms};
    float *data = malloc(rooms * sizeof(float));
    cr_assert(b.bytes != NULL && data != NULL);
    for (int round = 0; round < 300; round++) {
        size_t shape[REQUEST_MAX_RANK];
        const size_t rank = 1 + random_below(&state, REQUEST_MAX_RANK);
        for (size_t i = 0; i < rank; i++)
            shape[i] = 1 + random_below(&state, rank == 1 ? 5000 : rank == 2 ? 70 : 9);
        float *end = data;
        b.length = 0;
        add(&b, "{\"query\":");
        add_array(&b, &state, shape, rank, &end);
        add(&b, "}");
        cr_assert_eq(read_bytes(b.bytes, b.length), PROBLEM_NONE, "%s", trouble.text);
        check_tensor(&request.query, rank, shape, data);
    }
    free(b.bytes);
    free(data);
}

/* ---- Damaged texts ---- */

static const char good[] =
    "{\"id\":\"a\\u00e9\\ud83d\\ude00\xe2\x82\xac\",\"model\":\"demo\",\"query\":[[[1.5,-2e-3],[3,4]]], "
    "\"key\":[[[1,2]]],\"value\":null,\"attn_mask\":[[true],[false]],\"key_padding_mask\":[[\"-inf\", "
    "-Infinity,0]],\"is_causal\":false,\"need_weights\":true,\"seed\":12.0,\"return\":[\"q\",\"lse\"], "
    "\"view\":{\"heads\":[1,0],\"rows\":[0,1],\"pool\":\"max\",\"top_k\":3}}";

Test(json_read, every_truncation_is_refused) {
    cr_assert_eq(read_text(good), PROBLEM_NONE, "%s", trouble.text);
    for (size_t length = 0; length < strlen(good); length++) {
        cr_assert_eq(read_bytes(good, length), PROBLEM_MALFORMED_JSON, "%.*s", (int)length, good);
        check_refusal(good, length);
        cr_assert(trouble.has_offset, "%s", trouble.text);
    }
}

static bool is_accepted_by_jansson(const char *text, size_t length) {
    json_t *tree = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    json_decref(tree);
    return tree != NULL;
}

/* What we accept must be JSON to jansson too, but for -Infinity and numbers beyond a double's range. */
Test(json_read, random_mutations_never_crash_and_accepted_ones_are_json) {
    uint64_t state = test_seed("random_mutations");
    static const char likely[] = "{}[],:\"\\-+.eE0123456789truefalsnINy \n\t\xc3\xa9\x80\x00\x1f";
    size_t accepted = 0;
    for (int round = 0; round < 60000; round++) {
        char text[sizeof good + 16];
        size_t length = strlen(good);
        memcpy(text, good, length);
        for (size_t edits = 1 + random_below(&state, 3); edits > 0; edits--) {
            const size_t at = random_below(&state, length);
            const char byte = random_below(&state, 4) == 0 ? (char)random_bits(&state)
                                                           : likely[random_below(&state, sizeof likely - 1)];
            switch (random_below(&state, 3)) {
            case 0:
                text[at] = byte;
                break;
            case 1:
                memmove(text + at, text + at + 1, --length - at);
                break;
            default:
                memmove(text + at + 1, text + at, length++ - at);
                text[at] = byte;
                break;
            }
        }
        if (read_bytes(text, length) != PROBLEM_NONE) {
            check_refusal(text, length);
            cr_assert(trouble.has_offset, "%s", trouble.text);
            continue;
        }
        accepted++;
        for (size_t i = 0; i + 9 <= length; i++)
            if (memcmp(text + i, "-Infinity", 9) == 0)
                memcpy(text + i, "-1       ", 9);
        cr_assert(is_accepted_by_jansson(text, length), "%.*s", (int)length, text);
    }
    cr_assert_gt(accepted, 100, "the mutations are too wild to say anything");
}

/* ---- Limits ---- */

Test(json_read, a_dimension_may_not_pass_its_limit) {
    const size_t count = REQUEST_MAX_DIMENSION + 1;
    char *text = malloc(2 * count + 64);
    cr_assert(text != NULL);
    char *at = text + sprintf(text, "{\"query\":[");
    for (size_t i = 0; i < count; i++, at += 2)
        memcpy(at, "1,", 2);
    strcpy(at - 1, "]}");
    cr_assert_eq(read_bytes(text, strlen(text)), PROBLEM_BAD_SHAPE);
    cr_expect_str_eq(trouble.path, "query");
    cr_expect_str_eq(trouble.text, "query has 16777217 numbers, expected at most 16777216 in one dimension");
    memmove(at - 3, "]}", 3);
    cr_assert_eq(read_bytes(text, strlen(text)), PROBLEM_NONE, "%s", trouble.text);
    cr_expect_eq(request.query.shape[0], REQUEST_MAX_DIMENSION);
    free(text);
}

Test(json_read, memory_that_runs_out_is_the_budgets_problem) {
    static const char text[] = "{\"model\":\"demo\",\"query\":[[1,2],[3,4]],\"view\":{\"heads\":[0,1]}}";
    expect_to_run_out(json_read_request, text, strlen(text));
}
