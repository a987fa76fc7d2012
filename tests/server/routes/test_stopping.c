/* No phase of a request goes on for long after its deadline: whatever a body holds, the control is asked at
 * least every 50 milliseconds, and what it says is obeyed. test_stopping_answers.c has the other half. */
#include "server/http/compress.h"
#include "server/wire/json/json.h"
#include "server/wire/oip/oip.h"
#include "server/wire/safetensors/safetensors.h"
#include "tests/server/requests.h"
#include "tests/server/routes/stopping.h"

#include <stdio.h>

/* ---- Bodies ---- */

typedef struct {
    char *bytes;
    size_t length;
} body;

/* `head`, then `unit` again and again, then `tail`. */
static body repeat(const char *head, const char *unit, const char *tail, size_t length) {
    const size_t before = strlen(head), each = strlen(unit), after = strlen(tail);
    body b = {take(length + 1, 1), before};
    memcpy(b.bytes, head, before);
    for (; b.length + each + after <= length; b.length += each)
        memcpy(b.bytes + b.length, unit, each);
    memcpy(b.bytes + b.length, tail, after);
    b.length += after;
    return b;
}

static problem trouble;
static attend_request request;
static oip_options options;

typedef problem_code read_function(const body *b, attn_arena *memory, const attn_control *control);

static problem_code read_json(const body *b, attn_arena *memory, const attn_control *control) {
    return json_read_request(b->bytes, b->length, memory, control, &request, &trouble);
}

static problem_code read_safetensors(const body *b, attn_arena *memory, const attn_control *control) {
    memset(&request, 0, sizeof request);
    return safetensors_read_request(b->bytes, b->length, memory, control, &request, &trouble);
}

static size_t oip_json_length; /* where binary data begin; 0: there are none */

static problem_code read_oip(const body *b, attn_arena *memory, const attn_control *control) {
    const oip_body whole = {b->bytes, b->length, oip_json_length > 0, oip_json_length};
    return oip_read_request(&whole, memory, control, &request, &options, &trouble);
}

/* Reads it, and expects so many looks at least. Returns how many there were. */
static size_t expect_looks(const char *name, read_function *read, const body *b, problem_code expected,
                           size_t least) {
    looks counted = {0}, halfway;
    attn_control control = {looks_ask, &counted};
    attn_arena *memory = attn_arena_new(NULL);
    memset(&trouble, 0, sizeof trouble);
    looks_mark(&counted);
    cr_expect_eq(read(b, memory, &control), expected, "%s: %s", name, trouble.text);
    looks_mark(&counted);
    attn_arena_free(memory);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%s: nobody looked for %.1f ms", name, counted.longest);
    cr_expect_geq(counted.looks, least, "%s: %zu looks, expected %zu", name, counted.looks, least);
    memory = attn_arena_new(NULL);
    halfway = (looks){.stops_at = counted.looks / 2 + 1};
    control.context = &halfway;
    cr_expect_eq(read(b, memory, &control), PROBLEM_DEADLINE_EXCEEDED, "%s: %s", name, trouble.text);
    cr_expect_leq(halfway.looks, halfway.stops_at + 10, "%s: goes on for %zu looks", name,
                  halfway.looks - halfway.stops_at);
    attn_arena_free(memory);
    return counted.looks;
}

/* Lists that are too long for what they are are not read to their ends: `most` bytes. */
static void expect_bound(const char *name, const char *head, const char *unit, const char *tail,
                         const char *said, size_t most) {
    const body b = repeat(head, unit, tail, most > BODY ? most + 1000 : BODY);
    looks counted = {0};
    const attn_control control = {looks_ask, &counted};
    cr_expect_eq(json_read_request(b.bytes, b.length, arena, &control, &request, &trouble), PROBLEM_BAD_VALUE,
                 "%s", name);
    cr_expect_str_eq(trouble.text, said);
    cr_expect_str_eq(trouble.path, name);
    cr_expect(trouble.has_offset && trouble.offset < most, "%s: read up to %zu", name, trouble.offset);
    cr_expect_lt(counted.looks, 3 + (most >> 15), "%s: %zu looks", name, counted.looks);
    attn_arena_release(arena, b.bytes);
}

