/* No phase of a request goes on for long after its deadline: whatever a body holds, and whatever an answer
 * is written from, the control is asked at least every 50 milliseconds, and what it says is obeyed. */
#include "server/attend/kept.h"
#include "server/attend/outputs.h"
#include "server/http/compress.h"
#include "server/picture/map.h"
#include "server/picture/png.h"
#include "server/wire/json/json.h"
#include "server/wire/json/kept.h"
#include "server/wire/oip/oip.h"
#include "server/wire/safetensors/safetensors.h"
#include "tests/looks.h"
#include "tests/server/requests.h"

#include <math.h>
#include <stdio.h>

#define BODY ((size_t)16 << 20) /* bytes */

static attn_arena *arena;

static void set_up(void) {
    arena = attn_arena_new(NULL);
    cr_assert_not_null(arena);
}

static void tear_down(void) {
    attn_arena_free(arena);
}

TestSuite(stopping, .init = set_up, .fini = tear_down, .timeout = 600);

static void *take(size_t count, size_t size) {
    void *block = attn_arena_array(arena, count, size);
    cr_assert_not_null(block);
    memset(block, 0, count * size);
    return block;
}

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

/* ---- Compressed bodies, and answers ---- */

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

/* A call whose answer is one array of these dimensions. */
typedef struct {
    attn_model model;
    attend_call call;
} made;

static made make_call(const size_t *shape, size_t rank, bool is_int32) {
    made m = {.model.name = "m"};
    size_t count = 1;
    for (size_t n = 0; n < rank; n++)
        count *= shape[n];
    m.call.result_count = 1;
    m.call.results[0] = (attend_result){.name = "output", .is_int32 = is_int32, .rank = rank};
    memcpy(m.call.results[0].shape, shape, rank * sizeof *shape);
    m.call.results[0].data = take(count, sizeof(float));
    return m;
}

typedef bool write_function(const attend_call *call, wire_buffer *out);

static bool write_json(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    return json_write_answer(&asked, call, out);
}

static bool write_base64(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.encoding = 1 + TENSORS_AS_BASE64};
    return json_write_answer(&asked, call, out);
}

static bool write_safetensors(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    return safetensors_write_answer(&asked, call, out);
}

static bool write_oip(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    const oip_options none = {.timeout = {false, 0}};
    size_t json;
    return oip_write_answer(&asked, call, &none, out, &json);
}

static bool write_oip_binary(const attend_call *call, wire_buffer *out) {
    const attend_request asked = {.id = NULL};
    const oip_options binary = {.binary_output = true};
    size_t json;
    return oip_write_answer(&asked, call, &binary, out, &json);
}

Test(stopping, answers) {
    static const struct {
        const char *name;
        write_function *write;
    } formats[] = {{"JSON", write_json},
                   {"base64", write_base64},
                   {"safetensors", write_safetensors},
                   {"OIP", write_oip},
                   {"OIP, binary", write_oip_binary}};
    const size_t many = BODY / 4;
    const size_t shapes[][3] = {{1, 1, many}, {1, many, 1}, {many, 1, 0}, {many / 16, 16, 1}};
    for (size_t n = 0; n < sizeof formats / sizeof formats[0]; n++)
        for (size_t i = 0; i < 2 * sizeof shapes / sizeof shapes[0]; i++) {
            made m = make_call(shapes[i / 2], 3, i % 2 == 1);
            looks counted = {0}, halfway = {0};
            attn_control control = {looks_ask, &counted};
            wire_buffer out = {.arena = arena, .control = &control};
            m.call.model = &m.model;
            looks_mark(&counted);
            cr_expect(formats[n].write(&m.call, &out));
            looks_mark(&counted);
            cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%s, %zu: nobody looked for %.1f ms",
                         formats[n].name, i, counted.longest);
            cr_expect_geq(counted.looks, out.length >> 21, "%s, %zu: %zu looks", formats[n].name, i,
                          counted.looks);
            attn_arena_release(arena, out.bytes);
            halfway.stops_at = counted.looks / 2;
            control.context = &halfway;
            out = (wire_buffer){.arena = arena, .control = &control};
            cr_expect(counted.looks < 2 || !formats[n].write(&m.call, &out), "%s, %zu", formats[n].name, i);
            cr_expect(counted.looks < 2 || halfway.looks == halfway.stops_at, "%s, %zu", formats[n].name, i);
            attn_arena_release(arena, out.bytes);
            attn_arena_release(arena, (void *)(uintptr_t)m.call.results[0].data);
        }
}