Test(stopping, lists_are_bounded) {
    expect_bound("view.heads", "{\"view\":{\"heads\":[0", ",0", "]}}",
                 "view.heads has more than 65536 items, expected at most 65536", 140000);
    expect_bound("view.batch", "{\"view\":{\"batch\":[0", " , 7", "]}}",
                 "view.batch has more than 65536 items, expected at most 65536", 270000);
    expect_bound("view.rows", "{\"view\":{\"rows\":[0", ",0", "]}}",
                 "view.rows has more than 16 items, expected at most 16", 60);
    expect_bound("view.size", "{\"view\":{\"size\":[0", ",0", "]}}",
                 "view.size has more than 16 items, expected at most 16", 60);
    expect_bound("query_offset", "{\"query_offset\":1", "0", "}",
                 "query_offset is a number of a million characters or more, expected a shorter one", 100);
    expect_bound("query[0]", "{\"query\":[1", "0", "]}",
                 "query[0] is a number of a million characters or more, expected a shorter one", 100);
    expect_bound("query[1][0]", "{\"query\":[[1.5],[-1.0", "0", "e-3]]}",
                 "query[1][0] is a number of a million characters or more, expected a shorter one", 100);
    expect_bound("query_labels", "{\"query_labels\":[\"\"", ",\"\"", "]}",
                 "query_labels has more than 16777218 items, expected at most 16777218", (3 << 24) + 100);
}

Test(stopping, a_list_that_is_not_too_long_is_read) {
    const body b = repeat("{\"view\":{\"heads\":[0", ",0", "]}}", 131072 + 21);
    cr_assert_eq(json_read_request(b.bytes, b.length, arena, NULL, &request, &trouble), PROBLEM_NONE, "%s",
                 trouble.text);
    cr_assert_eq(request.view.heads.count, 65536);
    const body longer = repeat("{\"query_offset\":1", "0", "}", 1 << 19);
    cr_assert_eq(json_read_request(longer.bytes, longer.length, arena, NULL, &request, &trouble),
                 PROBLEM_BAD_VALUE);
    cr_assert(strstr(trouble.text, "query_offset is 1000") == trouble.text, "%s", trouble.text);
    const body small = repeat("{\"query\":[0.", "0", "1]}", 1 << 19);
    cr_assert_eq(json_read_request(small.bytes, small.length, arena, NULL, &request, &trouble), PROBLEM_NONE);
    cr_assert_eq(request.query.data[0], 0);
}

Test(stopping, json) {
    static const struct {
        const char *name, *head, *unit, *tail;
        problem_code expected;
    } bodies[] = {
        {"white space", "{", " \n\t\r", "}", PROBLEM_NONE},
        {"white space at the end", "{}", " ", "", PROBLEM_NONE},
        {"white space in a row", "{\"query\":[", " ", "1]}", PROBLEM_NONE},
        {"a string", "{\"id\":\"", "a", "\"}", PROBLEM_BAD_VALUE},
        {"a string of escapes", "{\"id\":\"", "\\u00e9", "\"}", PROBLEM_BAD_VALUE},
        {"a key", "{\"", "a", "\":1}", PROBLEM_UNKNOWN_FIELD},
        {"a word", "{\"encoding\":\"", "\xc3\xa9", "\"}", PROBLEM_BAD_VALUE},
        {"a word that is none", "{\"query\":[", "x", "]}", PROBLEM_MALFORMED_JSON},
        {"labels", "{\"key_labels\":[\"\"", ",\"some label\"", "]}", PROBLEM_NONE},
        {"a row", "{\"query\":[0.5", ",0.12345", "]}", PROBLEM_NONE},
        {"single digits", "{\"attn_mask\":[[0,1,1,0]", ",[1,0,0,1]", "]}", PROBLEM_NONE},
        {"rows", "{\"query\":[[0.5,1]", ",[0.12345,-1e-7]", "]}", PROBLEM_NONE},
        {"rows of nothing", "{\"query\":[[]", ",[     ]", "]}", PROBLEM_NONE},
        {"empty arrays", "{\"query\":[[[[]]]", ",[[[  ]]]", "]}", PROBLEM_NONE},
        {"nulls", "{\"attn_mask\":[null", ",null", "]}", PROBLEM_NONE},
        {"booleans", "{\"attn_mask\":[false", ",true", "]}", PROBLEM_NONE},
        {"words", "{\"attn_mask\":[0", ",\"-inf\"", "]}", PROBLEM_NONE},
        {"infinities", "{\"attn_mask\":[0", ",-Infinity", "]}", PROBLEM_NONE},
        {"long numbers", "{\"query\":[0", ",0.10000000000000000000000000000000000000000000000001", "]}",
         PROBLEM_NONE},
    };
    for (size_t n = 0; n < sizeof bodies / sizeof bodies[0]; n++) {
        const body b = repeat(bodies[n].head, bodies[n].unit, bodies[n].tail, BODY);
        const size_t least = bodies[n].expected == PROBLEM_MALFORMED_JSON ? 0 : b.length >> 20;
        expect_looks(bodies[n].name, read_json, &b, bodies[n].expected, least);
        attn_arena_release(arena, b.bytes);
    }
}

typedef struct {
    body b;
    size_t characters; /* of base64, with those that are escaped counted once */
} encoded;

/* An object with as much base64 as there is room for: `unit` again and again, which stands for so many
 * characters of it, and `last` at its end. The shape fits. */
static encoded make_base64(const char *dtype, size_t size, const char *unit, size_t stands_for,
                           const char *last) {
    char head[128], tail[16];
    const size_t most = (BODY - sizeof head - sizeof tail) / strlen(unit) * stands_for;
    const size_t rows = most / 4 * 3 / 1024 / size / 3 * 3, characters = rows * 1024 * size / 3 * 4;
    const size_t units = (characters - strlen(last)) / stands_for;
    snprintf(head, sizeof head, "{\"query\":{\"dtype\":\"%s\",\"shape\":[%zu,1024],\"data\":\"", dtype, rows);
    snprintf(tail, sizeof tail, "%s\"}}", last);
    return (encoded){repeat(head, unit, tail, strlen(head) + units * strlen(unit) + strlen(tail)),
                     characters};
}

/* Reads one that is right, or ends with three characters and a wrong one. How many looks there were. */
static size_t read_base64(const char *name, const char *dtype, size_t size, const char *unit,
                          size_t stands_for, bool right) {
    const encoded e = make_base64(dtype, size, unit, stands_for, right ? "" : "AAA-");
    const size_t decoded = e.characters >> 20, converted = e.characters / 4 * 3 / size >> 18;
    const size_t looks_taken =
        expect_looks(name, read_json, &e.b, right ? PROBLEM_NONE : PROBLEM_MALFORMED_TENSOR,
                     decoded + (right ? converted : 0) - 2);
    attn_arena_release(arena, e.b.bytes);
    return looks_taken;
}

Test(stopping, base64) {
    read_base64("plain", "float32", 4, "AAAA", 4, true);
    read_base64("halves", "float16", 2, "AAAA", 4, true);
    read_base64("a bad character at the end", "float32", 4, "AAAA", 4, false);
    const encoded infinite = make_base64("float32", 4, "\\u0041", 1, "AIB/");
    expect_looks("an infinity", read_json, &infinite.b, PROBLEM_BAD_VALUE, infinite.b.length >> 20);
}