/* ---- Kept results, and pictures ---- */

typedef struct {
    attn_model model;
    attend_request request;
    attend_call call;
    picture_options options;
} scene;

/* Weights of H heads with L queries and S keys, and a mask of booleans; zeros, all of them. */
static void begin(scene *s, size_t H, size_t L, size_t S, bool picture) {
    problem p;
    *s = (scene){.model.name = "m"};
    s->model.layer.config =
        (attn_config){.embed_dim = H, .num_heads = H, .num_kv_heads = H, .head_dim = 1, .kdim = H, .vdim = H};
    s->request.query = (request_tensor){.present = true, .rank = 2, .shape = {L, H}};
    s->request.query.data = take(L * H, sizeof(float));
    s->request.key = (request_tensor){.present = true, .rank = 2, .shape = {S, H}};
    s->request.key.data = take(S * H, sizeof(float));
    s->request.attn_mask = (request_tensor){.present = true, .boolean = true, .rank = 2, .shape = {L, S}};
    s->request.attn_mask.data = take(L * S, sizeof(float));
    s->request.key_padding_mask = (request_tensor){.present = true, .rank = 1, .shape = {S}};
    s->request.key_padding_mask.data = take(S, sizeof(float));
    s->request.need_weights = true;
    if (picture)
        cr_assert_eq(picture_plan(&s->options, &s->model, &s->request, arena, &p), PROBLEM_NONE, "%s",
                     p.text);
    cr_assert_eq(request_resolve(&s->request, &s->model, SIZE_MAX, arena, &s->call, &p), PROBLEM_NONE, "%s",
                 p.text);
    size_t bytes;
    const attend_result *weights = &s->call.results[1];
    cr_assert(shape_bytes(weights->shape, weights->rank, &bytes));
    memset(s->call.output.weights.values, 0, bytes);
}

Test(stopping, kept_results) {
    scene s;
    looks counted = {0}, halfway = {.stops_at = 20};
    attn_control control = {looks_ask, &counted};
    begin(&s, 2, 1024, BODY / 2048, false);
    looks_mark(&counted);
    kept_result *kept = kept_copy(&s.request, &s.call, &control);
    looks_mark(&counted);
    cr_assert_not_null(kept);
    cr_expect_gt(counted.looks, BODY >> 21);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "copying: nobody looked for %.1f ms", counted.longest);
    control.context = &halfway;
    cr_expect_null(kept_copy(&s.request, &s.call, &control));
    cr_expect_eq(halfway.looks, halfway.stops_at);

    const results_taken taken = {.kept = kept};
    counted = (looks){0};
    control.context = &counted;
    wire_buffer out = {.arena = arena, .control = &control};
    looks_mark(&counted);
    cr_expect(json_write_kept(&taken, &out));
    looks_mark(&counted);
    cr_expect_gt(counted.looks, out.length >> 21);
    cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "writing: nobody looked for %.1f ms", counted.longest);

    attend_call shown;
    static const picture_heads heads[] = {PICTURE_HEADS_ALL, PICTURE_HEADS_MEAN, PICTURE_HEADS_MAX_OF};
    for (size_t n = 0; n < sizeof heads / sizeof heads[0]; n++) {
        s.options.heads = heads[n];
        counted = (looks){0};
        looks_mark(&counted);
        cr_expect_eq(
            picture_map_show(&s.options, &kept->request, &kept->call, &control, arena, &shown, &trouble),
            PROBLEM_NONE, "%s", trouble.text);
        looks_mark(&counted);
        cr_expect_gt(counted.looks, BODY >> 23);
        cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%zu: nobody looked for %.1f ms", n, counted.longest);
        halfway = (looks){.stops_at = counted.looks / 2};
        const attn_control stop = {looks_ask, &halfway};
        cr_expect_eq(
            picture_map_show(&s.options, &kept->request, &kept->call, &stop, arena, &shown, &trouble),
            PROBLEM_DEADLINE_EXCEEDED);
    }
    free(kept);
}