/* Where it is wrong is found by going through all escapes once more, after the string itself. */
Test(stopping, escaped_base64) {
    static const struct {
        const char *name, *unit;
        size_t stands_for;
    } escapes[] = {{"slashes", "AAA\\/", 4}, {"others", "\\u0041", 1}};
    for (size_t n = 0; n < sizeof escapes / sizeof escapes[0]; n++) {
        const encoded e = make_base64("float32", 4, escapes[n].unit, escapes[n].stands_for, "");
        const size_t converted = e.characters / 16 * 3 >> 18, once_more = e.b.length >> 16;
        const size_t right =
            read_base64(escapes[n].name, "float32", 4, escapes[n].unit, escapes[n].stands_for, true);
        const size_t wrong =
            read_base64(escapes[n].name, "float32", 4, escapes[n].unit, escapes[n].stands_for, false);
        cr_expect_geq(wrong, right - converted + once_more + (e.characters >> 18) - 4,
                      "%s: %zu looks, %zu if all is right", escapes[n].name, wrong, right);
        attn_arena_release(arena, e.b.bytes);
    }
}

/* Tensors that are all right, of `rows` rows of 1024 elements. */
static size_t rows_in(size_t bytes, size_t size) {
    return bytes / 1024 / size;
}

Test(stopping, elements) {
    static const struct {
        const char *field, *json, *safetensors, *oip;
        size_t size, passes; /* over the elements */
    } types[] = {{"query", "float64", "F64", "FP64", 8, 1},   {"query", "float32", "F32", "FP32", 4, 1},
                 {"query", "float16", "F16", "FP16", 2, 1},   {"query", "bfloat16", "BF16", "BF16", 2, 1},
                 {"attn_mask", "bool", "BOOL", "BOOL", 1, 1}, {"attn_mask", "float32", "F32", "FP32", 4, 2}};
    for (size_t n = 0; n < sizeof types / sizeof types[0]; n++) {
        char head[256];
        size_t rows = rows_in(BODY * 3 / 4 - 4096, types[n].size) / 3 * 3;
        snprintf(head, sizeof head, "{\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu,1024],\"data\":\"",
                 types[n].field, types[n].json, rows);
        body b = repeat(head, "AAAA", "\"}}", strlen(head) + 3 + rows * 1024 * types[n].size / 3 * 4);
        expect_looks(types[n].json, read_json, &b, PROBLEM_NONE, types[n].passes * (rows >> 8) - 2);
        attn_arena_release(arena, b.bytes);

        rows = rows_in(BODY - 4096, types[n].size);
        const size_t bytes = rows * 1024 * types[n].size, least = types[n].passes * (rows >> 8) - 2;
        const int length = snprintf(
            head, sizeof head, "{\"%s\":{\"dtype\":\"%s\",\"shape\":[%zu,1024],\"data_offsets\":[0,%zu]}}",
            types[n].field, types[n].safetensors, rows, bytes);
        b = (body){take(8 + (size_t)length + bytes, 1), 8 + (size_t)length + bytes};
        b.bytes[0] = (char)length;
        memcpy(b.bytes + 8, head, (size_t)length);
        expect_looks(types[n].safetensors, read_safetensors, &b, PROBLEM_NONE, least);
        attn_arena_release(arena, b.bytes);

        oip_json_length =
            (size_t)snprintf(head, sizeof head,
                             "{\"inputs\":[{\"name\":\"%s\",\"shape\":[%zu,1024],\"datatype\":\"%s\","
                             "\"parameters\":{\"binary_data_size\":%zu}}]}",
                             types[n].field, rows, types[n].oip, bytes);
        b = (body){take(oip_json_length + bytes, 1), oip_json_length + bytes};
        memcpy(b.bytes, head, oip_json_length);
        expect_looks(types[n].oip, read_oip, &b, PROBLEM_NONE, least);
        attn_arena_release(arena, b.bytes);
    }
}

Test(stopping, oip) {
    static const struct {
        const char *name, *head, *unit, *tail;
        problem_code expected;
    } bodies[] = {
        {"data before their name", "{\"inputs\":[{\"data\":[0", ",0", "]}]}", PROBLEM_MISSING_FIELD},
        {"strings before their name", "{\"inputs\":[{\"data\":[\"", "abcd", "\"]}]}", PROBLEM_MISSING_FIELD},
        {"a text", "{\"parameters\":{\"key_labels\":\"[0", ",0", "]\"}}", PROBLEM_BAD_VALUE},
        {"white space in a text", "{\"parameters\":{\"view\":\"{", " ", "}\"}}", PROBLEM_NONE},
        {"labels", "{\"parameters\":{\"key_labels\":\"[\\\"\\\"", ",\\\"label\\\"", "]\"}}", PROBLEM_NONE},
        {"an id of a sequence", "{\"parameters\":{\"sequence_id\":\"", "a", "\"}}", PROBLEM_BAD_VALUE},
        {"a version", "{\"model_version\":\"", "1", "\"}", PROBLEM_NONE},
        {"a name", "{\"inputs\":[{\"name\":\"", "1", "\"}]}", PROBLEM_UNKNOWN_FIELD},
        {"an output", "{\"outputs\":[{\"name\":\"", "1", "\"}]}", PROBLEM_UNKNOWN_FIELD},
        {"white space", "{", " ", "}", PROBLEM_NONE},
    };
    for (size_t n = 0; n < sizeof bodies / sizeof bodies[0]; n++) {
        const body b = repeat(bodies[n].head, bodies[n].unit, bodies[n].tail, BODY);
        expect_looks(bodies[n].name, read_oip, &b, bodies[n].expected, b.length >> 20);
        attn_arena_release(arena, b.bytes);
    }
    const body shape = repeat("{\"inputs\":[{\"shape\":[0", ",0", "]}]}", BODY);
    cr_expect_eq(read_oip(&shape, arena, NULL), PROBLEM_BAD_SHAPE);
    cr_expect_str_eq(trouble.text, "inputs[0].shape has more than 16 items, expected at most 16");
}

/* ---- Compressed bodies ---- */

/* What does not inflate to anything takes its time all the same. */
Test(stopping, inflate_and_deflate) {
    body empty =
        repeat("\x78\x9c", "\x02\x0c\x30\xc0", "", BODY); /* without end: four empty blocks in five bytes */
    for (size_t n = 2; n + 5 <= empty.length; n += 5)
        memcpy(empty.bytes + n, "\x02\x08\x20\x80\x00", 5);
    body zeros = {take(BODY, 1), BODY};
    looks counted = {0};
    const attn_control control = {looks_ask, &counted};
    wire_buffer b = {.arena = arena, .bytes = empty.bytes, .length = empty.length, .capacity = empty.length};
    looks_mark(&counted);
    cr_expect_not(compress_inflate(&b, ENCODING_DEFLATE, BODY, &control, &trouble));
    looks_mark(&counted);
    cr_expect_eq(trouble.code, PROBLEM_BAD_REQUEST, "%s", trouble.text);
    cr_expect_geq(counted.looks, BODY >> 17);
    b = (wire_buffer){.arena = arena, .bytes = zeros.bytes, .length = zeros.length, .capacity = zeros.length};
    counted.looks = 0;
    looks_mark(&counted);
    cr_expect(compress_deflate(&b, ENCODING_GZIP, &control));
    cr_expect_geq(counted.looks, BODY >> 19);
    counted.looks = 0;
    cr_expect(compress_inflate(&b, ENCODING_GZIP, BODY, &control, &trouble));
    looks_mark(&counted);
    cr_expect_geq(counted.looks, BODY >> 19);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "nobody looked for %.1f ms", counted.longest);
}