/* A row of a picture may be of very many queries, which have very many keys. */
Test(stopping, pictures) {
    static const size_t sizes[][3] = {{1, 1 << 20, 8}, {1, 8, 1 << 20}, {64, 1, 4096}, {2, 2048, 2048}};
    for (size_t n = 0; n < sizeof sizes / sizeof sizes[0]; n++) {
        scene s;
        looks counted = {0}, halfway = {0};
        attn_control control = {looks_ask, &counted};
        begin(&s, sizes[n][0], sizes[n][1], sizes[n][2], true);
        wire_buffer out = {.arena = arena, .control = &control};
        looks_mark(&counted);
        cr_expect(png_write_picture(&s.options, &s.call, &out), "%zu", n);
        looks_mark(&counted);
        cr_expect_lt(counted.longest, LONGEST_UNLOOKED, "%zu: nobody looked for %.1f ms", n, counted.longest);
        halfway.stops_at = counted.looks / 2;
        control.context = &halfway;
        cr_expect_not(png_write_picture(&s.options, &s.call, &out), "%zu", n);
        cr_expect_eq(halfway.looks, halfway.stops_at);
    }
    /* Without a mask nothing is as large as the picture's work: many queries of a row, many columns. */
    scene s;
    looks counted = {0};
    const attn_control control = {looks_ask, &counted};
    begin(&s, 1, 4096, 4096, true);
    s.call.input.L = s.call.output.view.row_to = (size_t)1 << 20;
    s.call.output.view.pooled_rows = 1;
    s.call.output.view.pooled_cols = 2048;
    s.call.input.attn_mask = NULL;
    wire_buffer out = {.arena = arena, .control = &control};
    looks stopped = {.stops_at = 200};
    const attn_control stop = {looks_ask, &stopped};
    out.control = &stop;
    looks_mark(&stopped);
    cr_expect_not(png_write_picture(&s.options, &s.call, &out));
    looks_mark(&stopped);
    cr_expect_lt(stopped.longest, LONGEST_UNLOOKED, "nobody looked for %.1f ms", stopped.longest);
    cr_expect_eq(stopped.looks, stopped.stops_at);
}

/* A shape whose dimensions are large, one of them 0: each result counts for --max-answer, and takes nothing.
 */
Test(stopping, what_has_no_numbers_takes_no_memory) {
    attn_budget budget = {.limit = 1 << 20};
    attn_arena *small = attn_arena_new(&budget);
    scene s = {.model.name = "m"};
    s.model.layer.config =
        (attn_config){.embed_dim = 1, .num_heads = 1, .num_kv_heads = 1, .head_dim = 1, .kdim = 1, .vdim = 1};
    s.request.query = (request_tensor){.present = true, .rank = 3, .shape = {(size_t)1 << 24, 0, 1}};
    s.request.query.data = take(1, sizeof(float));
    s.request.returned = 1U << RETURN_LSE;
    cr_expect_eq(request_resolve(&s.request, &s.model, (size_t)128 << 20, small, &s.call, &trouble),
                 PROBLEM_NONE, "%s", trouble.text);
    cr_expect_eq(s.call.result_count, 2);
    cr_expect_lt(budget.used, 100000, "%zu bytes", (size_t)budget.used);
    cr_expect_eq(request_resolve(&s.request, &s.model, ((size_t)128 << 20) - 1, small, &s.call, &trouble),
                 PROBLEM_TOO_LARGE);
    attn_arena_free(small);
}
